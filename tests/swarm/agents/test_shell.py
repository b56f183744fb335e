from __future__ import annotations

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
    deliver,
    observe,
    output_tail,
    prepare_run,
)
from swarm.agents.tmux import TmuxServer
from tests.swarm.agents.shell_runs import run_to_its_end, start_sleeper, until_ended
from tests.swarm.agents.waiting import wait_for


def test_a_block_that_succeeds(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    script = 'pwd\nprintf "%s\\n" "$GREETING"\necho done > made.txt'
    env = {"GREETING": 'it\'s $HOME `x`\n"two" lines \\'}
    prepare_run(run_dir, script=script, worktree=worktree, env=env)
    assert observe(tmux, session, run_dir).kind is RunKind.NOT_STARTED

    assert deliver(tmux, session, run_dir) is True

    state = until_ended(tmux, session, run_dir)
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
    state = run_to_its_end(tmux, session, worktree, run_dir, script)
    assert (state.kind, state.code) == (RunKind.EXITED, code)
    assert "unreachable" not in state.output_tail


def test_a_missing_worktree_is_an_exit_with_its_reason(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    state = run_to_its_end(tmux, session, worktree / "gone", run_dir, "true")
    assert state.code == 127
    assert state.output_tail.startswith("cannot start the block: ")


def test_running_names_the_process(
    tmux: TmuxServer, session: str, worktree: Path, run_dir: Path
) -> None:
    start_sleeper(tmux, session, worktree, run_dir)
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
    first = run_to_its_end(tmux, session, worktree, run_dir, "echo first")
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    prepare_run(run_dir, script="echo second", worktree=worktree, env={"A": "b"})
    assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == before
    assert observe(tmux, session, run_dir) == first


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
    until_ended(tmux, session, run_dir)
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
    lines = until_ended(tmux, "agent-1", run_dir).output_tail.splitlines()
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
    state = run_to_its_end(tmux, session, worktree, run_dir, script)
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


def _observed_elsewhere(tmux: TmuxServer, session: str, run_dir: Path) -> str:
    argv = [sys.executable, "-c", _OBSERVER, tmux.socket_name, session, str(run_dir)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
