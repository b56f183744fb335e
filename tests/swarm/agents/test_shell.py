from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError
from swarm.agents import run_block
from swarm.agents.shell import (
    RunKind,
    RunState,
    deliver,
    observe,
    output_tail,
    prepare_run,
    stop,
)
from swarm.agents.tmux import TmuxServer
from tests.swarm.agents.waiting import wait_for


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs of 'agent'; $(touch pwned)" / "attempt-1"


def test_a_block_that_succeeds(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    script = 'pwd\nprintf "%s\\n" "$GREETING"\necho done > made.txt'
    env = {"GREETING": 'it\'s $HOME `x`\n"two" lines \\'}
    prepare_run(run_dir, script=script, worktree=worktree, env=env)
    assert observe(tmux, session, run_dir).kind is RunKind.NOT_STARTED

    assert deliver(tmux, session, run_dir) is True

    state = _ended(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 0)
    assert (state.source, state.rule) == ("exit file", "exit_recorded")
    assert state.output_tail == f"{worktree}\n{env['GREETING']}\n"
    assert state.started_at is not None and state.ended_at is not None
    assert state.started_at <= state.ended_at
    assert (worktree / "made.txt").read_text() == "done\n"
    wait_for(lambda: '"two" lines' in tmux.capture(session))


def test_the_program_of_a_run_starts_without_what_is_slow_to_import() -> None:
    folder = str(Path(run_block.__file__).parent)
    asked = f"import sys; sys.path.append({folder!r}); import run_block; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", asked]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert "run_block" in loaded
    slow = {"contextlib", "enum", "json", "pathlib", "re", "signal", "subprocess", "typing"}
    assert slow & set(loaded) == set()


def test_records_are_json(tmp_path: Path) -> None:
    fields = {"code": -2, "signal": None, "over": True, "at": run_block.now_text(), "mark": "1/2"}

    run_block.write_atomic(tmp_path / "record", fields)

    assert json.loads((tmp_path / "record").read_text()) == fields
    assert datetime.fromisoformat(str(fields["at"])).utcoffset() == timedelta()
    for text in ('"', "\\", "\n", "\u00e4"):
        with pytest.raises(ValueError, match="is no plain word"):
            run_block.write_atomic(tmp_path / "record", {"mark": text})
    assert json.loads((tmp_path / "record").read_text()) == fields


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 3", 3),
        ("false\necho unreachable", 1),
        ('echo "$UNSET_VARIABLE"', 2),
        ("no-such-command-here", 127),
        ("kill -KILL $$", 137),
        ("read -r answer || exit 9", 9),
    ],
)
def test_exit_codes(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path, script: str, code: int
) -> None:
    state = _run(tmux, session, worktree, run_dir, script)
    assert (state.kind, state.code) == (RunKind.EXITED, code)
    assert "unreachable" not in state.output_tail


