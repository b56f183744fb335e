"""Whatever an agent does with git, its commits are on a ref before its worktree is removed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from p2p.protocol.errors import ExternalError
from swarm.git.clone_settings import SETTINGS
from swarm.git.command import run_git
from swarm.git.integration import open_integration
from swarm.git.merging import identity_environment
from swarm.git.removal import remove_worktree
from swarm.git.repository import Repository
from swarm.git.rescue import rescue
from swarm.git.rescue.unowned import keep_unowned
from swarm.git.worktrees import add_worktree, list_worktrees
from tests.support.git_remote import GitRemote

BRANCH = "task/0a1b2c3d"
PARENT = "c" * 32
AGENT = identity_environment("Agent One <agent@example.invalid>")


@pytest.fixture
def tree(repo: Repository, base: str, tmp_path: Path) -> Path:
    return add_worktree(repo, tmp_path / "home" / "worktrees" / "one", BRANCH, base).path


def git(cwd: Path, *args: str) -> str:
    """Run git as an agent does: with the clone's own settings, hooks and background work."""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(cwd), **AGENT}
    allow = ("-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", *allow, *args], cwd=cwd, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(cwd: Path, text: str, *options: str, name: str = "work.txt") -> str:
    """Commit `text` in a file and return the commit's id."""
    (cwd / name).write_text(text)
    git(cwd, "add", name)
    git(cwd, "commit", "-qm", text, *options)
    return git(cwd, "rev-parse", "HEAD")


def reachable(*repositories: Path) -> set[str]:
    """Return every commit that a ref of the repositories reaches."""
    found: set[str] = set()
    for path in repositories:
        found.update(run_git(["rev-list", "--glob=refs/*"], cwd=path).stdout.split())
    return found


def amends(tree: Path) -> list[str]:
    return [commit(tree, "one"), commit(tree, "two", "--amend"), commit(tree, "3", "--amend")]


def resets(tree: Path) -> list[str]:
    made = [commit(tree, "one"), commit(tree, "two")]
    git(tree, "reset", "-q", "--hard", "HEAD~2")
    return [*made, commit(tree, "three")]


def detaches(tree: Path) -> list[str]:
    git(tree, "checkout", "-q", "--detach")
    return [commit(tree, "detached")]


def deletes_its_branch(tree: Path) -> list[str]:
    made = [commit(tree, "one")]
    git(tree, "checkout", "-q", "--detach", "HEAD~1")
    git(tree, "branch", "-qD", BRANCH)
    return made


def stashes(tree: Path) -> list[str]:
    made = []
    for text in ("one", "two"):
        (tree / "shared.txt").write_text(text)
        git(tree, "stash", "-q")
        made.append(git(tree, "rev-parse", "refs/stash"))
    return made


def drops_its_stash(tree: Path) -> list[str]:
    made = stashes(tree)
    git(tree, "stash", "clear")
    return made


def collects_garbage(tree: Path) -> list[str]:
    made = amends(tree)
    git(tree, "reset", "-q", "--hard", "HEAD~1")
    git(tree, "gc", "-q", "--prune=now")
    return made


