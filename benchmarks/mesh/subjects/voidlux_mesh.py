"""VoidLux: signed records to all of N nodes, or unsigned messages over one hop.

python -m benchmarks.mesh.subjects.voidlux_mesh {signed,unsigned} NODES {tls,plain}
"""

from __future__ import annotations

import sys
from collections import Counter

import uvloop

from benchmarks.mesh.asyncio_load import Publish, closed_loop, open_loop
from benchmarks.mesh.load import Load
from benchmarks.mesh.result import Result
from benchmarks.mesh.subjects.voidlux_nodes import Node, linked_nodes, stop
from benchmarks.mesh.wire_bytes import received_bytes

FIRST_S = 2.0


async def run(kind: str, count: int, channel: str) -> Result:
    """Measure one mesh: first the open loop, then the closed one."""
    now_under: list[Load] = []
    nodes = await linked_nodes(
        count, lambda text: now_under[-1].arrived(text), with_tls=channel == "tls"
    )
    result = Result()
    result.add_versions("pynacl", "msgspec", "uvloop")
    name = f"voidlux {kind} {count} {channel}"

    def publish(publisher: int, payload: bytes) -> None:
        node = nodes[publisher]
        node.publish(payload) if kind == "signed" else node.whisper(payload)

    if kind == "signed" and count > 2:
        # What the first records after linking need, while the tree is made: told by itself.
        now_under.append(Load(count - 1))
        await open_loop(now_under[-1], publish, count, warm_up_s=0.0, lasts_s=FIRST_S)
        result.note_open(f"{name} first", now_under[-1])
    for loop in ("open", "closed"):
        now_under.append(Load(count - 1 if kind == "signed" else 1))
        await _measure(f"{name} {loop}", now_under[-1], nodes, publish, result)
    result.note_open(name, now_under[-2])
    result.note_closed(name, now_under[-1])
    await stop(nodes)
    return result


async def _measure(
    name: str, load: Load, nodes: list[Node], publish: Publish, result: Result
) -> None:
    before: list[tuple[Counter[str], int]] = []
    load.at_start = lambda: before.append((_counted(nodes), received_bytes()))
    publishers = len(nodes) if load.receivers > 1 else 1
    runner = open_loop if name.endswith("open") else closed_loop
    await runner(load, publish, publishers)
    counted = _counted(nodes) - before[0][0]
    wire_bytes = received_bytes() - before[0][1]
    result.figures[f"{name} wire bytes"] = wire_bytes / max(1, load.delivered)
    if load.receivers > 1:
        result.figures[f"{name} copies"] = _copies(counted)


def _counted(nodes: list[Node]) -> Counter[str]:
    return sum((node.mesh.counters for node in nodes), Counter())


def _copies(counted: Counter[str]) -> float:
    """Return how many frames of records came for each that was new."""
    frames = counted["delivered"] + counted["seen"] + counted["own_record"]
    return frames / counted["delivered"] if counted["delivered"] else 1.0


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], int(sys.argv[2]), sys.argv[3])).print()
