"""What is not committed in a worktree as a commit of its own, without touching the worktree."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from swarm.git.command import run_git
from swarm.git.merging import identity_environment

AUTHOR = "VoidLux rescue <rescue@voidlux.invalid>"


def snapshot(worktree: Path, git_dir: Path, leave_out: Sequence[Path] = ()) -> str | None:
    """Return a commit with all that is changed or new, None where all is committed.

    What the repository ignores stays out, and so do the folders `leave_out`.  What is staged but
    differs from the files is the commit's second parent.  The same state gives the same id.
    """
    head = _resolve(worktree, "HEAD^{commit}")
    head_tree = _resolve(worktree, "HEAD^{tree}")
    tree = _tree_of_files(worktree, git_dir, leave_out)
    staged = run_git(["write-tree"], cwd=worktree, check=False).stdout.strip()
    if not head and _is_empty(worktree, tree):
        return None
    if tree == head_tree and staged in (head_tree, ""):
        return None
    parents = [head] if head else []
    if staged not in ("", tree, head_tree):
        parents.append(_commit(worktree, staged, parents, f"Staged work in {worktree.name}"))
    return _commit(worktree, tree, parents, f"Uncommitted work in {worktree.name}")


def _tree_of_files(worktree: Path, git_dir: Path, leave_out: Sequence[Path]) -> str:
    with tempfile.TemporaryDirectory(prefix="voidlux-index-") as folder:
        index = Path(folder) / "index"
        if (git_dir / "index").is_file():
            shutil.copyfile(git_dir / "index", index)
        env = {"GIT_INDEX_FILE": str(index)}
        # To name an ignored path, even to leave it out, is an error to git.
        kept = [path for path in leave_out if not _is_ignored(worktree, path)]
        left = [f":(exclude,literal){path.relative_to(worktree)}" for path in kept]
        run_git(["add", "--all", "--", ".", *left], cwd=worktree, env_extra=env)
        return run_git(["write-tree"], cwd=worktree, env_extra=env).stdout.strip()


def _commit(worktree: Path, tree: str, parents: Sequence[str], message: str) -> str:
    args = ["commit-tree", tree, "-m", message]
    for parent in parents:
        args += ["-p", parent]
    # A fixed date: taken twice, an unchanged worktree must give the same commit.
    date = "@0 +0000"
    if parents:
        shown = ["show", "--no-patch", "--format=%ct", parents[0]]
        date = f"@{run_git(shown, cwd=worktree).stdout.strip()} +0000"
    made = run_git(args, cwd=worktree, env_extra=identity_environment(AUTHOR, date))
    return made.stdout.strip()


def _is_ignored(worktree: Path, path: Path) -> bool:
    args = ["check-ignore", "--quiet", "--", str(path)]
    return run_git(args, cwd=worktree, check=False).code == 0


def _is_empty(worktree: Path, tree: str) -> bool:
    return not run_git(["ls-tree", tree], cwd=worktree).stdout


def _resolve(worktree: Path, name: str) -> str:
    args = ["rev-parse", "--verify", "--quiet", name]
    return run_git(args, cwd=worktree, check=False).stdout.strip()
