"""The tools that agents run, declared as data: one TOML file each, ours and the operator's."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.agents.windows import GROUPS

FILE_BYTES_MAX = 64 * 1024
SCREEN_LINES_DEFAULT = 12
_TOOLS_DIR = Path(__file__).parent / "tools"

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Pattern = Annotated[str, Meta(min_length=1, max_length=500)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,16}$")]
Lines = Annotated[int, Meta(ge=1, le=200)]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Place = Annotated[str, Meta(pattern=r"^(~/|/|\$[A-Z_]+/)[^:]{1,400}$")]
State = Literal["starting", "ready", "working", "blocked"]
SignalState = Literal["ready", "working", "blocked"]
_ALLOWED = {
    "deliver": "'block' and 'prompt' are",
    "state": "'starting', 'ready', 'working' and 'blocked' are",
}


class ScreenRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A state that the screen shows: `match` and not `unless` in its last `lines` filled lines."""

    name: Name
    state: State
    match: Pattern
    unless: Pattern | None = None
    lines: Lines = SCREEN_LINES_DEFAULT


class Choice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer to a dialog, and the keys that give it."""

    name: Name
    label: Text
    keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=8)]


class Dialog(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question of the tool itself: nothing may be typed while it is open."""

    name: Name
    asks: Text
    match: Pattern
    unless: Pattern | None = None
    lines: Lines = SCREEN_LINES_DEFAULT
    choices: Annotated[tuple[Choice, ...], Meta(max_length=8)] = ()


class UsageWindow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the screen shows when the tool's account has used up its allowance for some time.

    The named groups of `match` say until when (see `swarm.agents.windows`); without them, or with
    a time that cannot be, it counts for `fallback_s`. `continue` is typed when the window is over;
    `answers` are dialogs that come with the text, each with the choice that the node gives itself.
    """

    name: Name
    match: Pattern
    unless: Pattern | None = None
    lines: Lines = 20
    fallback_s: Annotated[int, Meta(ge=1, le=86_400)] = 1_800
    go_on: Text | None = msgspec.field(default=None, name="continue")
    answers: dict[Name, Name] = {}


class Typing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a prompt is typed, how it is seen in the input box, and what sends it off."""

    submit: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=4)] = ("Enter",)
    clear: Annotated[tuple[Key, ...], Meta(max_length=4)] = ()
    bracketed_paste: bool = True
    shown_as: Pattern | None = None


class Hooks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tool's own signals: a settings file whose hooks write lines into `{signals}`."""

    file: Text
    content: Annotated[str, Meta(min_length=1, max_length=8000)]
    states: dict[Name, SignalState]
    arguments: tuple[str, ...] = ()


class Mcp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the tool learns of our MCP server: a file, arguments or variables with the access."""

    file: Text | None = None
    content: Annotated[str, Meta(max_length=8000)] = ""
    arguments: tuple[str, ...] = ()
    environment: dict[Variable, str] = {}
    exclude: bool = False


class ToolAdapter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to start a tool in its session, tell its state, and talk to it.

    `deliver` is `block`: the task's shell block is run under watch (see `swarm.agents.shell`),
    or `prompt`: the task is typed to the tool, which claims over MCP that it is done.
    In the sandbox of sold work it reads `sandbox_paths`, and has `sandbox_copies` of its own.
    """

    name: Name
    start: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
    deliver: Literal["block", "prompt"]
    title: str = ""
    model: tuple[str, ...] = ()
    environment: dict[Variable, str] = {}
    pass_variables: tuple[Variable, ...] = ()
    max_concurrent_tasks: Annotated[int, Meta(ge=0, le=50)] = 0
    sandbox_paths: Annotated[tuple[Place, ...], Meta(max_length=32)] = ()
    sandbox_copies: Annotated[tuple[Place, ...], Meta(max_length=32)] = ()
    screen: Annotated[tuple[ScreenRule, ...], Meta(max_length=64)] = ()
    dialog: Annotated[tuple[Dialog, ...], Meta(max_length=64)] = ()
    usage_window: Annotated[tuple[UsageWindow, ...], Meta(max_length=16)] = ()
    typing: Typing = Typing()
    interrupt: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=4)] = ("C-c",)
    exit: str = ""
    hooks: Hooks | None = None
    mcp: Mcp | None = None

    def command(self, model: str) -> list[str]:
        """Return the command line, with the model where one is asked for."""
        chosen = [part.replace("{model}", model) for part in self.model] if model else []
        return [*self.start, *chosen]


