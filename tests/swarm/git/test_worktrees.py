from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError, ExternalError
from swarm.git.command import run_git
from swarm.git.committing import commit_all
from swarm.git.pushing import push_branch
from swarm.git.removal import remove_worktree, unpushed
from swarm.git.repository import Repository
from swarm.git.worktrees import (
    add_worktree,
    begin_worktree,
    find_worktree,
    list_worktrees,
    unlock_files,
)
from tests.support.git_remote import GitRemote
from tests.swarm.git.conftest import AUTHOR, BRANCH


def test_worktree_starts_at_its_commit(repo: Repository, tree: Path, base: str) -> None:
    found = find_worktree(repo, tree)

    assert found is not None
    assert (found.head, found.branch, found.lock_reason) == (base, BRANCH, None)
    assert (tree / "shared.txt").read_text() == "one\ntwo\nthree\n"


def test_a_worktree_of_which_nothing_exists_is_begun_by_one_command(
    repo: Repository, base: str, tmp_path: Path, git_commands: list[str]
) -> None:
    assert begin_worktree(repo, tmp_path / "first", "task/1", base) is True
    git_commands.clear()

    assert begin_worktree(repo, tmp_path / "wt" / "one", BRANCH, base) is True

    assert git_commands == ["worktree add"]
    found = find_worktree(repo, tmp_path / "wt" / "one")
    assert found is not None
    assert (found.head, found.branch, found.lock_reason) == (base, BRANCH, None)


def test_what_exists_already_is_not_begun_again(repo: Repository, tree: Path, base: str) -> None:
    (tree / "new.txt").write_text("new")
    committed = commit_all(tree, "work", AUTHOR)

    assert begin_worktree(repo, tree, BRANCH, base) is False  # the folder
    assert begin_worktree(repo, tree.with_name("two"), BRANCH, base) is False  # the branch

    assert [(each.path, each.head) for each in list_worktrees(repo)] == [(tree, committed)]
    assert not tree.with_name("two").exists()


def test_a_branch_that_another_worktree_stands_on_unborn_is_not_begun(
    repo: Repository, tree: Path, base: str
) -> None:
    run_git(["symbolic-ref", "HEAD", "refs/heads/task/unborn"], cwd=tree)

    assert begin_worktree(repo, tree.with_name("two"), "task/unborn", base) is False

    assert not tree.with_name("two").exists()
    with pytest.raises(DomainError) as caught:
        add_worktree(repo, tree.with_name("two"), "task/unborn", base)
    assert caught.value.code == "branch_in_use"


def test_nothing_begins_without_its_commit_or_its_clone(
    repo: Repository, remote: GitRemote, tmp_path: Path
) -> None:
    assert begin_worktree(repo, tmp_path / "wt", BRANCH, "0" * 40) is False
    fresh = Repository(str(remote.path), tmp_path / "fresh")
    assert begin_worktree(fresh, tmp_path / "wt", BRANCH, "0" * 40) is False

    assert list_worktrees(repo) == []
    assert repo.local_head(BRANCH) is None


def test_second_call_gives_the_same_worktree_with_its_work(
    repo: Repository, tree: Path, base: str
) -> None:
    (tree / "new.txt").write_text("new")
    committed = commit_all(tree, "work", AUTHOR)
    (tree / "dirty.txt").write_text("dirty")

    again = add_worktree(repo, tree, BRANCH, base)

    assert (again.path, again.head) == (tree, committed)
    assert (tree / "dirty.txt").read_text() == "dirty"
    assert len(list_worktrees(repo)) == 1


def test_crash_before_the_worktree_but_after_the_branch(
    repo: Repository, base: str, tmp_path: Path
) -> None:
    repo.git("branch", BRANCH, base)

    made = add_worktree(repo, tmp_path / "wt", BRANCH, base)

    assert (made.head, made.branch) == (base, BRANCH)


