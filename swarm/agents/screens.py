"""What a tool's screen shows: the first dialog or rule that matches, and nothing else."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache

from swarm.agents.adapters import Dialog, ScreenRule, ToolAdapter, UsageWindow

EVIDENCE_CHARS_MAX = 200
# What moves by itself: cursors of choices, spinners of the tools, and seconds that count.
_MOVING = re.compile(r"[❯›>■⬝•✻✶✳✢✽·∗*\u2800-\u28ff]|\b\d+[ms]\b|\s+")


@dataclass(frozen=True, slots=True)
class Seen:
    """A state read off the screen: which rule matched and the line that it matched."""

    state: str
    rule: str
    line: str
    dialog: Dialog | None = None


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """An exhausted usage window: its rule, what is shown, what of that stays, the named groups.

    `key` tells one window from the next: what is shown without a time that counts down. `times`
    is how often the screen shows such words.
    """

    rule: UsageWindow
    shown: str
    key: str
    said: dict[str, str | None]
    times: int = 1


def read_screen(tool: ToolAdapter, screen: str) -> Seen | None:
    """Return what the first matching dialog, then the first matching rule says; None for none.

    Dialogs come first: while one is open nothing may be typed, whatever else the screen shows.
    """
    filled = [line.rstrip() for line in screen.splitlines() if line.strip()]
    for dialog in tool.dialog:
        if line := _matched(dialog, filled):
            return Seen("blocked", dialog.name, line, dialog)
    for rule in tool.screen:
        if line := _matched(rule, filled):
            return Seen(rule.state, rule.name, line)
    return None


def asked_id(dialog: Dialog, screen: str) -> str:
    """Return 16 digits that tell what an open dialog asks from any other question of its kind.

    They stay while a person moves its cursor, or a spinner or a clock beside it goes on.
    """
    filled = [_MOVING.sub("", line).strip() for line in screen.splitlines()]
    asked = [line for line in filled if line][-dialog.lines :]
    return hashlib.sha256("\n".join([dialog.name, *asked]).encode()).hexdigest()[:16]


def read_window(tool: ToolAdapter, screen: str) -> SeenWindow | None:
    """Return the exhausted usage window that the screen tells of last; None for none."""
    filled = [line.rstrip() for line in screen.splitlines() if line.strip()]
    for rule in tool.usage_window:
        text = "\n".join(filled[-rule.lines :])
        if rule.unless and _compiled(rule.unless).search(text):
            continue
        if all_found := list(_compiled(rule.match).finditer(text)):
            return _seen_window(rule, all_found)
    return None


def tells_of_window(tool: ToolAdapter, screen: str) -> bool:
    """Tell whether words of an exhausted window are on the screen, of now or of before."""
    filled = [line.rstrip() for line in screen.splitlines() if line.strip()]
    return any(
        _compiled(rule.match).search("\n".join(filled[-rule.lines :])) for rule in tool.usage_window
    )


def _seen_window(rule: UsageWindow, all_found: list[re.Match[str]]) -> SeenWindow:
    found = all_found[-1]
    text = found[0]
    if found.groupdict().get("duration"):
        start, end = (at - found.start() for at in found.span("duration"))
        text = text[:start] + "..." + text[end:]
    return SeenWindow(rule, _one_line(found[0]), _one_line(text), found.groupdict(), len(all_found))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:EVIDENCE_CHARS_MAX]


def _matched(rule: Dialog | ScreenRule, filled: list[str]) -> str | None:
    text = "\n".join(filled[-rule.lines :])
    found = _compiled(rule.match).search(text)
    if found is None or (rule.unless and _compiled(rule.unless).search(text)):
        return None
    return _line_around(text, found)


def _line_around(text: str, found: re.Match[str]) -> str:
    start = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", max(found.end(), start + 1))
    line = text[start : end if end >= 0 else None].strip()
    return line.replace("\n", " ")[:EVIDENCE_CHARS_MAX] or "(matched)"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)
