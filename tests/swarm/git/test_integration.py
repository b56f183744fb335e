from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError
from swarm.git.command import run_git
from swarm.git.integration import Integration, open_integration
from swarm.git.merging import identity_environment
from swarm.git.places import drop_places, put_place
from swarm.git.repository import Repository
from swarm.git.worktrees import list_worktrees
from tests.support.git_remote import GitRemote

PARENT = "feed0000-0000-4000-8000-000000000001"
BRANCH = "integrate/feed0000"


@pytest.fixture
def integration(repo: Repository, base: str) -> Integration:
    return open_integration(repo, PARENT, base)


def _status(integration: Integration) -> str:
    return run_git(["status", "--porcelain", "--ignored"], cwd=integration.path).stdout


def _work(repo: Repository, remote: GitRemote, start: str, name: str, text: str) -> str:
    commit = remote.push(f"task/{name.partition('.')[0]}", {name: text}, start=start)
    repo.fetch()
    return commit


def test_opens_at_the_base_in_its_own_place(
    integration: Integration, repo: Repository, base: str
) -> None:
    assert integration.head == base
    assert integration.branch == BRANCH
    assert integration.path == repo.home / "worktrees" / ".merge" / "integrate" / "feed0000"


def test_merge_makes_a_merge_commit_even_where_it_could_fast_forward(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    work = _work(repo, remote, base, "a.txt", "a")

    outcome = integration.merge(work, "Merge a")

    shown = run_git(["show", "-s", "--format=%P|%cn|%B", "HEAD"], cwd=integration.path).stdout
    assert (outcome.ok, outcome.commit, outcome.conflicts) == (True, integration.head, [])
    credit = "Co-authored-by: Test <test@example.invalid>"
    assert shown == f"{base} {work}|VoidLux gate|Merge a\n\n{credit}\n\n"
    assert (integration.path / "a.txt").read_text() == "a"
    assert _status(integration) == ""
    assert repo.local_head(BRANCH) == outcome.commit


def test_merging_again_makes_no_commit(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    work = _work(repo, remote, base, "a.txt", "a")
    first = integration.merge(work, "Merge a")

    again = integration.merge(work, "Merge a")

    assert (again.ok, again.commit) == (True, first.commit)


def test_conflict_changes_nothing_and_names_the_paths(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    ours = _work(repo, remote, base, "shared.txt", "ours\n")
    theirs = remote.push("task/b", {"shared.txt": "theirs\n", "é b.txt": "b"}, start=base)
    repo.fetch()
    merged = integration.merge(ours, "Merge ours").commit

    outcome = integration.merge(theirs, "Merge theirs")

    assert (outcome.ok, outcome.commit) == (False, merged)
    assert outcome.conflicts == ["shared.txt"]
    assert outcome.detail == "CONFLICT (content): Merge conflict in shared.txt"
    assert integration.head == merged
    assert (integration.path / "shared.txt").read_text() == "ours\n"
    assert _status(integration) == ""


def test_every_conflicting_path_is_named(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    ours = remote.push("task/a", {"shared.txt": "ours\n", "é b.txt": "a"}, start=base)
    theirs = remote.push("task/b", {"shared.txt": None, "é b.txt": "b"}, start=base)
    repo.fetch()
    integration.merge(ours, "Merge ours")

    outcome = integration.merge(theirs, "Merge theirs")

    assert sorted(outcome.conflicts) == ["shared.txt", "é b.txt"]
    assert "CONFLICT (modify/delete): shared.txt deleted in" in outcome.detail
    assert "CONFLICT (add/add): Merge conflict in é b.txt" in outcome.detail


def test_unrelated_history_is_refused_with_the_reason(
    integration: Integration, repo: Repository, base: str
) -> None:
    tree = repo.git("rev-parse", f"{base}^{{tree}}").stdout.strip()
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.invalid")
    stranger = repo.git(*identity, "commit-tree", "-m", "root", tree).stdout.strip()

    outcome = integration.merge(stranger, "Merge stranger")

    assert (outcome.ok, outcome.commit, outcome.conflicts) == (False, base, [])
    assert outcome.detail == f"{stranger} shares no history with {base}"


def test_unknown_commit_is_refused(integration: Integration, base: str) -> None:
    with pytest.raises(DomainError) as caught:
        integration.merge("0" * 40, "Merge nothing")

    assert caught.value.code == "commit_missing"
    assert integration.head == base


def test_reset_goes_back_and_drops_what_tests_left(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    integration.merge(_work(repo, remote, base, "a.txt", "a"), "Merge a")
    (integration.path / "shared.txt").write_text("changed by a test")
    (integration.path / "left.txt").write_text("untracked")
    (integration.path / "left.log").write_text("ignored")

    integration.reset(base)

    assert integration.head == base
    assert _status(integration) == ""
    assert not (integration.path / "a.txt").exists()


def test_push_is_confirmed_and_repeatable(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    first = integration.merge(_work(repo, remote, base, "a.txt", "a"), "Merge a").commit

    assert integration.push(None) == first
    assert integration.push(None) == first
    second = integration.merge(_work(repo, remote, base, "b.txt", "b"), "Merge b").commit
    assert integration.push(first) == second

    assert remote.refs()[f"refs/heads/{BRANCH}"] == second


@pytest.mark.parametrize("expectation", ["none", "older"])
def test_push_is_refused_when_the_remote_moved(
    integration: Integration, repo: Repository, remote: GitRemote, base: str, expectation: str
) -> None:
    rival = remote.push(BRANCH, {"rival.txt": "rival"}, start=base)
    integration.merge(_work(repo, remote, base, "a.txt", "a"), "Merge a")

    with pytest.raises(DomainError) as caught:
        integration.push(None if expectation == "none" else base)

    assert caught.value.code == "remote_moved"
    assert remote.refs()[f"refs/heads/{BRANCH}"] == rival


def test_a_further_batch_starts_from_the_pushed_branch(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    pushed = integration.merge(_work(repo, remote, base, "a.txt", "a"), "Merge a").commit
    integration.push(None)
    integration.merge(_work(repo, remote, base, "b.txt", "b"), "Merge b")

    reopened = open_integration(repo, PARENT, base)

    assert reopened.head == pushed
    assert not (reopened.path / "b.txt").exists()


def test_another_clone_goes_on_from_the_pushed_branch(
    integration: Integration, repo: Repository, remote: GitRemote, base: str, tmp_path: Path
) -> None:
    pushed = integration.merge(_work(repo, remote, base, "a.txt", "a"), "Merge a").commit
    elsewhere = Repository(str(remote.path), tmp_path / "other-home")
    elsewhere.ensure()
    integration.push(None)

    assert open_integration(elsewhere, PARENT, base).head == pushed


@pytest.mark.parametrize("damage", ["dirty", "index_lock", "half_merge", "deleted", "no_git_file"])
def test_what_a_killed_worker_left_is_dropped(
    integration: Integration, repo: Repository, remote: GitRemote, base: str, damage: str
) -> None:
    ours = _work(repo, remote, base, "shared.txt", "ours\n")
    theirs = remote.push("task/b", {"shared.txt": "theirs\n"}, start=base)
    repo.fetch()
    integration.merge(ours, "Merge ours")
    _damage(integration, damage, theirs)

    reopened = open_integration(repo, PARENT, base)

    assert reopened.head == base
    assert _status(reopened) == ""
    assert (reopened.path / "shared.txt").read_text() == "one\ntwo\nthree\n"
    assert reopened.merge(theirs, "Merge theirs").ok
    assert len(list_worktrees(repo)) == 1


def _damage(integration: Integration, damage: str, conflicting: str) -> None:
    path = integration.path
    if damage == "dirty":
        (path / "shared.txt").write_text("half written")
        (path / "left.log").write_text("ignored")
    elif damage == "index_lock":
        admin = Path(run_git(["rev-parse", "--absolute-git-dir"], cwd=path).stdout.strip())
        (admin / "index.lock").touch()
    elif damage == "half_merge":
        run_git(["merge", conflicting], cwd=path, check=False)
    elif damage == "deleted":
        shutil.rmtree(path)
    else:
        (path / ".git").unlink()


def test_close_removes_the_worktree_and_may_be_repeated(
    integration: Integration, repo: Repository
) -> None:
    integration.close()
    integration.close()

    assert not integration.path.exists()
    assert list_worktrees(repo) == []


def test_the_same_merge_is_the_same_commit_in_whatever_clone(
    integration: Integration, repo: Repository, remote: GitRemote, base: str, tmp_path: Path
) -> None:
    work = _work(repo, remote, base, "a.txt", "a")
    other = Repository(str(remote.path), tmp_path / "other home")
    other.ensure()

    first = integration.merge_onto(base, work, "Merge a")

    assert open_integration(other, PARENT, base).merge_onto(base, work, "Merge a") == first
    assert integration.head == base, "nothing moved"


def test_a_merge_credits_each_author_and_co_author_once(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    tree = repo.git("rev-parse", f"{base}^{{tree}}").stdout.strip()
    tip = base
    for author, message in (
        ("Ann <ann@example.invalid>", "One"),
        ("Bob <bob@example.invalid>", "Two\n\nCo-authored-by: Cy <cy@example.invalid>"),
        ("Ann <ann@example.invalid>", "Three\n\nco-authored-by: Cy <cy@example.invalid>"),
    ):
        args = ["commit-tree", tree, "-p", tip, "-m", message]
        made = run_git(args, cwd=repo.path, env_extra=identity_environment(author))
        tip = made.stdout.strip()

    outcome = integration.merge_onto(base, tip, "Merge work\n\nTask: 1\nNode: 2")

    trailers = "--format=%(trailers:key=Co-authored-by,valueonly)"
    shown = repo.git("show", "-s", trailers, outcome.commit).stdout.split("\n")
    names = [line.partition(" <")[0] for line in shown if line]
    assert sorted(names) == ["Ann", "Bob", "Cy"]
    message = repo.git("show", "-s", "--format=%B", outcome.commit).stdout
    assert message.startswith("Merge work\n\nTask: 1\nNode: 2\nCo-authored-by: Ann <")


def test_a_deleted_branch_is_opened_at_what_was_pushed_last(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    merged = integration.merge(_work(repo, remote, base, "a.txt", "a"), "Merge a").commit
    integration.push(None)
    run_git(["update-ref", "-d", f"refs/heads/{BRANCH}"], cwd=remote.path)

    again = open_integration(repo, PARENT, base, last_pushed=merged)

    assert (again.head, again.pushed) == (merged, None)


def test_a_branch_that_lost_what_was_pushed_is_refused(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    merged = integration.merge(_work(repo, remote, base, "a.txt", "a"), "Merge a").commit
    integration.push(None)
    run_git(["update-ref", f"refs/heads/{BRANCH}", base], cwd=remote.path)

    with pytest.raises(DomainError) as caught:
        open_integration(repo, PARENT, base, last_pushed=merged)

    assert caught.value.code == "integration_rewritten"


def test_places_hold_their_own_commits_and_leave_nothing(
    integration: Integration, repo: Repository, remote: GitRemote, base: str
) -> None:
    work = _work(repo, remote, base, "a.txt", "a")

    one, two = put_place(integration, 1, base), put_place(integration, 2, work)
    (one / "left.log").write_text("ignored")

    assert (one.name, two.name) == ("feed0000-test-1", "feed0000-test-2")
    assert [(each / "a.txt").exists() for each in (one, two)] == [False, True]
    put_place(integration, 1, work)
    assert ((one / "a.txt").exists(), (one / "left.log").exists()) == (True, False)
    shutil.rmtree(two)  # as a worker that is killed while it removes them
    drop_places(integration)
    assert [tree.path for tree in list_worktrees(repo)] == [integration.path]
    assert [path.name for path in integration.path.parent.iterdir()] == ["feed0000"]
