"""The end of a market's example: everything is said, and nothing more is wanted."""

from __future__ import annotations

import contextlib

from p2p.models import OutboxKind, OutboxMessage
from p2p.protocol.errors import DomainError
from swarm.models import Job
from swarm.services import goals
from swarm.states import JobStatus
from tests.support.cluster import SimNode
from tests.support.market_world import BUYER, GIT_JOBS, MarketWorld

ROUNDS_MAX = 90
ROUND_S = 125.0  # within which every request is answered or expires
PAST_DEADLINES_S = 301.0


def settle(world: MarketWorld, *, again: bool) -> None:
    """Let everything that is said arrive, until no node has anything left to say.

    `again`: silent also past every deadline, as where a clock was set back since it was named.
    """
    for name in sorted(world.network.down):
        world.restart(name)
    if world.network.cut:
        world.heal()
    world.remote.writable = True
    for _ in range(ROUNDS_MAX):
        if not _speaks(world, ROUND_S) and not (again and _speaks(world, PAST_DEADLINES_S)):
            return
    raise AssertionError("the nodes never fall silent")


def end_all(world: MarketWorld) -> None:
    """Cancel whatever the buyer still wants."""
    buyer = world.node(BUYER)
    with world.network.acting(buyer):
        for goal in list(world.open_goals()):
            with contextlib.suppress(DomainError):
                goals.cancel_task(goal.id, reason="the end", now=world.network.now_here())


def _speaks(world: MarketWorld, seconds: float) -> bool:
    world.live(seconds)
    return any(_waits(world, node) for node in world.network.living())


def _waits(world: MarketWorld, node: SimNode) -> bool:
    with world.network.acting(node):
        commands = OutboxMessage.objects.filter(kind=OutboxKind.COMMAND, done_at__isnull=True)
        # What is meant for a node that is gone for good is never answered.
        there = [each.node_id for each in world.network.nodes.values()]
        jobs_left = Job.objects.filter(status=JobStatus.QUEUED).exclude(kind__in=GIT_JOBS)
        return jobs_left.exists() or commands.filter(to_node_id__in=there).exists()
