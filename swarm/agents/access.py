"""Where a run's agent gets its access to our MCP server from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from swarm.models import Attempt


class Access(Protocol):
    """The address of the MCP server, and the bearer token of one agent for one attempt."""

    @property
    def url(self) -> str:
        """The address as agents of this node reach it."""

    @property
    def token(self) -> str:
        """The secret that proves the agent."""


@dataclass(frozen=True, slots=True)
class Granted:
    """An access; an empty one, of a node without an MCP server, is to nobody."""

    url: str = ""
    token: str = field(default="", repr=False)


_sources: list[Callable[[Attempt], Access]] = []


def provide_access(source: Callable[[Attempt], Access]) -> None:
    """Register who issues the access of an attempt; the last one registered counts."""
    _sources.append(source)


def access_for(attempt: Attempt) -> Access:
    """Return an attempt's access, issued anew; to be called on the database thread."""
    return _sources[-1](attempt) if _sources else Granted()
