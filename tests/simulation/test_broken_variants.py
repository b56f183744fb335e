"""Production code that is broken on purpose does not get past the simulation."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from p2p.gossip.recent import Recent
from p2p.sync.judging import Stamp
from p2p.sync.marks import Progress, Span
from tests.simulation.chronicle import Broken
from tests.simulation.world import run_seed

pytestmark = pytest.mark.faults

SEEDS = range(5)
NODES = 8


def move_over_gaps(self: Progress, spans: Iterable[Span]) -> Progress:
    """Broken: what was received moves the watermark over what is missing below it."""
    return Progress(max([self.mark, *(span.through for span in spans)]))


def forget(self: Recent[object, object], key: object, value: object) -> None:
    """Broken: only the newest is remembered."""
    self._values = {key: value}


def let_the_latest_win(self: Stamp, other: Stamp) -> bool:
    """Broken: what comes last wins its key, also when it is older."""
    return True


def run_some(expected: str) -> None:
    with pytest.raises(Broken, match=expected):
        for seed in SEEDS:
            run_seed(seed, NODES)


def test_a_watermark_that_moves_over_a_gap_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "with_spans", move_over_gaps)
    run_some(r"the watermark .* covers .*, which is missing at node \d+")


def test_a_dedup_that_forgets_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recent, "add", forget)
    run_some(r"the gossip delivered .* twice at node \d+")


def test_a_stale_update_that_wins_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamp, "beats", let_the_latest_win)
    run_some(r"a version went backwards at node \d+")


def test_a_failure_names_the_command_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamp, "beats", let_the_latest_win)
    with pytest.raises(Broken) as failure:
        for seed in SEEDS:
            run_seed(seed, NODES)

    text = str(failure.value)
    seed, replay = text.split(",")[0].removeprefix("seed "), text.rsplit("replay: ", 1)[1]
    assert replay == f"make simulate NODES={NODES} SEEDS=1 FIRST={seed}"
    with pytest.raises(Broken) as again:
        run_seed(int(seed), NODES)
    assert str(again.value) == text
