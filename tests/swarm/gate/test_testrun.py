from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError, ExternalError
from swarm.gate.testrun import TestOutcome, run_test_command

ROOT = Path(__file__).parents[3]
DEADLINE_S = 15.0


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., TestOutcome]:
    """Run a command in a folder of its own."""

    def call(
        command: str, time_limit_s: float = 60, env: dict[str, str] | None = None
    ) -> TestOutcome:
        log_path = tmp_path / "logs" / "test.log"
        return run_test_command(
            command, cwd=tmp_path, log_path=log_path, time_limit_s=time_limit_s, env=env
        )

    return call


def test_pass(run: Callable[..., TestOutcome], tmp_path: Path) -> None:
    outcome = run("echo out; echo err >&2; pwd")

    assert (outcome.passed, outcome.exit_code, outcome.timed_out) == (True, 0, False)
    assert outcome.output_tail == f"out\nerr\n{tmp_path}\n"
    assert outcome.log_path.read_text() == outcome.output_tail
    assert 0 < outcome.duration_s < 10


@pytest.mark.parametrize(
    ("command", "exit_code"), [("exit 3", 3), ("kill -9 $$", -9), ("no-such-program", 127)]
)
def test_failure(run: Callable[..., TestOutcome], command: str, exit_code: int) -> None:
    outcome = run(command)

    assert (outcome.passed, outcome.exit_code, outcome.timed_out) == (False, exit_code, False)


def test_hanging_command_is_ended_at_its_limit(run: Callable[..., TestOutcome]) -> None:
    outcome = run("echo begun; sleep 60 & echo $!; wait", time_limit_s=0.5)

    begun, pid = outcome.output_tail.split()
    assert (outcome.passed, outcome.exit_code, outcome.timed_out) == (False, None, True)
    assert begun == "begun"
    assert 0.5 <= outcome.duration_s < 5
    assert not _alive(int(pid))


def test_command_that_ignores_the_polite_signal_is_killed(run: Callable[..., TestOutcome]) -> None:
    outcome = run("trap '' TERM; echo $$; while :; do sleep 0.1; done", time_limit_s=0.3)

    assert outcome.timed_out
    assert not _alive(int(outcome.output_tail.split()[0]))


def test_polite_signal_lets_a_command_say_goodbye(run: Callable[..., TestOutcome]) -> None:
    outcome = run("trap 'echo goodbye; exit 0' TERM; sleep 60 & wait", time_limit_s=0.3)

    assert (outcome.passed, outcome.exit_code, outcome.timed_out) == (False, None, True)
    assert outcome.output_tail == "goodbye\n"


@pytest.mark.parametrize(
    "daemon",
    [
        "sleep 60 &",
        "trap '' TERM; sleep 60 &",
        "setsid sleep 60 &",
        "setsid sh -c 'setsid sleep 60 & sleep 60' &",
    ],
    ids=["in the group", "ignoring signals", "in its own session", "with a child of its own"],
)
def test_daemon_left_behind_is_ended(
    run: Callable[..., TestOutcome], tmp_path: Path, daemon: str
) -> None:
    mark = f"LEFT_BEHIND={tmp_path.name}"

    outcome = run(f"{daemon} sleep 0.2; exit 0", env=dict([mark.split("=")]))

    assert outcome.passed
    assert outcome.duration_s < 5
    assert _processes_with(mark) == []


def test_a_gigabyte_of_output_stays_small_on_disk(run: Callable[..., TestOutcome]) -> None:
    outcome = run("echo first; yes 0123456789abcdef | head -c 1000000000; echo; echo last")

    log = outcome.log_path.read_bytes()
    assert outcome.passed
    assert log.startswith(b"first\n0123456789abcdef\n")
    assert outcome.output_tail.endswith("\nlast\n")
    assert len(outcome.output_tail) == 4_000
    assert b"\n[... 990000012 bytes left out ...]\n" in log
    assert len(log) == 10_000_000 + len(b"\n[... 990000012 bytes left out ...]\n")


def test_output_that_is_no_text_is_replaced(run: Callable[..., TestOutcome]) -> None:
    outcome = run(r"printf 'a\377\000b'")

    assert outcome.output_tail == "a\ufffd\ufffdb"


def test_secrets_stay_out_and_given_variables_come_in(
    run: Callable[..., TestOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VOIDLUX_AUTH_SECRET", "ANTHROPIC_API_KEY", "GITHUB_TOKEN", "DATABASE_URL"):
        monkeypatch.setenv(name, "hidden-value")

    outcome = run("env", env={"GIVEN": "yes"})

    assert "hidden-value" not in outcome.output_tail
    lines = outcome.output_tail.splitlines()
    assert "GIVEN=yes" in lines
    assert "PYTHONDONTWRITEBYTECODE=1" in lines
    assert f"PATH={os.environ['PATH']}" in lines


@pytest.mark.parametrize("command", ["", " \n", "a\0b"])
def test_empty_command_is_refused(run: Callable[..., TestOutcome], command: str) -> None:
    with pytest.raises(DomainError) as caught:
        run(command)

    assert caught.value.code == "bad_test_command"


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan")])
def test_senseless_limit_is_refused(run: Callable[..., TestOutcome], limit: float) -> None:
    with pytest.raises(DomainError, match="time limit"):
        run("true", time_limit_s=limit)


def test_missing_folder_is_an_external_error(tmp_path: Path) -> None:
    with pytest.raises(ExternalError, match="cannot start"):
        run_test_command("true", cwd=tmp_path / "gone", log_path=tmp_path / "log", time_limit_s=5)


def test_unwritable_log_is_an_external_error(tmp_path: Path) -> None:
    with pytest.raises(ExternalError, match="cannot start"):
        run_test_command("true", cwd=tmp_path, log_path=tmp_path, time_limit_s=5)


WORKER = """
import sys
from pathlib import Path
from swarm.gate.testrun import run_test_command
folder = Path(sys.argv[1])
command = "setsid sleep 600 & echo $! $$ > pids.tmp; mv pids.tmp pids; sleep 600"
run_test_command(command, cwd=folder, log_path=folder / "log", time_limit_s=600)
"""


@pytest.mark.parametrize("victim", ["worker", "supervisor"])
def test_nothing_outlives_a_killed_worker(tmp_path: Path, victim: str) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], cwd=ROOT)
    try:
        _wait_for(lambda: (tmp_path / "pids").exists())
        pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
        assert all(_alive(pid) for pid in pids)

        if victim == "worker":
            os.kill(worker.pid, signal.SIGKILL)
        else:
            os.kill(_parent_of(pids[1]), signal.SIGTERM)

        _wait_for(lambda: not any(_alive(pid) for pid in pids))
    finally:
        worker.kill()
        worker.wait()


def _alive(pid: int) -> bool:
    return _stat(pid)[0] not in {"", "Z"}


def _parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["", "0"]


def _processes_with(variable: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
