"""What an agent is doing, from the best evidence there is: pure, (evidence, now) -> judgement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from swarm.states import AgentStatus

Source = Literal["mcp", "hook", "process", "screen", "silence"]

# A signal says what was so when it came; what the screen shows since then overtakes an old one.
SIGNAL_FRESH_S = 30.0
# The screen is drawn a moment after the tool has sent its signal.
REDRAW_S = 1.0
RANKS: dict[Source, int] = {"mcp": 0, "hook": 0, "process": 1, "screen": 2, "silence": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing that was seen: the state it speaks for, which rule read it, and since when.

    `dialog` tells that the screen shows one now.
    """

    source: Source
    state: AgentStatus
    rule: str
    text: str
    at: datetime
    dialog: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The state that the best evidence shows, and everything that was considered, best first."""

    state: AgentStatus
    source: str
    rule: str
    evidence: str
    since: datetime
    considered: tuple[Evidence, ...]


def judge(evidence: Sequence[Evidence], now: datetime) -> Judgement:
    """Return what the evidence shows; silence alone is `unknown`, and never completion.

    Order: a call over MCP or a hook of the tool, the end of its process, a rule of its screen.
    A signal gives way to the process's end after it, to a dialog that is still on the screen when
    the tool has had its time to redraw (1 s), to what blocks otherwise and came after it, and, when
    it is older than 30 s, to any rule that has matched since.
    """
    ranked = sorted(evidence, key=lambda each: (RANKS[each.source], -each.at.timestamp()))
    standing = [each for each in ranked if not _overtaken(each, ranked, now)]
    best = standing[0] if standing else _nothing(now)
    return Judgement(
        state=best.state,
        source=best.source,
        rule=best.rule,
        evidence=best.text,
        since=best.at,
        considered=tuple(ranked),
    )


def as_stored(evidence: Sequence[Evidence]) -> list[dict[str, Any]]:
    """Return evidence as JSON-ready data: times as RFC 3339."""
    return [{**asdict(each), "at": each.at.isoformat()} for each in evidence]


def would_change(judgement: Judgement) -> str:
    """Tell in one sentence what evidence would change the state."""
    if judgement.state == AgentStatus.EXITED:
        return "a new process: restart the agent, or the next task starts one"
    if judgement.state == AgentStatus.BLOCKED:
        return "an answer to the dialog, or a screen that no longer shows what blocks it"
    if judgement.source in ("mcp", "hook"):
        return (
            "a newer call or hook, the end of the process, a dialog on the screen, "
            f"or a screen rule that matches more than {SIGNAL_FRESH_S:.0f} s later"
        )
    if judgement.state == AgentStatus.UNKNOWN:
        return "a call over MCP, a hook, or a screen that one of the tool's rules reads"
    return "a call over MCP, a hook, the end of the process, or a screen that reads otherwise"


def _overtaken(one: Evidence, all_evidence: Sequence[Evidence], now: datetime) -> bool:
    if one.source not in ("mcp", "hook"):
        # A screen outlives its program: what it shows counts only while the process lives.
        return one.source == "screen" and any(each.source == "process" for each in all_evidence)
    return any(_overtakes(other, one, now) for other in all_evidence)


def _overtakes(other: Evidence, signal: Evidence, now: datetime) -> bool:
    age_s = (now - signal.at).total_seconds()
    later = other.at > signal.at + timedelta(seconds=REDRAW_S)
    if other.source == "process":
        return other.at >= signal.at
    if other.source != "screen":
        return other.at > signal.at and other.source in ("mcp", "hook")
    if other.dialog:
        return age_s > REDRAW_S  # however long it is open: a tool calls others meanwhile
    if other.state == AgentStatus.BLOCKED and later:
        return True
    if signal.state == AgentStatus.BLOCKED and later:
        return True  # the dialog that was announced is gone from the screen
    return age_s > SIGNAL_FRESH_S and later


def _nothing(now: datetime) -> Evidence:
    return Evidence(
        source="silence",
        state=AgentStatus.UNKNOWN,
        rule="nothing_seen",
        text="neither a signal nor a screen that a rule reads",
        at=now,
    )