# msgspec keeps what it knows of a class, and crashes when two threads make that at once (0.22):
# made here, on import.
msgspec.json.Decoder(ToolAdapter)


def tool_named(name: str) -> ToolAdapter:
    """Return the adapter of a tool; DomainError `unknown_tool` when there is none.

    `bad_tool` names file, key and what is allowed where a file of the operator's is wrong.
    """
    tools = all_tools()
    if name not in tools:
        known = ", ".join(sorted(tools))
        message = f"tool '{name[:64]}' is not known; known: {known}"
        raise DomainError("unknown_tool", message, status=422)
    return tools[name]


def all_tools() -> dict[str, ToolAdapter]:
    """Return all adapters by name: ours, and those in `tools/` of the home, which win."""
    tools: dict[str, ToolAdapter] = {}
    for folder in (_TOOLS_DIR, local_node().home / "tools"):
        for path in sorted(folder.glob("*.toml")):
            tool = _loaded(path, path.stat().st_mtime_ns)
            tools[tool.name] = tool
    return tools


def load_tool(path: Path) -> ToolAdapter:
    """Read one adapter; DomainError `bad_tool` says which key is wrong and what is allowed."""
    try:
        data = path.read_bytes()
        if len(data) > FILE_BYTES_MAX:
            raise ValueError(f"{len(data)} bytes, at most {FILE_BYTES_MAX} are allowed")
        tool = msgspec.convert(tomllib.loads(data.decode("utf-8")), ToolAdapter)
        _check(tool, path)
    except (ValueError, OSError) as error:
        message = f"tools/{path.name}: {_readable(error)}"
        raise DomainError("bad_tool", message, status=422) from error
    return tool


@cache
def _loaded(path: Path, _changed_ns: int) -> ToolAdapter:
    return load_tool(path)


def _readable(error: Exception) -> str:
    """Return `key: what is wrong` from a message of msgspec, which says it the other way round."""
    problem, at, place = str(error).rpartition(" - at `$")
    if not at:
        return str(error)
    key = place.rstrip("`").lstrip(".")
    allowed = _ALLOWED.get(key.rpartition(".")[2])
    hint = f"; {allowed} allowed" if allowed and "enum" in problem else ""
    return f"{key}: {problem}{hint}"


def _check(tool: ToolAdapter, path: Path) -> None:
    if tool.name != path.stem:
        raise ValueError(f"name: is {tool.name!r}, the file's own name {path.stem!r} is allowed")
    if tool.deliver == "prompt" and not any(rule.state == "ready" for rule in tool.screen):
        raise ValueError("screen: a rule with state 'ready' is needed, or nothing is ever typed")
    for place, pattern in _patterns(tool):
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{place}: {error}; a regular expression is allowed") from error
    for number, window in enumerate(tool.usage_window):
        _check_window(tool, window, f"usage_window[{number}]")


def _check_window(tool: ToolAdapter, window: UsageWindow, place: str) -> None:
    if unknown := set(re.compile(window.match).groupindex) - GROUPS:
        known = ", ".join(sorted(GROUPS))
        raise ValueError(f"{place}.match: group {min(unknown)!r} is unknown; {known} are allowed")
    # A state is news only where its rule's name differs, so that two may not share one.
    names = [each.name for each in tool.screen] + [each.name for each in tool.dialog]
    if window.name in names:
        raise ValueError(f"{place}.name: {window.name!r} is the name of another rule too")
    choices = {dialog.name: {each.name for each in dialog.choices} for dialog in tool.dialog}
    for dialog, choice in window.answers.items():
        if choice not in choices.get(dialog, set()):
            raise ValueError(f"{place}.answers: no dialog {dialog!r} has a choice {choice!r}")


def _patterns(tool: ToolAdapter) -> list[tuple[str, str]]:
    found = []
    kinds: dict[str, tuple[ScreenRule | Dialog | UsageWindow, ...]]
    kinds = {"screen": tool.screen, "dialog": tool.dialog, "usage_window": tool.usage_window}
    for kind, rules in kinds.items():
        for number, rule in enumerate(rules):
            found.append((f"{kind}[{number}].match", rule.match))
            if rule.unless is not None:
                found.append((f"{kind}[{number}].unless", rule.unless))
    if tool.typing.shown_as is not None:
        found.append(("typing.shown_as", tool.typing.shown_as))
    return found