def test_crash_in_the_middle_of_the_checkout(repo: Repository, tree: Path, base: str) -> None:
    (tree / "shared.txt").unlink()
    admin = Path(run_git(["rev-parse", "--absolute-git-dir"], cwd=tree).stdout.strip())
    (admin / "locked").write_text("initializing")
    (admin / "index").unlink()

    made = add_worktree(repo, tree, BRANCH, base)

    assert made.lock_reason is None
    assert (tree / "shared.txt").exists()
    assert [path.name for path in tree.parent.iterdir()] == ["one"]


def test_deleted_folder_is_made_again_with_the_committed_work(
    repo: Repository, tree: Path, base: str
) -> None:
    (tree / "new.txt").write_text("new")
    committed = commit_all(tree, "work", AUTHOR)
    shutil.rmtree(tree)

    made = add_worktree(repo, tree, BRANCH, base)

    assert made.head == committed
    assert (tree / "new.txt").read_text() == "new"


def test_foreign_files_in_the_way_are_moved_aside(
    repo: Repository, base: str, tmp_path: Path
) -> None:
    path = tmp_path / "worktrees" / "two"
    path.mkdir(parents=True)
    (path / "precious.txt").write_text("precious")

    add_worktree(repo, path, BRANCH, base)

    aside = [entry for entry in path.parent.iterdir() if entry != path]
    assert [(entry / "precious.txt").read_text() for entry in aside] == ["precious"]


def test_damaged_worktree_is_moved_aside_and_made_again(
    repo: Repository, tree: Path, base: str
) -> None:
    (tree / "dirty.txt").write_text("dirty")
    (tree / ".git").unlink()

    made = add_worktree(repo, tree, BRANCH, base)

    aside = [entry for entry in tree.parent.iterdir() if entry != tree]
    assert made.branch == BRANCH
    assert [(entry / "dirty.txt").read_text() for entry in aside] == ["dirty"]


