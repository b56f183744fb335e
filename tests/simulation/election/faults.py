"""What befalls a swarm during a storm, as its seed decides, and how it heals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.election.network import Weather

if TYPE_CHECKING:
    from tests.simulation.election.member import Member
    from tests.simulation.election.world import World

PAUSES_S = (5.0, 40.0, 120.0, 600.0)
JUMPS_S = (-300.0, -20.0, 20.0, 45.0, 3600.0)


class Faults:
    """Plans storms and ends them."""

    def __init__(self, world: World) -> None:
        """Take who is to suffer."""
        self._world, self._chance = world, world.chance
        self._goals = 0
        self._storm = 0

    def plan(self, from_s: float, until_s: float) -> None:
        """Have about ten things happen between two moments, and two or three goals given."""
        self._storm += 1
        self._world.network.weather = Weather(
            loss=self._chance.choice([0.0, 0.05, 0.3]),
            doubled=self._chance.choice([0.0, 0.2]),
            delay_s=self._chance.choice([0.05, 0.5, 2.0]),
            late=self._chance.choice([0.0, 0.1]),
        )
        kinds: list[Callable[[], None]] = [
            self._split,
            self._split,
            self._split_off_the_emperor,
            self._cut,
            self._kill,
            self._kill_the_emperor,
            self._kill_the_emperor,
            self._pause,
            self._pause_the_emperor,
            self._jump,
            self._abdicate,
        ]
        for _ in range(self._chance.randint(4, 12)):
            self._at(self._chance.uniform(0.0, until_s - from_s), self._chance.choice(kinds))
        for _ in range(self._chance.randint(2, 3)):
            self._at(self._chance.uniform(0.0, until_s - from_s - 20.0), self._submit)

    def heal(self) -> None:
        """End all that a storm has done."""
        self._storm += 1
        self._world.network.heal()
        for each in self._world.members:
            each.dies_at_next_commit = False
            if not each.alive:
                each.start()
            each.go_on(links_died=self._chance.random() < 0.5)

    def _at(self, delay_s: float, do: Callable[[], None]) -> None:
        storm = self._storm

        def unless_over() -> None:
            if storm == self._storm:
                do()

        self._world.timeline.after(delay_s, unless_over)

    def _submit(self) -> None:
        self._goals += 1
        self._world.submit(f"g{self._goals}", self._chance.randint(1, 3))

    def _split(self) -> None:
        self._world.network.sides = {
            each.number: self._chance.randint(0, 1) for each in self._world.members
        }
        self._at(self._chance.uniform(20.0, 150.0), self._world.network.sides.clear)

    def _split_off_the_emperor(self) -> None:
        self._world.network.sides = {self._emperor().number: 1}
        self._at(self._chance.uniform(20.0, 150.0), self._world.network.sides.clear)

    def _cut(self) -> None:
        two = self._chance.sample(range(len(self._world.members)), 2)
        self._world.network.cuts.add(frozenset(two))

    def _kill(self) -> None:
        self._end(self._chance.choice(self._world.members))

    def _kill_the_emperor(self) -> None:
        self._end(self._emperor())

    def _end(self, member: Member) -> None:
        if not member.alive:
            return
        if self._chance.random() < 0.5:
            member.dies_at_next_commit = True
        else:
            member.kill()

        def restart() -> None:
            if not member.alive:
                member.start()

        self._at(self._chance.choice([0.5, 10.0, 60.0, 300.0]), restart)

    def _pause(self) -> None:
        self._stop(self._chance.choice(self._world.members))

    def _pause_the_emperor(self) -> None:
        self._stop(self._emperor())

    def _stop(self, member: Member) -> None:
        member.pause()
        died = self._chance.random() < 0.5
        self._at(self._chance.choice(PAUSES_S), lambda: member.go_on(links_died=died))

    def _jump(self) -> None:
        member = self._chance.choice(self._world.members)
        member.clock_ahead_s += self._chance.choice(JUMPS_S)
        if member.alive:
            member.look_at_clock()

    def _abdicate(self) -> None:
        emperor = self._emperor()
        if emperor.acts:
            emperor.abdicate()

    def _emperor(self) -> Member:
        acting = [each for each in self._world.members if each.acts]
        return self._chance.choice(acting or self._world.members)
