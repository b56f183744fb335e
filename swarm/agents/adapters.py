"""The tools that agents run, declared as data: one TOML file each in `tools/`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from p2p.protocol.errors import DomainError

_TOOLS_DIR = Path(__file__).parent / "tools"


@dataclass(frozen=True, slots=True)
class ToolAdapter:
    """How to start a tool in its session, and how a task is delivered to it.

    `deliver` is `block`: the task's shell block is run under watch (see `swarm.agents.shell`).
    """

    name: str
    start: tuple[str, ...]
    deliver: Literal["block"]


def tool_named(name: str) -> ToolAdapter:
    """Return the adapter of a tool; DomainError `unknown_tool` when there is none."""
    tools = _tools()
    if name not in tools:
        known = ", ".join(sorted(tools))
        message = f"tool '{name[:64]}' is not known; known: {known}"
        raise DomainError("unknown_tool", message, status=422)
    return tools[name]


@cache
def _tools() -> dict[str, ToolAdapter]:
    loaded = [_load(path) for path in sorted(_TOOLS_DIR.glob("*.toml"))]
    return {tool.name: tool for tool in loaded}


def _load(path: Path) -> ToolAdapter:
    fields = tomllib.loads(path.read_text(encoding="utf-8"))
    return ToolAdapter(**{**fields, "start": tuple(fields["start"])})