def test_branch_without_its_start_is_refused(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    newer = remote.push("main", {"x": "x"})
    repo.fetch()

    with pytest.raises(DomainError) as caught:
        add_worktree(repo, tree, BRANCH, newer)

    assert caught.value.code == "branch_diverged"


def test_worktree_on_another_branch_is_refused(repo: Repository, tree: Path, base: str) -> None:
    run_git(["checkout", "-q", "-b", "elsewhere"], cwd=tree)

    with pytest.raises(DomainError, match=f"one is on elsewhere, not on {BRANCH}") as caught:
        add_worktree(repo, tree, BRANCH, base)

    assert caught.value.code == "worktree_in_use"


def test_branch_at_work_elsewhere_is_refused(repo: Repository, tree: Path, base: str) -> None:
    with pytest.raises(DomainError, match=f"{BRANCH} is at work in worktree one") as caught:
        add_worktree(repo, tree.with_name("two"), BRANCH, base)

    assert caught.value.code == "branch_in_use"
    assert not tree.with_name("two").exists()


def test_branch_of_a_deleted_worktree_moves_to_the_new_place(
    repo: Repository, tree: Path, base: str
) -> None:
    shutil.rmtree(tree)

    made = add_worktree(repo, tree.with_name("two"), BRANCH, base)

    assert list_worktrees(repo) == [made]


def test_unknown_start_is_refused_and_makes_nothing(repo: Repository, tmp_path: Path) -> None:
    with pytest.raises(DomainError) as caught:
        add_worktree(repo, tmp_path / "wt", BRANCH, "0" * 40)

    assert caught.value.code == "commit_missing"
    assert list_worktrees(repo) == []


def test_locks_that_a_killed_git_left_are_removed(repo: Repository, tree: Path) -> None:
    admin = Path(run_git(["rev-parse", "--absolute-git-dir"], cwd=tree).stdout.strip())
    locks = [admin / "index.lock", repo.path / "refs" / "heads" / f"{BRANCH}.lock"]
    for each in locks:
        each.touch()
    (tree / "new.txt").write_text("new")
    with pytest.raises(ExternalError) as held:
        commit_all(tree, "work", AUTHOR)
    assert held.value.retryable is True

    assert unlock_files(repo, tree, BRANCH) == locks

    assert commit_all(tree, "work", AUTHOR) == repo.local_head(BRANCH)


def test_unpushed_names_files_and_commits(repo: Repository, tree: Path) -> None:
    assert unpushed(repo, tree) == []
    (tree / "new.txt").write_text("new")
    commit = commit_all(tree, "Work of an agent", AUTHOR)
    (tree / "dirty.txt").write_text("dirty")

    evidence = unpushed(repo, tree)

    assert evidence == ["uncommitted ?? dirty.txt", f"commit {commit[:7]} Work of an agent"]


def test_pushed_clean_worktree_is_removed_and_its_branch_stays(
    repo: Repository, tree: Path
) -> None:
    (tree / "new.txt").write_text("new")
    commit = commit_all(tree, "work", AUTHOR)
    push_branch(repo, BRANCH)

    remove_worktree(repo, tree, BRANCH)
    remove_worktree(repo, tree, BRANCH)

    assert not tree.exists()
    assert list_worktrees(repo) == []
    assert repo.local_head(BRANCH) == commit


@pytest.mark.parametrize("kind", ["untracked", "modified", "commit", "detached", "broken"])
def test_worktree_with_unpushed_work_is_rescued_before_it_is_removed(
    repo: Repository, remote: GitRemote, tree: Path, kind: str
) -> None:
    push_branch(repo, BRANCH)
    name = "shared.txt" if kind == "modified" else "new.txt"
    (tree / name).write_text("work")
    if kind == "detached":
        run_git(["checkout", "-q", "--detach"], cwd=tree)
    if kind in {"commit", "detached"}:
        commit_all(tree, "work", AUTHOR)
    if kind == "broken":
        (tree / ".git").unlink()

    [ref] = remove_worktree(repo, tree, BRANCH)

    assert not tree.exists()
    assert run_git(["show", f"{ref}:{name}"], cwd=remote.path).stdout == "work"
    assert ref == f"refs/voidlux/rescue/{BRANCH}/{remote.refs()[ref][:12]}"


def test_what_is_no_worktree_any_more_stays(repo: Repository, tree: Path) -> None:
    (tree / ".git").unlink()
    run_git(["init", "-q"], cwd=tree)

    with pytest.raises(DomainError) as caught:
        remove_worktree(repo, tree, BRANCH)

    assert caught.value.code == "unpushed_work"
    assert (tree / "shared.txt").exists()


def test_worktree_stays_while_the_remote_cannot_confirm(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    push_branch(repo, BRANCH)
    remote.path.rename(remote.path.with_name("away.git"))

    with pytest.raises(ExternalError) as caught:
        remove_worktree(repo, tree, BRANCH)

    assert caught.value.retryable is True
    assert tree.is_dir()


def test_branch_deleted_on_the_remote_counts_as_unpushed(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    (tree / "new.txt").write_text("new")
    commit = commit_all(tree, "work", AUTHOR)
    push_branch(repo, BRANCH)
    run_git(["update-ref", "-d", f"refs/heads/{BRANCH}"], cwd=remote.path)

    [ref] = remove_worktree(repo, tree, BRANCH)

    assert remote.refs()[ref] == commit


def test_amended_commits_get_a_rescue_ref(repo: Repository, tree: Path) -> None:
    (tree / "new.txt").write_text("first thought")
    first = commit_all(tree, "work", AUTHOR)
    run_git(["reset", "-q", "--hard", "HEAD^"], cwd=tree)
    push_branch(repo, BRANCH)

    remove_worktree(repo, tree, BRANCH)

    rescued = repo.git("for-each-ref", "--format=%(objectname)", "refs/voidlux/rescue").stdout
    assert rescued.split() == [first]