def expires_and_collects(tree: Path) -> list[str]:
    made = amends(tree)
    git(tree, "reset", "-q", "--hard", "HEAD~1")
    git(tree, "reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
    git(tree, "gc", "-q", "--prune=now")
    return made


def rebases(tree: Path) -> list[str]:
    made = [commit(tree, "one"), commit(tree, "two", name="other.txt")]
    git(tree, "rebase", "-q", "--force-rebase", "--root")
    return [*made, git(tree, "rev-parse", "HEAD"), git(tree, "rev-parse", "HEAD~1")]


def commits_in_a_repository_of_its_own(tree: Path) -> list[str]:
    nested = tree / "vendor" / "lib"
    nested.mkdir(parents=True)
    git(nested, "init", "-q")
    return [commit(nested, "one"), commit(nested, "two", "--amend")]


def commits_in_an_ignored_repository(tree: Path) -> list[str]:
    nested = tree / "cache.log"
    nested.mkdir()
    git(nested, "init", "-q")
    return [commit(nested, "one")]


def commits_in_a_submodule(tree: Path) -> list[str]:
    git(tree, "submodule", "--quiet", "add", str(tree.parents[2] / "remote.git"), "sub")
    return [commit(tree, "with a module"), commit(tree / "sub", "zero"), *amends(tree / "sub")]


def makes_a_worktree_inside(tree: Path) -> list[str]:
    git(tree, "worktree", "add", "-q", "--detach", "inner")
    return [commit(tree / "inner", "one"), commit(tree / "inner", "two", "--amend")]


@pytest.mark.parametrize(
    "behave",
    [
        amends,
        resets,
        detaches,
        deletes_its_branch,
        stashes,
        drops_its_stash,
        collects_garbage,
        expires_and_collects,
        rebases,
        commits_in_a_repository_of_its_own,
        commits_in_an_ignored_repository,
        commits_in_a_submodule,
        makes_a_worktree_inside,
    ],
)
def test_every_commit_outlives_the_worktree(
    repo: Repository, remote: GitRemote, tree: Path, behave: object
) -> None:
    made = behave(tree)  # type: ignore[operator]

    refs = remove_worktree(repo, tree, BRANCH)
    keep_unowned(repo, older_than_s=0)

    assert not tree.exists()
    assert list_worktrees(repo) == []
    assert set(made) <= reachable(repo.path, remote.path)
    assert set(refs) <= set(remote.refs())


@pytest.mark.parametrize("behave", [amends, resets, detaches, deletes_its_branch, rebases])
def test_what_the_worktrees_own_reflog_reaches_is_on_the_remote(
    repo: Repository, remote: GitRemote, tree: Path, behave: object
) -> None:
    made = behave(tree)  # type: ignore[operator]

    remove_worktree(repo, tree, BRANCH)

    assert set(made) <= reachable(remote.path)


def test_uncommitted_work_is_kept_as_it_lay_there(
    repo: Repository, remote: GitRemote, tree: Path, base: str
) -> None:
    (tree / "shared.txt").write_text("staged")
    git(tree, "add", "shared.txt")
    (tree / "shared.txt").write_text("edited")
    (tree / "new.txt").write_text("new")
    (tree / "noise.log").write_text("ignored")

    [ref] = remove_worktree(repo, tree, BRANCH)

    def show(name: str) -> str:
        return run_git(["show", name], cwd=remote.path, check=False).stdout

    assert (show(f"{ref}:shared.txt"), show(f"{ref}:new.txt")) == ("edited", "new")
    assert (show(f"{ref}^2:shared.txt"), show(f"{ref}:noise.log")) == ("staged", "")
    assert run_git(["rev-parse", f"{ref}^1"], cwd=remote.path).stdout.strip() == base


def test_uncommitted_work_of_a_nested_repository_is_kept(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    nested = tree / "lib"
    nested.mkdir()
    git(nested, "init", "-q")
    (nested / "code.txt").write_text("never committed")

    [ref] = remove_worktree(repo, tree, BRANCH)

    assert ref.startswith(f"refs/voidlux/rescue/{BRANCH}/in-lib/")
    shown = run_git(["show", f"{ref}:code.txt"], cwd=remote.path).stdout
    assert shown == "never committed"


def test_a_clone_inside_whose_remote_has_everything_needs_no_rescue(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    git(tree, "clone", "-q", str(remote.path), "copy.log")

    assert remove_worktree(repo, tree, BRANCH) == []

    assert set(remote.refs()) == {"refs/heads/main"}


def test_a_folder_deleted_by_hand_loses_no_commit(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    made = amends(tree)
    shutil.rmtree(tree)

    remove_worktree(repo, tree, BRANCH)

    assert set(made) <= reachable(remote.path)
    assert list_worktrees(repo) == []


def test_a_rescue_while_the_remote_is_away_is_finished_later(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    made = amends(tree)
    remote.path.rename(remote.path.with_name("away.git"))
    with pytest.raises(ExternalError) as away:
        remove_worktree(repo, tree, BRANCH)
    assert away.value.retryable is True
    assert tree.is_dir()

    remote.path.with_name("away.git").rename(remote.path)
    remove_worktree(repo, tree, BRANCH)

    assert not tree.exists()
    assert set(made) <= reachable(remote.path)


def test_a_remote_that_takes_no_rescue_refs_keeps_the_worktree(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    amends(tree)
    hook = remote.path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase "$1" in refs/voidlux/*) echo no such refs; exit 1 ;; esac\n')
    hook.chmod(0o755)

    with pytest.raises(ExternalError, match="no such refs"):
        remove_worktree(repo, tree, BRANCH)

    assert tree.is_dir()


def test_work_that_is_done_during_the_rescue_is_rescued_as_well(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    commit(tree, "before")
    hook = remote.path / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho late > {tree}/late.txt\n")
    hook.chmod(0o755)

    refs = remove_worktree(repo, tree, BRANCH)

    late = [run_git(["show", f"{ref}:late.txt"], cwd=remote.path, check=False) for ref in refs]
    assert [shown.stdout for shown in late] == ["late\n"]


def test_a_rescue_can_be_repeated_and_leaves_the_worktree_alone(
    repo: Repository, remote: GitRemote, tree: Path
) -> None:
    (tree / "dirty.txt").write_text("dirty")
    before = git(tree, "status", "--porcelain")

    first, second = rescue(repo, tree, BRANCH), rescue(repo, tree, BRANCH)

    assert first == second and len(first) == 1
    assert git(tree, "status", "--porcelain") == before == "?? dirty.txt"


def test_the_gates_own_tries_are_not_kept(repo: Repository, remote: GitRemote, base: str) -> None:
    theirs = remote.push("one", {"one.txt": "1"})
    main = remote.push("main", {"two.txt": "2"}, start=base)
    repo.fetch()
    gate = open_integration(repo, PARENT, main)
    gate.merge(theirs, "try")
    gate.reset(main)
    gate.close()

    assert keep_unowned(repo, older_than_s=0) == []


def test_what_others_pushed_and_withdrew_is_not_kept(
    repo: Repository, remote: GitRemote, base: str
) -> None:
    withdrawn = remote.push("main", {"secret.txt": "oops"})
    repo.fetch()
    remote.push("main", {"fine.txt": "fine"}, start=base)
    repo.fetch()

    assert keep_unowned(repo, older_than_s=0) == []
    assert withdrawn not in reachable(repo.path)


def test_settings_that_an_agent_changed_are_put_right(repo: Repository, tree: Path) -> None:
    git(tree, "config", "extensions.preciousObjects", "false")
    git(tree, "config", "--add", "gc.auto", "1")

    repo.ensure()

    shown = {name: git(repo.path, "config", "--get-all", name) for name in SETTINGS}
    assert shown == SETTINGS
