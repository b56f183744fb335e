from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError, ExternalError
from swarm.git.locking import clear_stale_locks, clone_lock
from swarm.git.repository import Repository
from swarm.git.worktrees import add_worktree, list_worktrees
from tests.support.git_remote import GitRemote

ABSENT = "0" * 40


def test_clone_fetches_branches_as_remote_tracking_refs(repo: Repository, base: str) -> None:
    shown = repo.git("for-each-ref", "--format=%(refname) %(objectname)").stdout

    assert shown == f"refs/remotes/origin/main {base}\n"
    assert repo.git("config", "core.logAllRefUpdates").stdout == "always\n"


def test_ensure_twice_fetches_and_keeps_local_branches(
    repo: Repository, remote: GitRemote, base: str
) -> None:
    repo.git("branch", "task/unpushed", base)
    newer = remote.push("main", {"b.txt": "b"})
    remote.push("other", {"c.txt": "c"})

    repo.ensure()

    assert repo.local_head("task/unpushed") == base
    assert repo.has_commit(newer)


def test_a_killed_clone_starts_afresh(remote: GitRemote, base: str, tmp_path: Path) -> None:
    repo = Repository(str(remote.path), tmp_path / "home")
    half = repo.path.parent / f".{repo.path.stem}-half"
    half.mkdir(parents=True)
    (half / "HEAD").write_text("garbage")

    repo.ensure()

    assert repo.has_commit(base)
    assert not half.exists()


def test_a_failed_clone_leaves_nothing_behind(tmp_path: Path) -> None:
    repo = Repository(str(tmp_path / "nowhere.git"), tmp_path / "home")

    with pytest.raises(ExternalError):
        repo.ensure()

    assert [path.name for path in repo.path.parent.iterdir()] == [f"{repo.path.stem}.lock"]


def test_branch_replaced_by_a_folder_of_branches(repo: Repository, remote: GitRemote) -> None:
    remote.push("topic", {"t": "1"})
    repo.fetch()
    (remote.path / "refs" / "heads" / "topic").unlink()
    nested = remote.push("topic/a", {"t": "2"})

    repo.fetch()

    assert repo.has_commit(nested)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x.git", "/nonexistent/x.git"])
def test_unreachable_remote_is_retryable_and_quick(url: str, tmp_path: Path) -> None:
    repo = Repository(url, tmp_path / "home")
    started = time.monotonic()

    for call in (repo.ensure, repo.resolve_base, lambda: repo.remote_head("main")):
        with pytest.raises(ExternalError) as caught:
            call()
        assert caught.value.retryable is True

    assert time.monotonic() - started < 10


def test_resolve_base_finds_default_and_named_branch(
    repo: Repository, remote: GitRemote, base: str
) -> None:
    other = remote.push("other", {"x": "x"})
    remote.push("decoy/refs/heads/third", {"y": "y"})

    assert repo.resolve_base() == ("main", base)
    assert repo.resolve_base("other") == ("other", other)
    with pytest.raises(DomainError, match="has no branch 'third'"):
        repo.resolve_base("third")


def test_resolve_base_of_an_empty_remote(remote: GitRemote, tmp_path: Path) -> None:
    repo = Repository(str(remote.path), tmp_path / "home")
    repo.ensure()

    with pytest.raises(DomainError) as caught:
        repo.resolve_base()

    assert caught.value.code == "unknown_branch"


def test_ensure_asks_a_remote_only_for_a_commit_that_it_lacks(
    repo: Repository, remote: GitRemote, base: str
) -> None:
    newer = remote.push("main", {"new.txt": "new"}, start=base)
    away = remote.path.rename(remote.path.with_name("away.git"))

    repo.ensure(base)
    with pytest.raises(ExternalError):
        repo.ensure(newer)

    away.rename(remote.path)
    repo.ensure(newer)
    assert repo.has_commit(newer)


def test_fetch_commit_brings_just_the_reported_branch(repo: Repository, remote: GitRemote) -> None:
    wanted = remote.push("task/1", {"x": "x"})
    other = remote.push("task/2", {"y": "y"})

    repo.fetch_commit("task/1", wanted)
    repo.fetch_commit("task/1", wanted)

    assert repo.has_commit(wanted)
    assert not repo.has_commit(other)


