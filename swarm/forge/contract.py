"""What the rest of the swarm asks of a forge, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from swarm.forge.states import Checks, PullState


@dataclass(frozen=True, slots=True)
class Draft:
    """A pull request as we want it: branches, title and body (Markdown)."""

    head: str
    base: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A pull request as the forge shows it; `author` is the account that we are there."""

    number: int
    url: str
    state: PullState
    head_commit: str
    author: str = ""
    checks: Checks = Checks.UNKNOWN


@dataclass(frozen=True, slots=True)
class Remark:
    """One comment: `thread` names its discussion; `path`, `line` and `hunk` where it has them."""

    forge_id: str
    thread: str
    author: str
    may_steer: bool
    body: str
    written_at: datetime
    path: str = ""
    line: int | None = None
    hunk: str = ""


class Forge(Protocol):
    """One project at a forge; every call may raise ForgeError."""

    def find(self, head: str) -> Seen | None:
        """Return the pull request of a branch: an open one before one that has ended."""
        ...

    def open(self, draft: Draft) -> Seen:
        """Open a pull request."""
        ...

    def update(self, number: int, draft: Draft) -> None:
        """Give a pull request this title and body."""
        ...

    def look(self, number: int) -> Seen:
        """Return a pull request with what its checks say."""
        ...

    def remarks(self, seen: Seen) -> list[Remark]:
        """Return the comments of others, oldest first."""
        ...

    def merge(self, number: int, commit: str) -> None:
        """Merge a pull request whose head is exactly `commit`."""
        ...
