"""The Seneschal in a real mesh: follows signed words of members, and of nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from p2p.discovery.messages import Pex
from p2p.mesh.mesh import Mesh
from p2p.mesh.settings import Profile
from p2p.protocol.codec import encode_message
from p2p.protocol.identity import Identity
from p2p.protocol.registry import MessageRegistry
from p2p.protocol.signing import seal
from swarm.replication.messages import TASKS_SYNC, ElectionVictory, EmperorHeartbeat
from tests.site.seneschal.test_follower import heartbeat
from tests.support.mesh_nodes import HOST, QUICK, until
from tests.support.seneschals import free_port
from tests.support.wire import NETWORK, identity_number
from voidlux_site.seneschal.following import Following, Place, Upstream

SECRET = "s" * 16
OWN = identity_number(9)
STALE_S = 30.0


def registry() -> MessageRegistry:
    known = MessageRegistry()
    known.register(EmperorHeartbeat, ElectionVictory, Pex, TASKS_SYNC.request, TASKS_SYNC.response)
    return known


class Member:
    """A node that says what an emperor says."""

    def __init__(self, number: int, *, secret: str = SECRET) -> None:
        self.identity = identity_number(number)
        self.heard: list[Any] = []
        self.mesh = Mesh(
            identity=self.identity,
            network=NETWORK,
            profile=Profile(swarm="home", secret=secret),
            registry=registry(),
            deliver=lambda received, _: self.heard.append(received.message) is None,
            on_peer_up=lambda peer: None,
            on_peer_down=lambda node_id: None,
            limits=QUICK,
        )

    def beat(self, **changes: Any) -> None:
        now_ms = time.time_ns() // 1_000_000
        message = heartbeat(self.identity, **{"said_ms": now_ms, **changes})
        payload = seal(message, self.identity, NETWORK)
        if isinstance(message, ElectionVictory):
            self.mesh.publish(payload)
        else:
            self.mesh.flood(payload)

    def is_member(self) -> bool:
        return self.mesh.is_member(OWN.node_id)


class Scene:
    """A Seneschal, and members that are linked to it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.port = 0
        self.members: list[Member] = []

    async def member(self, number: int, **settings: Any) -> Member:
        member = Member(number, **settings)
        self.members.append(member)
        await member.mesh.start(HOST, 0)
        member.mesh.dial(HOST, self.port)
        await until(lambda: member.mesh.peers())
        return member


@contextlib.asynccontextmanager
async def scene(stale_s: float = STALE_S) -> AsyncIterator[tuple[Scene, Following]]:
    given = Scene()
    following = Following(
        identity=OWN,
        place=Place(NETWORK, "home", SECRET, HOST, 0, 9090),
        registry=registry(),
        stale_s=stale_s,
        say=given.lines.append,
        limits=QUICK,
    )
    given.port = await following.start()
    try:
        yield given, following
    finally:
        await asyncio.gather(*(each.mesh.stop() for each in given.members), following.stop())


def at(identity: Identity, counter: int = 5, port: int = 9091) -> Upstream:
    return Upstream(identity.node_id, counter, HOST, port)


@pytest.mark.parametrize("kind", [EmperorHeartbeat, ElectionVictory])
async def test_a_members_word_names_the_emperor(kind: Any) -> None:
    async with scene() as (given, following):
        member = await given.member(1)
        assert following.upstream is None
        member.beat(kind=kind)
        await until(lambda: following.upstream)

        assert following.upstream == at(member.identity)
        assert given.lines == [
            f"emperor: {member.identity.node_id[:8]}, term 5, at http://{HOST}:9091"
        ]
        assert following.heard_age_s() is not None


async def test_a_word_that_is_handed_on_counts_as_well() -> None:
    async with scene() as (given, following):
        relay = await given.member(1)
        emperor = Member(2)
        given.members.append(emperor)
        port = await emperor.mesh.start(HOST, 0)
        relay.mesh.dial(HOST, port)
        await until(lambda: relay.mesh.is_member(emperor.identity.node_id))
        emperor.beat()
        await until(lambda: following.upstream)

        assert following.upstream == at(emperor.identity)