@pytest.mark.parametrize("branch", ["main", "absent"])
def test_fetch_commit_refuses_a_commit_that_did_not_come(repo: Repository, branch: str) -> None:
    with pytest.raises(DomainError) as caught:
        repo.fetch_commit(branch, ABSENT)

    assert caught.value.code == "commit_missing"


def test_is_ancestor(repo: Repository, remote: GitRemote, base: str) -> None:
    newer = remote.push("main", {"x": "x"})
    repo.fetch()

    assert repo.is_ancestor(base, newer)
    assert repo.is_ancestor(base, base)
    assert not repo.is_ancestor(newer, base)
    with pytest.raises(DomainError, match="is not in"):
        repo.is_ancestor(ABSENT, base)


def test_can_push_leaves_nothing_and_needs_no_clone(
    remote: GitRemote, base: str, tmp_path: Path
) -> None:
    repo = Repository(str(remote.path), tmp_path / "home")
    before = remote.refs()

    assert repo.can_push() is None
    assert repo.can_push("main") is None

    assert remote.refs() == before
    assert not repo.path.exists()


def test_can_push_returns_why_not(repo: Repository, tmp_path: Path) -> None:
    absent = repo.can_push("absent")
    nowhere = Repository(str(tmp_path / "no.git"), tmp_path / "home").can_push()

    assert absent is not None
    assert "has no branch 'absent'" in absent.message
    assert nowhere is not None
    assert nowhere.retryable is True


def test_stale_lock_files_go_and_fresh_ones_stay(repo: Repository) -> None:
    stale, fresh = repo.path / "packed-refs.lock", repo.path / "refs" / "heads" / "x.lock"
    stale.touch()
    fresh.touch()
    hour_ago = time.time() - 3600
    os.utime(stale, (hour_ago, hour_ago))

    removed = clear_stale_locks(repo.path)

    assert removed == [stale]
    assert fresh.exists()


def test_a_fetch_goes_on_past_the_lock_of_a_ref_that_a_killed_git_left(
    repo: Repository, remote: GitRemote
) -> None:
    newer = remote.push("main", {"b.txt": "b"})
    left = repo.path / "refs" / "remotes" / "origin" / "main.lock"
    left.write_text(f"{newer}\n")

    with pytest.raises(ExternalError, match="File exists"):
        repo.fetch()
    minutes_ago = time.time() - 90
    os.utime(left, (minutes_ago, minutes_ago))
    repo.fetch()

    assert repo.has_commit(newer)
    assert not left.exists()


def test_a_held_lock_is_a_retryable_error(tmp_path: Path) -> None:
    clone = tmp_path / "repositories" / "x.git"

    with clone_lock(clone), pytest.raises(ExternalError) as caught, clone_lock(clone, 0.05):
        pass

    assert caught.value.retryable is True
    with clone_lock(clone, 0.05):
        pass


def _work_in_clone(url: str, home: str, base: str, number: int) -> None:
    repo = Repository(url, Path(home))
    repo.ensure()
    for step in range(3):
        name = f"task/{number}-{step}"
        add_worktree(repo, Path(home) / "worktrees" / f"{number}-{step}", name, base)
        repo.fetch()


def test_two_processes_share_one_clone_from_its_making(
    remote: GitRemote, base: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_work_in_clone, args=(str(remote.path), str(home), base, number))
        for number in (1, 2)
    ]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0, 0]
    names = {tree.branch for tree in list_worktrees(Repository(str(remote.path), home))}
    assert names == {f"task/{number}-{step}" for number in (1, 2) for step in range(3)}


def test_the_heads_of_many_branches_are_asked_for_at_once(
    repo: Repository, remote: GitRemote, base: str
) -> None:
    one = remote.push("task/one", {"one": "1"}, start=base)
    remote.push("other/task/one", {"one": "2"}, start=base)

    assert repo.remote_heads(["task/one", "main", "task/none"]) == {"task/one": one, "main": base}