def test_a_missing_worktree_is_an_exit_with_its_reason(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    state = _run(tmux, session, worktree / "gone", run_dir, "true")
    assert state.code == 127
    assert state.output_tail.startswith("cannot start the block: ")


def test_running_names_the_process(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    _start_sleeper(tmux, session, worktree, run_dir)
    state = observe(tmux, session, run_dir)
    assert state.kind is RunKind.RUNNING
    assert state.pid is not None and run_block.process_mark(state.pid) is not None
    assert state.started_at is not None


def test_delivering_twice_runs_once(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    prepare_run(run_dir, script="echo once >> count", worktree=worktree, env={})
    # Both are typed before the first can have started.
    assert deliver(tmux, session, run_dir) is True
    tmux.paste(session, f"sh {shlex.quote(str(run_dir / 'run.sh'))}", enter=True)
    wait_for(lambda: "started before" in tmux.capture(session))
    assert deliver(tmux, session, run_dir) is False
    assert observe(tmux, session, run_dir).code == 0
    assert (worktree / "count").read_text() == "once\n"


def test_preparing_again_leaves_a_started_run_alone(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    first = _run(tmux, session, worktree, run_dir, "echo first")
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    prepare_run(run_dir, script="echo second", worktree=worktree, env={"A": "b"})
    assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == before
    assert observe(tmux, session, run_dir) == first


def test_a_killed_run_is_lost_and_its_survivors_are_named_and_ended(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    runner, block = _start_sleeper(tmux, session, worktree, run_dir)
    os.kill(runner, signal.SIGKILL)
    state = _until(RunKind.LOST, tmux, session, run_dir)
    assert state.rule == "recorded_process_gone"
    assert state.evidence == (
        f"process {runner} is gone without an exit on record; "
        f"its block, process group {block}, still runs"
    )
    assert state.output_tail == "asleep\n"

    stopped = stop(tmux, session, run_dir)

    assert stopped.kind is RunKind.LOST
    assert stopped.evidence == f"process {runner} is gone without an exit on record"
    assert run_block.process_mark(block) is None


@pytest.mark.parametrize("delay_ms", range(0, 120, 6))
def test_a_kill_at_any_moment_leaves_the_truth(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path, delay_ms: int
) -> None:
    prepare_run(run_dir, script="touch ran\nsleep 0.02", worktree=worktree, env={})
    runner = subprocess.Popen(["sh", run_dir / "run.sh"], stdout=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        runner.wait(delay_ms / 1000)
    runner.kill()
    runner.wait()

    seen = observe(tmux, session, run_dir)
    state = stop(tmux, session, run_dir)

    expected = {RunKind.NOT_STARTED: RunKind.LOST}.get(seen.kind, seen.kind)
    assert state.kind is expected and seen.kind is not RunKind.RUNNING
    assert "still runs" not in state.evidence
    if (worktree / "ran").exists():
        assert (run_dir / "started").exists() and (run_dir / "block").exists()
    if state.kind is RunKind.EXITED:
        assert state.code == 0 and (worktree / "ran").exists()


def test_survivors_are_found_after_the_leader_of_the_block_is_gone(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    runner, block = _start_sleeper(tmux, session, worktree, run_dir)
    # Killed any sooner the leader would have left nobody behind.
    sleeper = ["pgrep", "-g", str(block), "-x", "sleep"]
    wait_for(lambda: subprocess.run(sleeper, stdout=subprocess.DEVNULL).returncode == 0)
    os.kill(runner, signal.SIGKILL)
    os.kill(block, signal.SIGKILL)
    wait_for(lambda: not any(map(run_block.process_mark, (runner, block))))
    assert "still runs" in observe(tmux, session, run_dir).evidence
    stop(tmux, session, run_dir)
    wait_for(lambda: not run_block.group_alive(block))


def test_a_reused_process_id_is_not_taken_for_the_run(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    prepare_run(run_dir, script="true", worktree=worktree, env={})
    mine = {"pid": os.getpid(), "mark": "1/1", "started_at": "2026-01-01T00:00:00+00:00"}
    (run_dir / "started").write_text(json.dumps(mine))
    (run_dir / "block").write_text(json.dumps({"pid": os.getpgrp(), "mark": "1/1"}))
    state = stop(tmux, session, run_dir)
    assert state.kind is RunKind.LOST
    assert "still runs" not in state.evidence


def test_marks_without_proc_agree_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_block, "HAS_PROC", False)
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        mark = run_block.process_mark(process.pid)
        assert mark is not None and mark == run_block.process_mark(process.pid)
        assert run_block.group_alive(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # Dead, though not reaped yet.
        assert run_block.process_mark(process.pid) is None
        assert not run_block.group_alive(process.pid)


def test_a_session_killed_before_the_start_is_lost(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    prepare_run(run_dir, script="true", worktree=worktree, env={})
    tmux.kill_session(session)
    state = observe(tmux, session, run_dir)
    assert (state.kind, state.rule) == (RunKind.LOST, "session_gone")
    assert state.evidence == "session 'agent-1' is gone, the run not started"


def test_a_shell_that_ended_before_the_start_is_lost(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    prepare_run(run_dir, script="true", worktree=worktree, env={})
    tmux.paste(session, "exit 5", enter=True)
    wait_for(lambda: tmux.pane_dead(session) is not None)
    state = observe(tmux, session, run_dir)
    assert (state.kind, state.rule) == (RunKind.LOST, "shell_ended")
    assert state.evidence == "the shell of session 'agent-1' ended with 5, the run not started"


def test_a_session_killed_meanwhile_ends_the_block_and_is_recorded(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    _, block = _start_sleeper(tmux, session, worktree, run_dir)
    tmux.kill_session(session)
    state = _ended(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 129)
    assert "after SIGHUP" in state.evidence
    assert run_block.process_mark(block) is None


def test_interrupting_in_the_terminal_is_recorded(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    _start_sleeper(tmux, session, worktree, run_dir)
    tmux.interrupt(session)
    state = _ended(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 130)


def test_stop_ends_a_run_and_leaves_the_session_usable(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    _, block = _start_sleeper(tmux, session, worktree, run_dir)
    state = stop(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 130)
    assert run_block.process_mark(block) is None
    tmux.paste(session, "touch usable", enter=True)
    wait_for((worktree / "usable").exists)


def test_stop_ends_a_block_that_ignores_signals(
    tmux: TmuxServer,
    session: str,
    worktree: Path,
    run_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("swarm.agents.shell.INTERRUPT_WAIT_S", 0.2)
    monkeypatch.setattr("swarm.agents.shell.TERMINATE_WAIT_S", 0.2)
    _, block = _start_sleeper(tmux, session, worktree, run_dir, "trap '' INT TERM HUP\n")
    state = stop(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 137)
    assert not run_block.group_alive(block)


def test_a_terminated_runner_kills_a_block_that_ignores_it(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    runner, _ = _start_sleeper(tmux, session, worktree, run_dir, "trap '' INT TERM HUP\n")
    os.kill(runner, signal.SIGTERM)
    state = _ended(tmux, session, run_dir)
    assert (state.kind, state.code) == (RunKind.EXITED, 137)


def test_a_run_stopped_before_its_start_never_starts(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    prepare_run(run_dir, script="touch ran", worktree=worktree, env={})
    assert stop(tmux, session, run_dir).rule == "stopped_before_start"
    assert deliver(tmux, session, run_dir) is False
    done = subprocess.run(["sh", run_dir / "run.sh"], capture_output=True, check=True)
    assert b"started before" in done.stdout
    assert not (worktree / "ran").exists()
    assert observe(tmux, session, run_dir).kind is RunKind.LOST


def test_stop_leaves_a_finished_run_as_it_is(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    ended = _run(tmux, session, worktree, run_dir, "exit 4")
    assert stop(tmux, session, run_dir) == ended


def test_background_processes_end_with_the_block(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    state = _run(tmux, session, worktree, run_dir, "sleep 1000 &\necho $! > background\necho end")
    assert (state.code, state.output_tail) == (0, "end\n")
    pid = int((worktree / "background").read_text())
    wait_for(lambda: run_block.process_mark(pid) is None)


def test_a_fresh_process_sees_what_happened(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    node = subprocess.Popen(
        [sys.executable, "-c", _NODE, tmux.socket_name, session, str(run_dir), str(worktree)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert node.stdout is not None and node.stdout.readline() == "delivered\n"
    os.killpg(node.pid, signal.SIGKILL)
    node.wait()
    wait_for((worktree / "asleep").exists)

    assert _observed_elsewhere(tmux, session, run_dir) == "running None"
    (worktree / "go").touch()
    _ended(tmux, session, run_dir)
    assert _observed_elsewhere(tmux, session, run_dir) == "exited 6"


_NODE = """
import sys, time
from pathlib import Path
from swarm.agents.shell import deliver, prepare_run
from swarm.agents.tmux import TmuxServer
run_dir, worktree = Path(sys.argv[3]), Path(sys.argv[4])
script = "touch asleep; while [ ! -e go ]; do sleep 0.05; done; exit 6"
prepare_run(run_dir, script=script, worktree=worktree, env={})
deliver(TmuxServer(sys.argv[1]), sys.argv[2], run_dir)
print("delivered", flush=True)
time.sleep(1000)
"""

_OBSERVER = """
import sys
from pathlib import Path
from swarm.agents.shell import observe
from swarm.agents.tmux import TmuxServer
state = observe(TmuxServer(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
print(state.kind, state.code)
"""


def test_the_block_sees_no_secret_of_the_node(
    tmux: TmuxServer, worktree: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOIDLUX_AUTH_SECRET", "do-not-leak")
    tmux.ensure_session("agent-1", cwd=worktree, env={"PATH": os.environ["PATH"]})
    prepare_run(run_dir, script="env", worktree=worktree, env={"OWN_TOKEN": "mine"})
    deliver(tmux, "agent-1", run_dir)
    lines = _ended(tmux, "agent-1", run_dir).output_tail.splitlines()
    assert "OWN_TOKEN=mine" in lines
    assert not any("do-not-leak" in line for line in lines)


def test_what_is_on_disk_is_for_the_owner_only(worktree: Path, run_dir: Path) -> None:
    prepare_run(run_dir, script="true", worktree=worktree, env={"OWN_TOKEN": "mine"})
    assert run_dir.stat().st_mode & 0o777 == 0o700
    assert (run_dir / "run.sh").stat().st_mode & 0o777 == 0o600


def test_the_output_on_disk_is_bounded_and_keeps_its_end(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    script = "head -c 30000000 /dev/zero | tr '\\0' x\necho; echo the end"
    state = _run(tmux, session, worktree, run_dir, script)
    assert state.code == 0
    assert len(state.output_tail) == 4000
    assert state.output_tail.endswith("x\nthe end\n")
    kept = sum(path.stat().st_size for path in run_dir.glob("output*"))
    assert 4_000_000 < kept <= run_block.OUTPUT_BYTES_MAX + 2 * 65536


def test_output_tail_counts_characters(tmp_path: Path) -> None:
    assert output_tail(tmp_path) == ""
    (tmp_path / "output.older.log").write_text("äöü", encoding="utf-8")
    (tmp_path / "output.log").write_text("ß€", encoding="utf-8")
    assert output_tail(tmp_path) == "äöüß€"
    assert output_tail(tmp_path, chars=3) == "üß€"


@pytest.mark.parametrize(
    ("script", "env", "code"),
    [
        ("  \n", {}, "bad_script"),
        ("x" * (256 * 1024 + 1), {}, "bad_script"),
        ("a\x00b", {}, "bad_script"),
        ("\ud800", {}, "bad_script"),
        ("true", {"A B": "x"}, "bad_env"),
        ("true", {"A;touch x": "x"}, "bad_env"),
        ("true", {"A": "x\x00"}, "bad_env"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(
    run_dir: Path, worktree: Path, script: str, env: dict[str, str], code: str
) -> None:
    with pytest.raises(DomainError) as refused:
        prepare_run(run_dir, script=script, worktree=worktree, env=env)
    assert refused.value.code == code
    assert not run_dir.exists()


@pytest.mark.parametrize("name", ["a\nb", "a\x03b"])
def test_paths_that_cannot_be_typed_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DomainError) as refused:
        prepare_run(tmp_path / name, script="true", worktree=tmp_path, env={})
    assert refused.value.code == "bad_path"


def _run(tmux: TmuxServer, session: str, worktree: Path, run_dir: Path, script: str) -> RunState:
    prepare_run(run_dir, script=script, worktree=worktree, env={})
    assert deliver(tmux, session, run_dir)
    return _ended(tmux, session, run_dir)


def _ended(tmux: TmuxServer, session: str, run_dir: Path) -> RunState:
    return _until(RunKind.EXITED, tmux, session, run_dir)


def _until(kind: RunKind, tmux: TmuxServer, session: str, run_dir: Path) -> RunState:
    wait_for(lambda: observe(tmux, session, run_dir).kind is kind)
    return observe(tmux, session, run_dir)


def _start_sleeper(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path, first: str = ""
) -> tuple[int, int]:
    script = f"{first}echo asleep\ntouch asleep\nwhile :; do sleep 1000; done\n"
    prepare_run(run_dir, script=script, worktree=worktree, env={})
    deliver(tmux, session, run_dir)
    wait_for((worktree / "asleep").exists)
    wait_for(lambda: output_tail(run_dir) == "asleep\n")
    pids = [json.loads((run_dir / name).read_text())["pid"] for name in ("started", "block")]
    return pids[0], pids[1]


def _observed_elsewhere(tmux: TmuxServer, session: str, run_dir: Path) -> str:
    argv = [sys.executable, "-c", _OBSERVER, tmux.socket_name, session, str(run_dir)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
