"""What a forge holds: pull requests, comments, checks, people; whichever API shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PROJECT = "acme/widgets"
OWN = "swarm-account"
TOKEN = "s3cr3t-token-of-the-node"


@dataclass
class Pull:
    """One pull request; its head commit is whatever its branch holds."""

    number: int
    head: str
    base: str
    title: str
    body: str
    state: str = "open"


@dataclass
class Comment:
    """A comment: general, or with a path on a line; `parent` is the comment that it answers."""

    id: int
    author: str
    body: str
    path: str = ""
    line: int | None = None
    hunk: str = ""
    parent: int | None = None
    kind: str = "general"
    at: str = "2026-05-04T12:00:00Z"
    resolved: bool = False


@dataclass
class Fault:
    """An answer that is given instead of the right one, `times` times; status 0 hangs up."""

    method: str
    path: re.Pattern[str]
    status: int
    body: Any
    headers: Mapping[str, str]
    times: int
    after_effect: bool


@dataclass
class Answer:
    """What goes back: JSON, or text where `body` is a string."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class ForgeState:
    """One project at one forge."""

    branches: Callable[[], Mapping[str, str]]
    pulls: list[Pull] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    runs: list[tuple[str, str | None]] = field(default_factory=list)
    pipeline: str | None = None
    writers: set[str] = field(default_factory=lambda: {OWN, "grace"})
    outsiders: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    mergeable: bool = True
    first_number: int = 7

    def add_pull(self, head: str, base: str, title: str, body: str) -> Pull:
        """Open a pull request."""
        pull = Pull(self.first_number + len(self.pulls), head, base, title, body)
        self.pulls.append(pull)
        return pull

    def pull(self, number: str | int) -> Pull | None:
        """Return a pull request by number."""
        return next((each for each in self.pulls if each.number == int(number)), None)

    def head_of(self, pull: Pull) -> str:
        """Return the commit that a pull request's branch holds now."""
        return self.branches().get(f"refs/heads/{pull.head}", "0" * 40)

    def comment(self, author: str, body: str, **columns: Any) -> Comment:
        """Let somebody write a comment."""
        made = Comment(100 + len(self.comments), author, body, **columns)
        self.comments.append(made)
        return made

    def fail(
        self,
        method: str,
        path: str,
        status: int,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        times: int = 1,
        after_effect: bool = False,
    ) -> None:
        """Answer the next matching requests with this; `after_effect` does what was asked first."""
        pattern = re.compile(path)
        self.faults.append(Fault(method, pattern, status, body, headers or {}, times, after_effect))

    def fault_for(self, method: str, path: str) -> Fault | None:
        """Return the fault that is due for a request, and count it."""
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and fault.path.search(path):
                fault.times -= 1
                return fault
        return None
