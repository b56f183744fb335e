"""Which commits a git directory knows by name, reflog or object, and which of them are tips."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from swarm.git.command import run_git

_SHA = re.compile(r"\b[0-9a-f]{40}(?:[0-9a-f]{24})?\b")
_NULL = re.compile(r"0+")
_LOOSE_NAME = re.compile(r"[0-9a-f]{38,62}")
# States of unfinished commands that name commits: merges, picks, rebases and bisects.
_STATE_FILES = ("*_HEAD", "HEAD", "rebase-merge/*", "rebase-apply/*", "sequencer/*")
# What a fetch wrote there is the work of others; the last is a tree.
_NOT_OURS = frozenset({"FETCH_HEAD", "AUTO_MERGE"})


def named_in(git_dir: Path) -> list[str]:
    """Return the ids that the refs, reflogs and unfinished commands below `git_dir` name."""
    files = [path for pattern in _STATE_FILES for path in git_dir.glob(pattern)]
    for folder in ("logs", "refs"):
        files += (git_dir / folder).rglob("*")
    return ids_in(path for path in files if path.name not in _NOT_OURS)


def ids_in(files: Iterable[Path]) -> list[str]:
    """Return the object ids that files name, each once; what cannot be read names none."""
    found: dict[str, None] = {}
    for path in files:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            text = path.read_bytes().decode("ascii", "replace")
            found.update(dict.fromkeys(_SHA.findall(text)))
    return [sha for sha in found if not _NULL.fullmatch(sha)]


def loose_objects(objects: Path, *, older_than_s: float = 0.0) -> list[str]:
    """Return the ids of objects that are files of their own and at least so old (seconds)."""
    newest_s = time.time() - older_than_s
    found = []
    for folder in objects.glob("[0-9a-f][0-9a-f]"):
        for path in folder.iterdir():
            if _LOOSE_NAME.fullmatch(path.name) and path.stat().st_mtime <= newest_s:
                found.append(folder.name + path.name)
    return found


def commits_of(cwd: Path, ids: Sequence[str]) -> list[str]:
    """Return those of `ids` that are commits which the repository at `cwd` holds."""
    if not ids:
        return []
    args = ["cat-file", "--batch-check=%(objectname) %(objecttype)"]
    shown = run_git(args, cwd=cwd, stdin="".join(f"{each}\n" for each in ids)).stdout
    return [line.split()[0] for line in shown.splitlines() if line.endswith(" commit")]


def tips_beyond(cwd: Path, commits: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the commits that no other of them contains and nothing of `known` reaches.

    `known` are options of rev-list that name refs, such as `--remotes=origin`, or ids.
    """
    if not commits:
        return []
    options = [each for each in known if each.startswith("-")]
    ids = [f"^{each}" for each in known if not each.startswith("-")]
    args = ["rev-list", "--parents", "--stdin", *(("--not", *options) if options else ())]
    stdin = "".join(f"{each}\n" for each in [*commits, *ids])
    lines = [line.split() for line in run_git(args, cwd=cwd, stdin=stdin).stdout.splitlines()]
    inner = {parent for line in lines for parent in line[1:]}
    return [line[0] for line in lines if line[0] not in inner]
