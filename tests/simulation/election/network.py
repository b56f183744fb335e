"""Links between members: late, lossy, doubled, out of order, and cut."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.election.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Message:
    """What one member sends another: the name of what takes it there, and its arguments."""

    kind: str
    origin: int
    sent_s: float
    content: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the links are."""

    loss: float = 0.0
    doubled: float = 0.0
    delay_s: float = 0.1
    late: float = 0.0  # how many take 20 times as long


CALM = Weather()


@dataclass
class Network:
    """All links; who may reach whom changes while messages are on their way."""

    timeline: Timeline
    chance: random.Random
    arrive: Callable[[int, Message], None]
    weather: Weather = CALM
    sides: dict[int, int] = field(default_factory=dict)
    cuts: set[frozenset[int]] = field(default_factory=set)

    def send(self, target: int, message: Message) -> None:
        """Send one message, which may arrive never, once or twice."""
        if not self._linked(message.origin, target):
            return
        for _ in range(2 if self.chance.random() < self.weather.doubled else 1):
            if self.chance.random() < self.weather.loss:
                continue
            delay_s = self.chance.uniform(0.001, self.weather.delay_s)
            if self.chance.random() < self.weather.late:
                delay_s *= 20
            self.timeline.after(delay_s, lambda: self._arrive(target, message))

    def heal(self) -> None:
        """Join all sides again, in good weather."""
        self.sides, self.weather = {}, CALM
        self.cuts.clear()

    def _arrive(self, target: int, message: Message) -> None:
        if self._linked(message.origin, target):
            self.arrive(target, message)

    def _linked(self, one: int, other: int) -> bool:
        together = self.sides.get(one, 0) == self.sides.get(other, 0)
        return together and frozenset((one, other)) not in self.cuts
