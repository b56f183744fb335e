"""Set-up and tear-down commands that a repository asks for in its `.voidlux.toml`."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from p2p.protocol.errors import DomainError
from swarm.git.command import run_git
from swarm.git.repository import Repository

FILE = ".voidlux.toml"
TEXT_CHARS_MAX = 4_000
COMMITS_REMEMBERED = 100
TIME_LIMIT_S = 300.0
TIME_LIMIT_MAX_S = 3_600.0
KEYS = frozenset({"setup", "teardown", "time_limit_s"})

Kind = Literal["setup", "teardown"]


@dataclass(frozen=True, slots=True)
class Hook:
    """A command for `sh -c` in the worktree, and its time limit (seconds)."""

    kind: Kind
    text: str
    time_limit_s: float

    @property
    def digest(self) -> str:
        """SHA-256 of kind and text: what a decision to trust is about."""
        return hashlib.sha256(f"{self.kind}\0{self.text}".encode()).hexdigest()


def read_hooks(repo: Repository, commit: str) -> dict[Kind, Hook]:
    """Return the hooks of a commit by kind; DomainError `bad_hooks` for a file that is wrong.

    They are read from the commit, so that an agent cannot change them in its worktree.
    """
    return {hook.kind: hook for hook in _hooks_at(repo.path, commit)}


# What a commit holds never changes, and the goals of a repository mostly begin at the same one.
@lru_cache(maxsize=COMMITS_REMEMBERED)
def _hooks_at(clone: Path, commit: str) -> tuple[Hook, ...]:
    if not _has_file(clone, commit):
        return ()
    text = run_git(["show", f"{commit}:{FILE}"], cwd=clone).stdout
    try:
        section = tomllib.loads(text).get("worktree", {})
    except tomllib.TOMLDecodeError as error:
        raise _bad(f"is not TOML: {error}") from error
    return tuple(_checked(section).values())


def _has_file(clone: Path, commit: str) -> bool:
    """Tell whether a commit has the file; DomainError `commit_missing` without the commit."""
    names = f"{commit}^{{commit}}\n{commit}:{FILE}\n"
    shown = run_git(["cat-file", "--batch-check"], cwd=clone, stdin=names).stdout.splitlines()
    has_commit, has_file = (not line.endswith(" missing") for line in shown)
    if not has_commit:
        raise DomainError("commit_missing", f"commit {commit} is not in {clone.name}")
    return has_file


def _checked(section: Any) -> dict[Kind, Hook]:
    if not isinstance(section, dict):
        raise _bad("worktree is no table")
    unknown = sorted(set(section) - KEYS)
    if unknown:
        raise _bad(f"worktree.{unknown[0]} is unknown; {', '.join(sorted(KEYS))} are allowed")
    limit_s = section.get("time_limit_s", TIME_LIMIT_S)
    if isinstance(limit_s, bool) or not isinstance(limit_s, int | float):
        raise _bad("worktree.time_limit_s is no number")
    if not 0 < limit_s <= TIME_LIMIT_MAX_S:
        raise _bad(f"worktree.time_limit_s is {limit_s}: 0 to {TIME_LIMIT_MAX_S:g} s are allowed")
    kinds: tuple[Kind, ...] = ("setup", "teardown")
    return {
        kind: Hook(kind, _text(kind, section[kind]), float(limit_s))
        for kind in kinds
        if section.get(kind, "") != ""
    }


def _text(kind: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise _bad(f"worktree.{kind} is no command")
    if len(value) > TEXT_CHARS_MAX:
        raise _bad(f"worktree.{kind} of {len(value)} characters exceeds {TEXT_CHARS_MAX}")
    return value


def _bad(what: str) -> DomainError:
    return DomainError("bad_hooks", f"{FILE} of the repository: {what}", status=422)
