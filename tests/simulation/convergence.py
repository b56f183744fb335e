"""The end of a run: everything heals, and within three rounds of sync all stores are equal.

A round is over when every node has finished one session of each of its topics, with one peer,
that began in this round. Rounds are counted from the moment when the links are whole again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from p2p.sync.responder import live_hash
from tests.simulation.chronicle import Broken
from tests.simulation.node import SimNode
from tests.simulation.topics import NOTES, TASKS

if TYPE_CHECKING:
    from tests.simulation.world import World

ROUNDS_MAX = 3
LINKED_WITHIN_S = 400.0  # idle links are noticed, bans end, the longest back-off passes
ROUND_WITHIN_S = 300.0
STEP_S = 0.25


async def until_linked(world: World) -> None:
    """Wait until the honest nodes are one network again, and each swarm is one by itself."""
    end_s = world.loop.time() + LINKED_WITHIN_S
    while not _is_whole(world):
        if world.loop.time() > end_s:
            raise Broken(f"the network is not whole {LINKED_WITHIN_S:.0f} s after it healed")
        await asyncio.sleep(max(STEP_S, len(world.honest) / 200))
        world.stop_if_broken()


async def rounds_until_equal(world: World) -> int:
    """Return in which round all stores became equal; one more than allowed when in none."""
    for number in range(ROUNDS_MAX):
        if difference(world) is None:
            return number
        await _round(world)
    found = difference(world)
    if found is not None:
        raise Broken(f"after {ROUNDS_MAX} rounds of sync {found}")
    return ROUNDS_MAX


def difference(world: World) -> str | None:
    """Return in which way two stores that should be equal are not, None when all are."""
    for topic in (NOTES, TASKS):
        groups: dict[str, list[SimNode]] = {}
        for node in world.honest:
            groups.setdefault(node.settings.swarm if topic == TASKS else "all", []).append(node)
        for group in groups.values():
            for node in group[1:]:
                if (found := _differs(topic, group[0], node)) is not None:
                    return found
    return None


def _differs(topic: str, one: SimNode, other: SimNode) -> str | None:
    mine, theirs = _living(topic, one), _living(topic, other)
    if mine == theirs:
        if live_hash(one.store(topic)) != live_hash(other.store(topic)):
            return f"the hashes of equal {topic} differ at nodes {one.number} and {other.number}"
        return None
    key = min(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
    place = f"nodes {one.number} ({one.id[:8]}) and {other.number} ({other.id[:8]})"
    return (
        f"{topic} differ at {place}, key {key}: {_brief(mine.get(key))}, {_brief(theirs.get(key))}"
    )


def _living(topic: str, node: SimNode) -> dict[str, bytes]:
    store = node.store(topic)
    return {item.key: store.table.kept[item.key].raw for item in store.live_items(0, 2**48)}


def _brief(raw: bytes | None) -> str:
    return "nothing" if raw is None else raw[:330].decode()


async def _round(world: World) -> None:
    began_at, seen = world.loop.time(), len(world.chronicle.sessions)
    lacking = {(node.number, topic) for node in world.honest for topic in (NOTES, TASKS)}
    while lacking:
        await asyncio.sleep(STEP_S)
        world.stop_if_broken()
        sessions = world.chronicle.sessions[seen:]
        seen = len(world.chronicle.sessions)
        for node, session in sessions:
            if session.begun_at >= began_at:
                lacking.discard((node.number, session.topic))
        if world.loop.time() > began_at + ROUND_WITHIN_S:
            raise Broken(f"no session of sync within {ROUND_WITHIN_S:.0f} s at {min(lacking)}")


def _is_whole(world: World) -> bool:
    swarms: dict[str, set[str]] = {}
    for node in world.honest:
        swarms.setdefault(node.settings.swarm, set()).add(node.id)
    everybody = {node.id for node in world.honest}
    return all(_is_connected(world, group) for group in (everybody, *swarms.values()))


def _is_connected(world: World, group: set[str]) -> bool:
    """Tell whether the links between the nodes of a group make them one."""
    links = {
        node.id: {peer.node_id for peer in node.mesh.peers()} & group
        for node in world.honest
        if node.id in group
    }
    reached: set[str] = set()
    waiting = [min(group)]
    while waiting:
        here = waiting.pop()
        if here not in reached:
            reached.add(here)
            waiting += sorted(links[here])
    return reached == group
