"""A scenario: what a seed makes of a network, and the operations that befall it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum

NODES_MIN, NODES_MAX = 8, 50
CHAOS_FROM_S, CHAOS_S = 20.0, 150.0
APART_S = 1_800.0  # the long partition
APART_FROM_S = CHAOS_FROM_S + CHAOS_S + 10.0


class Kind(Enum):
    """What can befall a network."""

    WRITE = "write"
    REWRITE = "rewrite"
    REMOVE = "remove"
    WRITE_TASK = "write a task"
    CHANGE_EMPEROR = "change the emperor"
    JOIN = "join"
    CRASH = "crash"
    POWER_CUT = "power cut"
    RESTART = "restart"
    BACK_UP = "back up"
    RESTORE = "restore a backup"
    LOSE_DATABASE = "lose the database"
    PART = "part"
    CUT = "cut one way"
    HEAL = "heal"
    DELAY = "delay"
    TAMPER = "mishandle frames"
    SLOW_READER = "slow reader"
    LIE = "lie"
    CLOCK_AHEAD = "clock ahead"


@dataclass(frozen=True, slots=True, order=True)
class Operation:
    """Something at a virtual second; what the numbers mean is up to the kind."""

    at_s: float
    kind: Kind = field(compare=False)
    node: int = field(compare=False, default=0)
    other: int = field(compare=False, default=0)
    amount: float = field(compare=False, default=0.0)


@dataclass
class Plan:
    """Everything that a seed decides before the run."""

    seed: int
    nodes: int
    liars: int
    swarms: int
    with_discovery: bool
    brisk: bool  # production's PING and idle times; otherwise longer ones
    lies_about_marks: bool
    seeds: list[list[int]]
    sides: list[int]
    operations: list[Operation]
    apart_s: float = APART_S

    @property
    def heal_s(self) -> float:
        """When everything heals for good."""
        return APART_FROM_S + self.apart_s

    def swarm_of(self, number: int) -> str:
        """Return the swarm of a node."""
        return f"swarm-{number % self.swarms}"


# How often each thing happens in the time of chaos.
_WEIGHTS = {
    Kind.WRITE: 24,
    Kind.REWRITE: 16,
    Kind.REMOVE: 5,
    Kind.WRITE_TASK: 14,
    Kind.CHANGE_EMPEROR: 2,
    Kind.CRASH: 4,
    Kind.POWER_CUT: 3,
    Kind.BACK_UP: 3,
    Kind.RESTORE: 2,
    Kind.LOSE_DATABASE: 1,
    Kind.PART: 2,
    Kind.CUT: 4,
    Kind.DELAY: 3,
    Kind.TAMPER: 7,
    Kind.SLOW_READER: 3,
    Kind.LIE: 8,
    Kind.CLOCK_AHEAD: 1,
}
# What also happens while the network is in two parts.
_WEIGHTS_APART = {
    Kind.WRITE: 24,
    Kind.REWRITE: 16,
    Kind.REMOVE: 6,
    Kind.WRITE_TASK: 12,
    Kind.CHANGE_EMPEROR: 4,
    Kind.CRASH: 4,
    Kind.POWER_CUT: 2,
    Kind.BACK_UP: 2,
    Kind.RESTORE: 1,
    Kind.TAMPER: 3,
}


def plan_of(seed: int, nodes: int | None = None) -> Plan:
    """Return the plan of a seed; with `nodes` for a network of that size."""
    if nodes is None:
        share = random.Random(f"size {seed}").random() ** 4
        nodes = NODES_MIN + round((NODES_MAX - NODES_MIN) * share)
    chance = random.Random(f"plan {seed} {nodes}")
    liars = min(chance.choice((0, 0, 1, 1, 2)), nodes // 6)
    plan = Plan(
        seed=seed,
        nodes=nodes,
        liars=liars,
        swarms=2 if nodes >= 10 and chance.random() < 0.4 else 1,
        with_discovery=nodes <= 12 and chance.random() < 0.35,
        brisk=nodes <= 10 and chance.random() < 0.35,
        lies_about_marks=liars > 0 and chance.random() < 0.5,
        seeds=[],
        sides=[],
        operations=[],
    )
    plan.seeds = [_dialled_by(number, plan, chance) for number in range(nodes)]
    plan.sides = [chance.randrange(2) for _ in range(nodes)]
    plan.operations = sorted(
        [*_beginning(plan, chance), *_chaos(plan, chance), *_apart(plan, chance)]
    )
    return plan


def _dialled_by(number: int, plan: Plan, chance: random.Random) -> list[int]:
    """Return whom a node keeps dialling: never a liar alone, and somebody of its own swarm."""
    honest = plan.nodes - plan.liars
    earlier = range(min(number, honest))
    dialled = chance.sample(earlier, min(len(earlier), 2))
    own = [each for each in earlier if each % plan.swarms == number % plan.swarms]
    return sorted({*dialled, *chance.sample(own, min(len(own), 1))})


def _beginning(plan: Plan, chance: random.Random) -> list[Operation]:
    late = {each for each in range(1, plan.nodes) if chance.random() < 0.15}
    starts = [
        chance.uniform(CHAOS_FROM_S, CHAOS_FROM_S + CHAOS_S / 2) if each in late else each * 0.1
        for each in range(plan.nodes)
    ]
    joins = [Operation(at, Kind.JOIN, number) for number, at in enumerate(starts)]
    emperors = [Operation(6.0, Kind.CHANGE_EMPEROR, swarm) for swarm in range(plan.swarms)]
    tasks = [Operation(7.0 + 0.2 * each, Kind.WRITE_TASK, each, each) for each in range(8)]
    return joins + emperors + tasks


def _chaos(plan: Plan, chance: random.Random) -> list[Operation]:
    at_s, operations = CHAOS_FROM_S, []
    while (at_s := at_s + chance.expovariate(1 / 1.8)) < CHAOS_FROM_S + CHAOS_S:
        operations += _befalls(at_s, _WEIGHTS, plan, chance)
    heal = Operation(APART_FROM_S - 1, Kind.HEAL)
    return [*operations, heal, Operation(APART_FROM_S, Kind.PART, amount=1.0)]


def _apart(plan: Plan, chance: random.Random) -> list[Operation]:
    at_s, operations = APART_FROM_S, []
    while (at_s := at_s + chance.expovariate(1 / 45)) < plan.heal_s - 60:
        operations += _befalls(at_s, _WEIGHTS_APART, plan, chance)
    return operations


def _befalls(
    at_s: float, weights: dict[Kind, int], plan: Plan, chance: random.Random
) -> list[Operation]:
    kind = chance.choices(list(weights), list(weights.values()))[0]
    node, other = chance.randrange(plan.nodes), chance.randrange(plan.nodes)
    amount = chance.random()
    first = Operation(at_s, kind, node, other, amount)
    if kind in (Kind.CRASH, Kind.POWER_CUT):
        return [first, Operation(at_s + chance.uniform(0.5, 40), Kind.RESTART, node)]
    if kind in (Kind.PART, Kind.CUT, Kind.SLOW_READER, Kind.DELAY, Kind.TAMPER):
        end_s = min(at_s + chance.uniform(3, 30), APART_FROM_S - 2)
        return [first] if at_s > end_s else [first, Operation(end_s, Kind.HEAL)]
    return [first]
