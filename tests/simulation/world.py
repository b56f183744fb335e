"""Runs a plan: nodes on a simulated network, the operations that befall them, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from p2p.gossip.settings import GossipLimits
from p2p.mesh.settings import MeshLimits
from p2p.protocol.identity import Identity
from p2p.protocol.limits import IDLE_TIMEOUT_S, PING_INTERVAL_S
from tests.simulation.caches import shared_results
from tests.simulation.chronicle import CLOCKS_APART_MS, Broken, Chronicle
from tests.simulation.convergence import ROUNDS_MAX, rounds_until_equal, until_linked
from tests.simulation.home import Home
from tests.simulation.lies import Liar
from tests.simulation.network import Network
from tests.simulation.node import Settings, SimNode
from tests.simulation.operations import Operations
from tests.simulation.plan import Plan, plan_of
from tests.simulation.tables import check_tables
from tests.simulation.virtual_time import VirtualLoop

LOOK_EVERY_S = 20.0
SMALL = 14  # nodes


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    seed: int
    nodes: int
    rounds: int
    virtual_s: float
    records: int
    chunks: int
    digest: str
    cpu_s: float


class World:
    """One run of one plan."""

    def __init__(self, plan: Plan) -> None:
        """Build everything; nothing runs yet."""
        self.plan = plan
        self.loop = VirtualLoop()
        self.chance = random.Random(f"world {plan.seed} {plan.nodes}")
        self.network = Network(self.loop, random.Random(f"network {plan.seed} {plan.nodes}"))
        self.chronicle = Chronicle(swarm_of=plan.swarm_of, marks_may_lie=plan.lies_about_marks)
        self.nodes = [self._node(number) for number in range(plan.nodes)]
        honest = plan.nodes - plan.liars
        self.honest = self.nodes[:honest]
        self.liars = {node.number: self._liar(node) for node in self.nodes[honest:]}
        for node, seeds in zip(self.nodes, plan.seeds, strict=True):
            node.seeds = [self.nodes[each].address for each in seeds]

    def run(self) -> int:
        """Run the plan and return after how many rounds of sync all stores were equal.

        Raises Broken at the first invariant that does not hold.
        """
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._escaped)
        try:
            with _bugs_noted(self.chronicle.report):
                return self.loop.run_until_complete(self._story())
        finally:
            self._end()

    async def _story(self) -> int:
        operations = Operations(self)
        look_at = LOOK_EVERY_S
        for operation in self.plan.operations:
            while look_at < operation.at_s:
                await self._until(look_at)
                self._look()
                look_at += LOOK_EVERY_S
            await self._until(operation.at_s)
            operations.do(operation)
        await self._until(self.plan.heal_s)
        operations.heal_for_good()
        await until_linked(self)
        rounds = await rounds_until_equal(self)
        self._look()
        for node in self.honest:
            for topic in node.topics:
                self.chronicle.check_end(node, topic)
        self.stop_if_broken()
        if rounds > ROUNDS_MAX:
            raise Broken(f"stores were equal after {rounds} rounds only, not {ROUNDS_MAX}")
        return rounds

    async def _until(self, at_s: float) -> None:
        while (left_s := at_s - self.loop.time()) > 0:
            await asyncio.sleep(min(left_s, 1.0))
            self.stop_if_broken()

    def stop_if_broken(self) -> None:
        """Raise the first broken invariant."""
        if self.chronicle.broken is not None:
            raise self.chronicle.broken

    def _look(self) -> None:
        for node in self.nodes:
            if node.runs:
                check_tables(node, self.chronicle.report)

    def _node(self, number: int) -> SimNode:
        plan = self.plan
        identity = Identity.from_seed(random.Random(f"identity {plan.seed} {number}").randbytes(32))
        settings = Settings(
            swarm=plan.swarm_of(number),
            limits=limits_of(plan),
            links_wanted=4,
            with_discovery=plan.with_discovery,
        )
        node = SimNode(
            number, Home(identity), self.loop, settings, self.chronicle, f"node {plan.seed}"
        )
        node.skew_ms = self.chance.randrange(CLOCKS_APART_MS)
        return node

    def _liar(self, node: SimNode) -> Liar:
        self.chronicle.liars.add(node.id)
        liar = Liar(node, self.chronicle, random.Random(f"liar {self.plan.seed} {node.number}"))
        liar.answer_falsely(about_marks=self.plan.lies_about_marks)
        return liar

    def _escaped(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.chronicle.report(f"an exception escaped: {context.get('message')}: {error!r}")

    def _end(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.process.kill()
        with contextlib.suppress(RuntimeError):
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        self.loop.close()


def run_seed(seed: int, nodes: int | None = None, **changes: Any) -> Result:
    """Run the scenario of a seed; Broken, with the command that replays it, when it fails."""
    plan = replace(plan_of(seed, nodes), **changes)
    began = time.process_time()
    with shared_results():
        world = World(plan)
        try:
            rounds = world.run()
        except Broken as broken:
            replay = f"make simulate NODES={plan.nodes} SEEDS=1 FIRST={seed}"
            raise Broken(f"seed {seed}, {plan.nodes} nodes: {broken}; replay: {replay}") from None
    return Result(
        seed=seed,
        nodes=plan.nodes,
        rounds=rounds,
        virtual_s=world.loop.time(),
        records=len(world.chronicle.frames),
        chunks=world.network.chunks,
        digest=world.network.trace.hexdigest(),
        cpu_s=time.process_time() - began,
    )


def limits_of(plan: Plan) -> MeshLimits:
    """Return the limits of all nodes: production's but for tables small enough to fill up.

    Most of what is sent in half an hour are PINGs; where they would cost most of the run they are
    fewer, and a link may be idle for longer.
    """
    gossip = GossipLimits(seen_max=3_000, missing_max=50, cached_ids_max=150)
    factor = 1.0 if plan.brisk else 4.0 if plan.nodes <= SMALL else 8.0
    return MeshLimits(
        ping_interval_s=factor * PING_INTERVAL_S,
        idle_timeout_s=factor * IDLE_TIMEOUT_S,
        write_queue_bytes_max=262_144,
        gossip=gossip,
    )


@contextlib.contextmanager
def _bugs_noted(report: Callable[[str], None]) -> Iterator[None]:
    """Take what the production code logs as an error, a bug that it survived, for a failure."""
    logger = logging.getLogger("p2p")
    before = (logger.level, logger.propagate)
    handler = _Reporter(report)
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class _Reporter(logging.Handler):
    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._report(f"a bug was logged: {record.getMessage()}: {error!r}")