async def test_a_stranger_is_not_believed() -> None:
    async with scene() as (given, following):
        stranger = await given.member(1, secret="t" * 16)
        member = await given.member(2)
        assert not stranger.is_member()
        payload = seal(
            heartbeat(stranger.identity, counter=50, said_ms=time.time_ns() // 1_000_000),
            stranger.identity,
            NETWORK,
        )
        assert stranger.mesh.send(OWN.node_id, payload)
        await until(lambda: following._mesh.counters["not_a_member"])
        member.beat()
        await until(lambda: following.upstream)

        assert following.upstream == at(member.identity)
        assert following.follower.refused == {}


async def test_a_forged_word_costs_the_link_of_who_brings_it() -> None:
    async with scene() as (given, following):
        member, other = await given.member(1), await given.member(2)
        now_ms = time.time_ns() // 1_000_000
        true = seal(heartbeat(other.identity, said_ms=now_ms), other.identity, NETWORK)
        assert member.mesh.send(OWN.node_id, true.replace(b'"counter":5', b'"counter":6'))
        await until(lambda: following._mesh.counters["bad_signature"])

        assert following.upstream is None
        assert given.lines == []


async def test_a_lower_term_is_refused_and_a_higher_one_followed() -> None:
    async with scene() as (given, following):
        old, new = await given.member(1), await given.member(2)
        changes = []
        following.on_change(lambda: changes.append(following.upstream))
        old.beat(counter=7)
        await until(lambda: following.upstream)
        new.beat(counter=6)
        await until(lambda: following.follower.refused["lower_term"])
        assert following.upstream == at(old.identity, 7)
        new.beat(counter=8, http_port=9092)
        await until(lambda: following.upstream != at(old.identity, 7))

        assert changes == [at(old.identity, 7), at(new.identity, 8, 9092)]


async def test_who_gives_the_office_up_leaves_none() -> None:
    async with scene() as (given, following):
        member = await given.member(1)
        member.beat()
        await until(lambda: following.upstream)
        waiting = asyncio.ensure_future(following.changed())
        member.beat(abdicated=True, said_ms=time.time_ns() // 1_000_000 + 1)
        async with asyncio.timeout(8):
            await waiting

        assert following.upstream is None
        assert given.lines[-1] == (f"no emperor: {member.identity.node_id[:8]} gave its office up")


async def test_a_silent_emperor_is_none() -> None:
    async with scene(stale_s=0.5) as (given, following):
        member = await given.member(1)
        member.beat()
        await until(lambda: following.upstream)
        await until(lambda: following.upstream is None)

        assert given.lines[-1].startswith(f"no emperor: {member.identity.node_id[:8]} was heard")


async def test_an_emperor_that_refuses_connections_is_none_until_it_takes_them() -> None:
    port = await free_port()
    async with scene() as (given, following):
        member = await given.member(1)
        member.beat(http_port=port)
        await until(lambda: following.upstream)
        upstream = following.upstream
        assert upstream is not None

        following.refuses(upstream)

        assert following.upstream is None
        assert given.lines[-1] == (
            f"no emperor: {member.identity.node_id[:8]} refuses connections at {HOST}:{port}"
        )
        server = await asyncio.start_server(lambda reader, writer: writer.close(), HOST, port)
        await until(lambda: following.upstream == upstream)
        server.close()
        await server.wait_closed()


async def test_an_emperor_without_an_api_is_none() -> None:
    async with scene() as (given, following):
        member = await given.member(1)
        member.beat(http_port=0)
        await until(lambda: following.follower.last)

        assert following.upstream is None


async def test_what_is_meant_for_nodes_is_left_alone() -> None:
    async with scene() as (given, following):
        member = await given.member(1)
        request = TASKS_SYNC.request(id=1, hash="0" * 64)
        assert member.mesh.send(OWN.node_id, encode_message(request))
        member.beat()
        await until(lambda: following.upstream)

        assert following.upstream == at(member.identity)
        assert member.is_member()
