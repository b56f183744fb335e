"""Conflicts that an agent is to resolve: left in its worktree, described, and seen resolved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from p2p.protocol.errors import DomainError
from swarm.git.command import run_git
from swarm.git.merging import CONFLICTS_MAX, identity_environment
from swarm.git.repository import Repository

DIFF_CHARS_MAX = 6_000
COMMITS_MAX = 20
NAMED_PATHS_MAX = 10

_BEGINS, _ENDS = b"<<<<<<< ", b">>>>>>> "
_OURS, _THEIRS = "2", "3"  # stages of an unmerged index entry
_BINARY_LOOKS_AT = 8_000  # bytes, as git's own look for a NUL


@dataclass(frozen=True, slots=True)
class Conflict:
    """What stands between a branch and the commit merged into it: paths, and the other side.

    `intents` are one line for each change of the other side, `diff` is what they did to the paths.
    """

    paths: list[str]
    intents: list[str]
    diff: str


def leave_conflict(worktree: Path, other: str, author: str) -> None:
    """Merge `other` into the worktree's branch and leave the conflicts there; may be repeated.

    A merge that is under way, or done, is left alone: its agent may have begun to resolve it.
    """
    if merge_under_way(worktree) or _holds(worktree, other):
        return
    args = ["-c", "rerere.enabled=false", "-c", "merge.conflictStyle=diff3"]
    args += ["merge", "--no-ff", "--no-commit", "--no-verify", "--quiet", other]
    run_git(args, cwd=worktree, check=False, env_extra=identity_environment(author))
    if not merge_under_way(worktree):
        raise DomainError("no_merge", f"{other[:12]} cannot be merged into {worktree.name}")


def merge_under_way(worktree: Path) -> bool:
    """Tell whether a merge of the worktree waits for its commit."""
    args = ["rev-parse", "--verify", "--quiet", "MERGE_HEAD"]
    return run_git(args, cwd=worktree, check=False).code == 0


def describe_conflict(repo: Repository, ours: str, other: str, paths: list[str]) -> Conflict:
    """Return what `other` did to `paths` since it parted from `ours`, cut to a prompt's size."""
    base = repo.git("merge-base", ours, other).stdout.strip()
    since = f"{base}..{other}"
    named = paths[:CONFLICTS_MAX]
    # Along the first parents a merge stands for all that it brought: its subject is the intent.
    log = ["log", "--first-parent", "-m", "--no-patch", "--format=%s", f"-{COMMITS_MAX}"]
    intents = repo.git(*log, since, "--", *named).stdout.splitlines()
    diff = repo.git("diff", "--no-color", "--no-ext-diff", base, other, "--", *named).stdout
    if len(diff) > DIFF_CHARS_MAX:
        diff = f"{diff[:DIFF_CHARS_MAX]}\n[cut after {DIFF_CHARS_MAX} of {len(diff)} characters]"
    return Conflict(named, intents, diff)


def add_resolved(worktree: Path) -> None:
    """Add what was resolved by editing alone.

    DomainError `unmerged_files` for a path that still holds conflict markers, and for one that
    no text could tell resolved (binary, or deleted on one side) and that nobody added or removed.
    """
    unmerged = _unmerged(worktree)
    if not unmerged:
        return
    open_paths = [path for path in unmerged if not _resolved(worktree / path, unmerged[path])]
    if open_paths:
        raise DomainError(
            "unmerged_files",
            f"unresolved conflicts in {listing(open_paths)}: "
            "resolve them, then `git add` or `git rm` each",
        )
    run_git(["add", "--", *unmerged], cwd=worktree)


def require_no_markers(worktree: Path, paths: list[str]) -> None:
    """Refuse (DomainError `conflict_markers`) files of a resolved merge that still hold markers."""
    marked = [path for path in paths if _has_markers(worktree / path)]
    if marked:
        raise DomainError("conflict_markers", f"conflict markers are left in {listing(marked)}")


def listing(paths: list[str]) -> str:
    """Return paths for a message, the first ones by name and how many more."""
    more = f" and {len(paths) - NAMED_PATHS_MAX} more" if len(paths) > NAMED_PATHS_MAX else ""
    return ", ".join(paths[:NAMED_PATHS_MAX]) + more


def _holds(worktree: Path, commit: str) -> bool:
    args = ["merge-base", "--is-ancestor", commit, "HEAD"]
    return run_git(args, cwd=worktree, check=False).code == 0


def _unmerged(worktree: Path) -> dict[str, set[str]]:
    """Return the unmerged paths with the stages that the index holds of each."""
    found: dict[str, set[str]] = {}
    for entry in run_git(["ls-files", "--unmerged", "-z"], cwd=worktree).stdout.split("\0"):
        if entry:
            meta, _, path = entry.partition("\t")
            found.setdefault(path, set()).add(meta.split()[2])
    return found


def _resolved(file: Path, stages: set[str]) -> bool:
    if not {_OURS, _THEIRS} <= stages or file.is_symlink() or not file.is_file():
        return False
    return not _is_binary(file) and not _has_markers(file)


def _is_binary(file: Path) -> bool:
    with file.open("rb") as opened:
        return b"\0" in opened.read(_BINARY_LOOKS_AT)


def _has_markers(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    begins = ends = False
    with file.open("rb") as lines:
        for line in lines:
            begins = begins or line.startswith(_BEGINS)
            ends = ends or line.startswith(_ENDS)
    return begins and ends
