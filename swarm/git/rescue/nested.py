"""Repositories inside a worktree: their objects go with the worktree unless they are fetched."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swarm.git.command import TRANSFER_TIMEOUT_S, run_git
from swarm.git.rescue.commits import commits_of, loose_objects, named_in, tips_beyond
from swarm.git.rescue.snapshot import snapshot

SLUG_CHARS_MAX = 40
_KEEP = "refs/voidlux/rescue"


@dataclass(frozen=True, slots=True)
class Nested:
    """A repository below a worktree: a submodule, a clone, or a further worktree."""

    path: Path
    git_dir: Path
    common_dir: Path
    is_submodule: bool


def find_nested(worktree: Path) -> list[Nested]:
    """Return all repositories below `worktree`, ignored ones too, each with its git directory."""
    found = []
    for folder, names, files in os.walk(worktree):
        path = Path(folder)
        if path != worktree and (".git" in names or ".git" in files):
            nested = _open(path)
            if nested is not None:
                found.append(nested)
        names[:] = [name for name in names if name != ".git"]
    return found


def below(path: Path, nested: Sequence[Nested]) -> list[Path]:
    """Return the nested repositories right below `path` whose files its snapshot cannot hold.

    A submodule is recorded by its commit, so it is no reason to leave anything out.
    """
    inner = [each for each in nested if each.path != path and each.path.is_relative_to(path)]
    return [each.path for each in inner if not each.is_submodule]


def tips_of(nested: Nested, others: Sequence[Nested]) -> list[str]:
    """Return what a repository holds that its own remotes do not, uncommitted work too."""
    made = snapshot(nested.path, nested.git_dir, below(nested.path, others))
    known = {*named_in(nested.git_dir), *named_in(nested.common_dir)}
    known.update(loose_objects(nested.common_dir / "objects"))
    args = ["for-each-ref", "--format=%(objectname)"]
    known.update(run_git(args, cwd=nested.path).stdout.split())
    commits = commits_of(nested.path, sorted({*known, *([made] if made else [])}))
    return tips_beyond(nested.path, commits, ["--remotes"])


def fetch_tips(clone: Path, nested: Nested, tips: Sequence[str], prefix: str) -> dict[str, str]:
    """Bring commits of a nested repository into `clone`; returns their refs below `prefix`."""
    if not tips:
        return {}
    for tip in tips:
        run_git(["update-ref", f"{_KEEP}/{tip[:12]}", tip], cwd=nested.path)
    # Further `refs` of the same folder are older rescues: to fetch them again costs nothing.
    refspec = f"+{_KEEP}/*:{prefix}/*"
    args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", str(nested.path)]
    run_git([*args, refspec], cwd=clone, timeout_s=TRANSFER_TIMEOUT_S)
    return {f"{prefix}/{tip[:12]}": tip for tip in tips}


def slug_of(worktree: Path, nested: Nested) -> str:
    """Return the place of a nested repository as a word for a ref."""
    place = str(nested.path.relative_to(worktree))
    return f"in-{re.sub(r'[^A-Za-z0-9]+', '-', place).strip('-')[-SLUG_CHARS_MAX:]}"


def _open(path: Path) -> Nested | None:
    args = ["rev-parse", "--path-format=absolute", "--show-toplevel"]
    args += ["--absolute-git-dir", "--git-common-dir", "--show-superproject-working-tree"]
    shown = run_git(args, cwd=path, check=False)
    lines = shown.stdout.splitlines()
    if shown.code != 0 or Path(lines[0]).resolve() != path.resolve():
        return None  # what only looks like a repository is saved as plain files
    return Nested(path, Path(lines[1]), Path(lines[2]), is_submodule=len(lines) > 3)
