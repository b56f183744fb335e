"""Test runs as rows: seen from their start, closed by their end or by their worker's death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from p2p.local import LocalNode, acting_as, local_node
from p2p.models import OutboxMessage
from p2p.protocol.errors import ExternalError
from swarm.gate.evidence import how_it_ended
from swarm.gate.evidence import test_commit as run_test
from swarm.gate.run_rows import begin_run, close_abandoned, end_run, held_log, scratch_of
from swarm.models import Task, TestRun
from swarm.states import TaskStatus, TestRunState
from tests.support.factories import NOW, make_task

ROOT = Path(__file__).parents[3]
COMMIT = "c" * 40
REPORT = (
    '<testsuite><testcase classname="a" name="b"><failure/></testcase><testcase name="c"/>'
    "</testsuite>"
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    node = local_node()
    folder = tmp_path / "home"
    folder.mkdir()
    with acting_as(LocalNode(folder, node.identity, node.network, node.swarm)):
        yield folder


@pytest.fixture
def goal(home: Path) -> Task:
    return make_task("Goal", TaskStatus.IN_PROGRESS)


def _run(goal: Task, worktree: Path, command: str, commit: str = COMMIT) -> TestRun:
    run = run_test(goal, worktree, commit, command)
    assert run is not None
    return run


def _events() -> list[str]:
    rows = OutboxMessage.objects.order_by("id").values_list("event", flat=True)
    return [row["event"] for row in rows if row and row["type"] == "test_run_update"]


@pytest.mark.parametrize(
    ("command", "state", "exit_code", "ended"),
    [
        ("true", "passed", 0, "ended with 0"),
        ("exit 3", "failed", 3, "ended with 3"),
        ("no-such-program", "failed", 127, "ended with 127 (command not found)"),
        ("sleep 60", "timed_out", None, "ran longer than its limit of 1 s"),
    ],
)
def test_a_run_is_told_from_its_start_to_its_end(
    goal: Task, tmp_path: Path, command: str, state: str, exit_code: int | None, ended: str
) -> None:
    goal.test_settings = {"time_limit_s": 1}

    run = _run(goal, tmp_path, command)

    assert (run.state, run.exit_code, how_it_ended(run)) == (state, exit_code, ended)
    assert (run.passed, run.timed_out) == (state == "passed", state == "timed_out")
    assert run.time_limit_s == 1
    assert run.ended_at is not None and run.ended_at >= run.at
    assert _events() == ["running", state]


def test_the_nodes_limit_counts_where_the_repository_names_none(goal: Task, tmp_path: Path) -> None:
    assert _run(goal, tmp_path, "true").time_limit_s == settings.ENVIRONMENT.test_time_limit_s


def test_a_result_is_not_repeated(goal: Task, tmp_path: Path) -> None:
    command = "echo x >> count"

    runs = {_run(goal, tmp_path, command).id for _ in range(2)}

    assert len(runs) == 1
    assert (tmp_path / "count").read_text() == "x\n"
    assert run_test(goal, tmp_path, COMMIT, "") is None


def test_the_failing_tests_are_named(goal: Task, tmp_path: Path, home: Path) -> None:
    run = _run(goal, tmp_path, f"echo '{REPORT}' > $VOIDLUX_JUNIT; exit 1")

    assert (run.tests_run, run.tests_failed, run.failing_tests) == (2, 1, ["a::b"])
    assert how_it_ended(run) == "ended with 1; 1 of 2 tests failed: a::b"
    assert [path.suffix for path in (home / "logs" / "tests").iterdir()] == [".log"]


def test_the_repository_names_its_reports(goal: Task, tmp_path: Path) -> None:
    goal.test_settings = {"junit": "out/**/*.xml"}
    goal.save()
    command = f"mkdir -p out/deep && echo '{REPORT}' > out/deep/a.xml && echo '<' > out/b.xml"

    run = _run(goal, tmp_path, command)

    assert (run.state, run.tests_run, run.failing_tests) == ("passed", 2, ["a::b"])
    assert run.report_note.startswith("b.xml: no XML: ")


def _abandoned(goal: Task, home: Path) -> TestRun:
    log = home / "logs" / "tests" / "dead.log"
    scratch_of(log).mkdir(parents=True)
    log.write_text("begun\n")
    return begin_run(
        TestRun(
            goal=goal,
            commit=COMMIT,
            command="true",
            log_path=str(log.relative_to(home)),
            at=NOW,
        )
    )


def test_a_row_left_running_is_no_result(goal: Task, home: Path, tmp_path: Path) -> None:
    lost = _abandoned(goal, home)

    run = _run(goal, tmp_path, "true")

    lost.refresh_from_db()
    assert (lost.state, lost.passed) == ("interrupted", False)
    assert (run.state, run.id != lost.id) == ("passed", True)
    assert _events() == ["running", "interrupted", "running", "passed"]


def test_the_sweep_closes_rows_of_dead_workers_only(goal: Task, home: Path) -> None:
    lost = _abandoned(goal, home)
    log = home / lost.log_path

    with held_log(log):
        assert close_abandoned(NOW) == 0
        assert scratch_of(log).is_dir()
    assert close_abandoned(NOW + timedelta(seconds=1)) == 1

    lost.refresh_from_db()
    assert (lost.state, lost.ended_at) == ("interrupted", NOW + timedelta(seconds=1))
    assert not scratch_of(log).exists()
    assert close_abandoned(NOW) == 0


def test_a_run_of_another_worker_is_waited_for(goal: Task, home: Path, tmp_path: Path) -> None:
    other = _abandoned(goal, home)

    with (
        held_log(home / other.log_path),
        pytest.raises(ExternalError, match="is still at work") as caught,
    ):
        run_test(goal, tmp_path, COMMIT, "true")

    assert caught.value.retryable
    other.refresh_from_db()
    assert other.state == "running"


def test_a_run_that_was_taken_for_lost_gives_no_result(goal: Task, home: Path) -> None:
    lost = _abandoned(goal, home)
    close_abandoned(NOW)

    with pytest.raises(ExternalError, match="was closed meanwhile"):
        end_run(lost, TestRunState.PASSED)

    lost.refresh_from_db()
    assert (lost.state, lost.passed) == ("interrupted", False)


def test_a_test_that_cannot_start_is_interrupted(goal: Task, tmp_path: Path) -> None:
    with pytest.raises(ExternalError, match="cannot start"):
        run_test(goal, tmp_path / "gone", COMMIT, "true")

    assert list(TestRun.objects.values_list("state", flat=True)) == ["interrupted"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"passed": True, "state": "failed"},
        {"passed": False, "state": "passed"},
        {"passed": False, "state": "odd"},
    ],
)
def test_the_database_holds_verdict_and_state_together(
    goal: Task, wrong: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        TestRun.objects.create(goal=goal, commit=COMMIT, command="true", at=NOW, **wrong)

    assert TestRun.objects.count() == 0


HOLDER = """
import sys, time
from pathlib import Path
from swarm.gate.run_rows import held_log
with held_log(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_worker_lets_go_of_its_run(goal: Task, home: Path) -> None:
    lost = _abandoned(goal, home)
    log = home / lost.log_path
    prelude = "import django; django.setup()\n"
    worker = subprocess.Popen(
        [sys.executable, "-c", prelude + HOLDER, str(log)],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "voidlux_site.settings"},
        stdout=subprocess.PIPE,
    )
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"held\n"
        assert close_abandoned(NOW) == 0

        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()

        assert close_abandoned(NOW) == 1
    finally:
        worker.kill()
        worker.wait()
