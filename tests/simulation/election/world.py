"""Runs a seed: members, what befalls them, what they are asked to do, and the end."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from tests.simulation.election.claims import Broken, Claims
from tests.simulation.election.faults import Faults
from tests.simulation.election.member import TIMING, Member, Part
from tests.simulation.election.network import Network
from tests.simulation.election.remote import Remote
from tests.simulation.election.rows import Run
from tests.simulation.election.timeline import Timeline

STORMS = 3
STORM_S = 200.0
# A follower notices, stands, may have to yield, and is heard; then the longest step of a gate.
SETTLED_S = 2 * TIMING.stale_s + 2 * TIMING.candidacy_s + TIMING.yield_s
END_S = 1800.0  # six attempts of a minute, each with a lease that may have to run out


@dataclass(frozen=True)
class Variant:
    """The product as it is, or broken on purpose."""

    terms_compared: bool = True
    fenced: bool = True
    leased: bool = True
    attributed: bool = True


SOUND = Variant()


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    seed: int
    members: int
    terms: int
    counts: dict[str, int]
    digest: str


class World:
    """One run of one seed."""

    def __init__(self, seed: int, variant: Variant) -> None:
        """Start all members; nothing happens yet."""
        self.chance = random.Random(f"election {seed}")
        self.variant = variant
        self.timeline, self.remote, self.claims = Timeline(), Remote(variant.leased), Claims()
        self.network = Network(
            self.timeline,
            random.Random(f"links {seed}"),
            lambda target, message: self.members[target].hear(message),
        )
        self.goals: set[str] = set()
        self._commits = 0
        self.members: list[Member] = []
        count = self.chance.randint(3, 7)
        ids = [f"{number:02x}" * 16 for number in range(1, count + 1)]
        self.chance.shuffle(ids)
        self._numbers = {node_id: number for number, node_id in enumerate(ids)}
        never = self.chance.choice([None, None, count - 1])
        for number, node_id in enumerate(ids):
            self.members.append(Member(self, Part(number, node_id, number == 0, number != never)))

    def number_of(self, node_id: str) -> int:
        """Return the number of a member."""
        return self._numbers[node_id]

    def run(self) -> None:
        """Storms, each followed by a heal and the claim of one emperor; then the end of all work.

        Raises Broken at the first claim that does not hold.
        """
        faults = Faults(self)
        self.timeline.run_until(60.0)
        for _ in range(STORMS):
            ends_s = self.timeline.now_s + STORM_S
            faults.plan(self.timeline.now_s, ends_s)
            self.timeline.run_until(ends_s)
            faults.heal()
            self.timeline.run_until(ends_s + SETTLED_S)
            self._check_one_emperor()
        self.timeline.run_until(self.timeline.now_s + END_S)
        emperor = self._check_one_emperor()
        self.claims.on_end(emperor.disk.rows, self.goals, self.remote)

    def submit(self, goal: str, subtasks: int) -> None:
        """Give a goal to whoever acts, or ask again while nobody does."""
        acting = [each for each in self.members if each.acts]
        if not acting:
            self.timeline.after(5.0, lambda: self.submit(goal, subtasks))
            return
        self.goals.add(goal)
        self.chance.choice(acting).office.submit(goal, subtasks)

    def commit_of(self, run: Run) -> str:
        """Return the result of a run that went well; it is never the same twice."""
        self._commits += 1
        return f"{self._commits}"

    def digest(self) -> str:
        """Return what tells two runs apart."""
        rows = [sorted(str(row) for row in each.disk.rows.values()) for each in self.members]
        text = f"{rows} {self.remote.goals} {sorted(self.claims.counts.items())}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _check_one_emperor(self) -> Member:
        acting = [each for each in self.members if each.acts]
        followed = {each.number: each.machine.emperor_node_id for each in self.members}
        self.claims.on_healed([each.node_id for each in acting], followed)
        return acting[0]


def run_seed(seed: int, variant: Variant = SOUND) -> Result:
    """Run one seed; Broken names the seed and the second of what does not hold."""
    world = World(seed, variant)
    try:
        world.run()
    except Broken as broken:
        raise Broken(
            f"seed {seed}, second {world.timeline.now_s:.1f}: {broken}; "
            f"replay: python -m tests.simulation.election --seeds 1 --first {seed}"
        ) from broken
    return Result(
        seed,
        len(world.members),
        len(world.claims.proclaimed),
        dict(world.claims.counts),
        world.digest(),
    )
