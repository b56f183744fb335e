"""py-libp2p: GossipSub between N hosts, each connected to every other.

    python -m benchmarks.mesh.subjects.libp2p_gossip NODES

Its defaults, but for: Ed25519 keys (as VoidLux), `strict_signing` (so it signs and verifies as
VoidLux does), Noise for encryption, the spam protection off (it takes 10 messages a second and
topic), and a heartbeat of one second as the specification has it.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import trio
from libp2p import new_host
from libp2p.abc import IHost
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from benchmarks.mesh.load import (
    CLOSED_S,
    GIVE_UP_S,
    OPEN_RATE_PER_S,
    OPEN_S,
    WARM_UP_S,
    Load,
)
from benchmarks.mesh.result import Result

TOPIC = "blobs"
# Of the numbers from 1 to 64 this one gives the most; with 64 most records are lost.
IN_FLIGHT = 8
SETTLE_S = 3.0  # some heartbeats, in which the meshes are made
Publish = Callable[[int, bytes], Awaitable[None]]


@contextlib.asynccontextmanager
async def running(count: int) -> AsyncIterator[tuple[list[IHost], list[Pubsub]]]:
    """Run hosts with GossipSub, connected each to each."""
    hosts, pubsubs = [], []
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            host = new_host(key_pair=create_new_key_pair())
            address = Multiaddr("/ip4/127.0.0.1/tcp/0")
            await stack.enter_async_context(host.run(listen_addrs=[address]))
            router = GossipSub(
                protocols=[TProtocol("/meshsub/1.1.0")],
                degree=6,
                degree_low=4,
                degree_high=12,
                heartbeat_interval=1,
                spam_protection_enabled=False,
            )
            pubsub = Pubsub(host, router, strict_signing=True)
            await stack.enter_async_context(background_trio_service(pubsub))
            await stack.enter_async_context(background_trio_service(router))
            await pubsub.wait_until_ready()
            hosts.append(host)
            pubsubs.append(pubsub)
        for number, host in enumerate(hosts):
            for other in hosts[number + 1 :]:
                await host.connect(PeerInfo(other.get_id(), other.get_addrs()))
        yield hosts, pubsubs


async def run(count: int) -> None:
    """Measure the open loop, then the closed one, and print the result."""
    result = Result()
    result.add_versions("libp2p", "trio")
    now_under: list[Load] = []
    async with running(count) as (hosts, pubsubs), trio.open_nursery() as nursery:
        for host, pubsub in zip(hosts, pubsubs, strict=True):
            subscription = await pubsub.subscribe(TOPIC)
            nursery.start_soon(_listen, subscription, host.get_id().to_bytes(), now_under)
        await trio.sleep(SETTLE_S)

        async def publish(publisher: int, payload: bytes) -> None:
            await pubsubs[publisher].publish(TOPIC, payload)

        now_under.append(Load(count - 1))
        await open_loop(now_under[-1], publish, count)
        result.note_open(f"libp2p {count}", now_under[-1])
        now_under.append(Load(count - 1))
        await closed_loop(now_under[-1], publish, count)
        result.note_closed(f"libp2p {count}", now_under[-1])
        # Its own stopping fails when frames are still under way, so that nothing comes after this.
        result.print()
        await trio.sleep(1.0)
        nursery.cancel_scope.cancel()


async def _listen(subscription, own_id: bytes, now_under: list[Load]) -> None:
    while True:
        message = await subscription.get()
        if message.from_id != own_id and now_under:
            now_under[-1].arrived(message.data)


async def closed_loop(load: Load, publish: Publish, publishers: int) -> None:
    """Keep records under way, as the closed loops on asyncio do."""
    async with trio.open_nursery() as nursery:
        for number in range(IN_FLIGHT):
            nursery.start_soon(_work, load, publish, number % publishers)
        nursery.start_soon(_reap, load)
        await trio.sleep(WARM_UP_S)
        load.start_measuring()
        await trio.sleep(CLOSED_S)
        load.stop_measuring()
        await _until_all_arrived(load)
        nursery.cancel_scope.cancel()


async def open_loop(load: Load, publish: Publish, publishers: int) -> None:
    """Publish at a fixed rate, as the open loop on asyncio does."""
    rate = OPEN_RATE_PER_S
    warm_up = int(rate * WARM_UP_S)
    begun_at = time.perf_counter()
    for number in range(warm_up + int(rate * OPEN_S)):
        due_at = begun_at + number / rate
        await trio.sleep(max(0.0, due_at - time.perf_counter()))
        if number == warm_up:
            load.start_measuring()
        await publish(number % publishers, load.publish(lambda: None, due_at=due_at))
    load.stop_measuring()
    await _until_all_arrived(load)


async def _work(load: Load, publish: Publish, publisher: int) -> None:
    while not load.over:
        everywhere = trio.Event()
        await publish(publisher, load.publish(everywhere.set))
        await everywhere.wait()


async def _reap(load: Load) -> None:
    while True:
        await trio.sleep(0.5)
        load.give_up()


async def _until_all_arrived(load: Load) -> None:
    with trio.move_on_after(GIVE_UP_S):
        while load.under_way:  # noqa: ASYNC110 - a few polls at the end, outside the figures
            await trio.sleep(0.01)


if __name__ == "__main__":
    trio.run(run, int(sys.argv[1]))
