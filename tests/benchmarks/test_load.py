"""The load counts what was expected and what came, and hides nothing."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from benchmarks.mesh import load as loads
from benchmarks.mesh.document import GOALS, Summary
from benchmarks.mesh.driver import Measured, measure
from benchmarks.mesh.load import PAYLOAD_BYTES, Load, percentile
from benchmarks.mesh.plan import RUNS, Run, unit_of
from benchmarks.mesh.prose import REASONS
from benchmarks.mesh.result import Result, read


def nothing() -> None:
    """Do nothing."""


def test_a_record_is_done_when_every_receiver_has_it() -> None:
    done: list[str] = []
    load = Load(2)
    load.start_measuring()
    payload = load.publish(lambda: done.append("done"))

    load.arrived(payload)
    assert (done, load.under_way, load.counts()) == ([], 1, {"expected": 2, "delivered": 1})
    load.arrived(payload)

    assert (done, load.under_way, load.counts()) == (["done"], 0, {"expected": 2, "delivered": 2})
    assert len(payload) == PAYLOAD_BYTES
    assert len(load.latencies_s) == 2


def test_only_records_of_the_measured_time_are_expected_and_a_late_one_still_counts() -> None:
    load = Load(1)
    early = load.publish(nothing)
    load.start_measuring()
    measured = load.publish(nothing)
    load.arrived(early)
    load.stop_measuring()
    after = load.publish(nothing)
    load.arrived(measured)
    load.arrived(after)

    assert load.over
    assert load.counts() == {"expected": 1, "delivered": 1}
    assert load.deliveries_in_time == 1


def test_a_lost_record_is_given_up_and_stays_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    load = Load(1)
    load.start_measuring()
    load.publish(lambda: done.append("given up"))
    monkeypatch.setattr(loads, "GIVE_UP_S", -1.0)

    load.give_up()

    assert (done, load.under_way) == (["given up"], 0)
    assert load.counts() == {"expected": 1, "delivered": 0}


def test_two_loads_of_one_process_share_no_number() -> None:
    assert Load(1).publish(nothing) != Load(1).publish(nothing)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)])
def test_percentiles_are_by_nearest_rank(share: float, value: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], share) == value
    assert math.isnan(percentile([], share))


def test_a_subject_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    told: list[str] = []
    runs = (Run("no_such_subject"), Run("elsewhere", package="elsewhere"))

    measured = measure(runs, rounds=2, others_python=tmp_path / "no-python", tell=told.append)

    assert measured.figures == {}
    assert "No module named" in measured.failures["no_such_subject"]
    assert "no-python" in measured.failures["elsewhere"]
    assert [line for line in told if line.startswith("round 2")] == []
    assert sys.executable  # the first one ran with this Python


def test_the_last_line_is_the_result() -> None:
    line = '{"figures": {"raw bytes open p50": 1.0}, "counts": {}, "versions": {"uvloop": "1"}}'

    assert read(f"some words\n\n{line}\n") == Result(
        {"raw bytes open p50": 1.0}, {}, {"uvloop": "1"}
    )
    with pytest.raises(ValueError, match="Expecting value"):
        read("")


def test_goals_are_judged_and_a_missed_one_says_why() -> None:
    measured = Measured()
    measured.figures = {
        "voidlux signed 8 tls closed deliveries": [9_000.0, 10_000.0, 12_000.0],
        "ed25519 1 verifications": [20_000.0],
        "libp2p 8 closed deliveries": [100.0],
        "sync 0 missing bytes": [133],
    }
    measured.counts = {"libp2p 8 closed": {"expected": 300, "delivered": 200}}

    page = Summary(measured, rounds=3, took_s=1.0).page("make bench-mesh")

    share, flood = "signed flood of 8 nodes, times what Ed25519 allows one thread", "py-libp2p"
    assert f"| {share} | at least 0.8 | 0.5 | no |" in page
    assert f"| signed flood of 8 nodes, times {flood} | at least 50 | 100 | yes |" in page
    assert "| bytes of a sync of equal stores | at most 500 | 133 | yes |" in page
    assert "| copies for each delivery, 21 nodes | at most 1.3 | not measured |  |" in page
    assert f"- **{share}**: {REASONS[share]}" in page
    assert "| libp2p 8 closed | 300 | 200 |" in page


def test_every_name_of_the_plan_has_a_unit_and_every_run_a_module() -> None:
    folder = Path(loads.__file__).parent / "subjects"

    assert [run.label for run in RUNS if not (folder / f"{run.subject}.py").exists()] == []
    assert {unit_of(goal.value) for goal in GOALS} == {
        "deliveries/s",
        "copies/delivery",
        "ms",
        "bytes",
    }
    with pytest.raises(KeyError):
        unit_of("something strange")
