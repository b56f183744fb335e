"""Shell blocks of sold work in a real `bwrap`: what they see, what they leave, how they end."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError
from swarm.agents import isolation, run_block, steps
from swarm.agents.block_files import WRAPPER, output_tail, read_record
from swarm.agents.places import run_dir_of, worktree_of
from swarm.clean_env import clean_environment
from swarm.git.command import run_git
from swarm.git.repository import Repository
from swarm.mcp.access import McpAccess
from swarm.sandbox import bwrap
from swarm.worktrees.actions import trust_hooks
from tests.support.factories import NOW
from tests.support.git_remote import GitRemote
from tests.support.mcp_endpoint import mcp_endpoint
from tests.swarm.agents.waiting import wait_for
from tests.swarm.sandbox.conftest import Environment, Sold

COMMIT = "echo hi > hi.txt; git add hi.txt; git commit -qm hi"


def test_a_commit_of_the_block_reaches_the_remote(sold: Sold, home: Path) -> None:
    attempt, code, output = sold.run(f"{COMMIT}; echo more > more.txt; git log --format=%an%x20%s")

    assert (code, output) == (0, "ann hi\nTest change main\n")
    commit = steps.publish(attempt)

    assert sold.remote.refs()[f"refs/heads/{attempt.branch}"] == commit
    names = run_git(["log", "--format=%s", commit], cwd=sold.remote.path).stdout
    assert names == "Say hello\nhi\nchange main\n"
    assert steps.publish(attempt) == commit, "a repeat finds it done"
    assert steps.clean_up(attempt) == []
    assert not worktree_of(attempt).exists()


def test_secrets_and_other_work_cannot_be_read(
    sold: Sold, home: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOIDLUX_AUTH_SECRET", "hidden-value-of-the-swarm")
    other = sold.attempt("true")
    (worktree_of(other) / "theirs").write_text("of another buyer")
    clone = Repository(str(sold.remote.path), home).path
    run_git(["config", "credential.helper", "hidden"], cwd=clone)
    wanted = [home / name for name in ("identity.pem", "api-token", "voidlux.sqlite3")]
    wanted += [worktree_of(other) / "theirs", run_dir_of(other), outside / "owner" / "notes"]
    wanted += [Path("/etc/shadow"), clone / "worktrees" / worktree_of(other).name]
    assert all(path.exists() for path in wanted)
    tries = "; ".join(f"! test -e '{path}' || echo SEEN '{path}'" for path in wanted)

    _, code, output = sold.run(f"{tries}; env; git config --list; git branch -a; ls {home}/*")

    assert code == 0, output
    for leaked in ("SEEN", "hidden", "remote", other.branch, str(sold.remote.path)):
        assert leaked not in output
    assert f"{home}/worktrees:\n{worktree_of(sold.made[-1]).name}\n" in output


def test_the_operators_files_are_not_copied_for_others(sold: Sold, home: Path) -> None:
    sold.base = sold.remote.push("main", {".worktreeinclude": "*.tmp\n"}, start=sold.base)
    include = Repository(str(sold.remote.path), home).own_dir / "include"
    include.mkdir(parents=True)
    (include / "key.tmp").write_text("a secret")

    for_others, _, output = sold.run("ls -A")
    own = sold.attempt("true", tribute_id=None)

    assert "key.tmp" not in output and isolation.had_cell(for_others)
    assert (worktree_of(own) / "key.tmp").read_text() == "a secret"
    assert not isolation.had_cell(own)


def test_nothing_outside_can_be_written(sold: Sold, home: Path, outside: Path) -> None:
    clone = Repository(str(sold.remote.path), home).path
    targets = [f"{outside}/x", f"{clone}/objects/x", f"{clone}/hooks/x", "/usr/x", f"{home}/x"]
    tries = " ".join(f"(echo x > {path}) 2>/dev/null || true;" for path in targets)
    attempt, code, output = sold.run(
        f"{tries} rm -f .git 2>/dev/null || true; (echo x > .git) 2>/dev/null || true; "
        "(echo x > $VOIDLUX_SAY) 2>/dev/null || true; echo x > ~/x; echo done"
    )

    assert (code, output) == (0, "done\n")
    assert not any(Path(path).exists() for path in targets)
    assert not (outside / "owner" / "x").exists()
    assert (worktree_of(attempt) / ".git").read_text().startswith("gitdir: ")
    assert "exec" in (run_dir_of(attempt) / "say").read_text()


def test_other_processes_are_out_of_sight_and_daemons_end_with_it(sold: Sold) -> None:
    attempt, code, output = sold.run("setsid sleep 600 & ls -d /proc/[0-9]* | wc -l")

    assert code == 0
    assert int(output) < 8
    inside = str(worktree_of(attempt))
    assert not [entry for entry in Path("/proc").glob("[0-9]*/cwd") if _leads_to(entry, inside)]


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -KILL $$", 137)])
def test_exit_codes_pass_through(sold: Sold, script: str, code: int) -> None:
    attempt, ended, _ = sold.run(script)

    assert ended == code
    record = read_record(run_dir_of(attempt) / run_block.EXIT)
    assert record is not None and record["code"] == code


def test_a_signal_to_the_run_ends_all_of_it(sold: Sold) -> None:
    attempt = sold.attempt("trap '' INT TERM; echo up; setsid sleep 600 & sleep 600")
    run_dir, inside = run_dir_of(attempt), str(worktree_of(attempt))
    runner = subprocess.Popen(
        ["sh", str(run_dir / WRAPPER)], env=clean_environment(), stdout=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: output_tail(run_dir) == "up\n")
        runner.send_signal(signal.SIGTERM)
        runner.wait(20)
    finally:
        runner.kill()
        runner.wait()

    record = read_record(run_dir / run_block.EXIT)
    assert record is not None
    assert (record["code"], record["signal"]) == (143, "SIGTERM")
    wait_for(lambda: not [e for e in Path("/proc").glob("[0-9]*/cwd") if _leads_to(e, inside)])


@pytest.mark.parametrize(("network", "code"), [("1", 0), ("0", 1)])
def test_the_network_and_the_node_are_open_unless_closed(
    sold: Sold, environment: Environment, network: str, code: int
) -> None:
    environment(sold_network=network)
    script = (
        "import socket; server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        "server.connect(('198.51.100.1', 9))"
    )

    _, ended, output = sold.run(f'/usr/bin/python3 -c "{script}"')

    assert ended == code, output


def test_a_block_speaks_to_its_node(sold: Sold) -> None:
    attempt = sold.attempt('sh "$VOIDLUX_SAY" progress hello 2>/dev/null || true; echo over')
    with mcp_endpoint() as (url, calls):
        steps.give_access(attempt, McpAccess(url, "t0ken"))
        ended = sold.finish(attempt)

    said = {"task_id": attempt.task_id.hex, "note": "hello"}
    assert ended == (0, "over\n")
    assert calls == [("Bearer t0ken", {"name": "task_progress", "arguments": said})]


@pytest.mark.parametrize("scheme", ["file", "https"])
def test_the_node_pushes_with_what_only_its_owner_has(
    sold: Sold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    remote = GitRemote(tmp_path)
    base = remote.push("main", {"README": "hello\n"})
    owners = tmp_path / "gitconfig"
    owners.write_text(f'[url "{remote.path}"]\n\tinsteadOf = https://git.invalid/private.git\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(owners))
    url = f"file://{remote.path}" if scheme == "file" else "https://git.invalid/private.git"

    attempt, code, output = sold.run(
        f"{COMMIT}; ! git ls-remote {url} 2>/dev/null", repository=url, base_commit=base
    )

    assert code == 0, output
    commit = steps.publish(attempt)
    assert remote.refs()[f"refs/heads/{attempt.branch}"] == commit


def test_a_trusted_hook_runs_in_the_sandbox_too(sold: Sold, home: Path) -> None:
    hooks = f'[worktree]\nsetup = "cat {home}/api-token"\n'
    sold.base = sold.remote.push("main", {".voidlux.toml": hooks}, start=sold.base)
    repository = Repository(str(sold.remote.path), home)
    repository.ensure(sold.base)
    trust_hooks(repository, now=NOW)

    with pytest.raises(DomainError, match="No such file or directory"):
        sold.attempt("true")


def test_without_the_network_a_block_is_told_that_it_cannot_speak(
    sold: Sold, environment: Environment
) -> None:
    environment(sold_network="0")

    _, ended, output = sold.run('sh "$VOIDLUX_SAY" progress hello')

    assert (ended, output) == (1, "this run has no network, and so no way to its node\n")


def test_without_a_sandbox_it_runs_as_own_work_unless_that_is_refused(
    sold: Sold, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bwrap, "PROGRAM", "no-such-bwrap")

    attempt, code, _ = sold.run(COMMIT.replace("commit", "-c user.name=a -c user.email=a@b commit"))

    assert code == 0 and not isolation.had_cell(attempt)
    assert steps.publish(attempt) == sold.remote.refs()[f"refs/heads/{attempt.branch}"]
    environment(sell_without_sandbox="0")
    with pytest.raises(DomainError) as refused:
        sold.attempt("true")
    assert refused.value.code == "no_sandbox"
    assert "no-such-bwrap is not installed" in str(refused.value)


def _leads_to(entry: Path, folder: str) -> bool:
    try:
        return str(entry.readlink()) == folder
    except OSError:
        return False
