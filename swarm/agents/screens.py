"""What a tool's screen shows: the first dialog or rule that matches, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from swarm.agents.adapters import Dialog, ScreenRule, ToolAdapter

EVIDENCE_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """A state read off the screen: which rule matched and the line that it matched."""

    state: str
    rule: str
    line: str
    dialog: Dialog | None = None


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
