"""The best evidence wins, silence never completes, and a dialog is never overlooked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from swarm.agents.judging import Evidence, judge, would_change
from swarm.states import AgentStatus

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
S = AgentStatus


def seen(source: str, state: AgentStatus, age_s: float, dialog: bool = False) -> Evidence:
    return Evidence(
        source=source,  # type: ignore[arg-type]
        state=state,
        rule=f"{source}_rule",
        text="text",
        at=NOW - timedelta(seconds=age_s),
        dialog=dialog,
    )


def opened(age_s: float) -> Evidence:
    return seen("screen", S.BLOCKED, age_s, dialog=True)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ([], (S.UNKNOWN, "silence")),
        ([seen("silence", S.UNKNOWN, 900)], (S.UNKNOWN, "silence")),
        ([seen("screen", S.READY, 3)], (S.READY, "screen")),
        ([seen("screen", S.READY, 3), seen("hook", S.WORKING, 2)], (S.WORKING, "hook")),
        ([seen("screen", S.READY, 2), seen("mcp", S.WORKING, 20)], (S.WORKING, "mcp")),
        ([seen("screen", S.READY, 2), seen("hook", S.WORKING, 31)], (S.READY, "screen")),
        ([seen("screen", S.READY, 40), seen("hook", S.WORKING, 31)], (S.WORKING, "hook")),
        ([seen("hook", S.WORKING, 900)], (S.WORKING, "hook")),
        ([seen("screen", S.BLOCKED, 1), seen("mcp", S.WORKING, 5)], (S.BLOCKED, "screen")),
        ([seen("screen", S.BLOCKED, 9), seen("mcp", S.WORKING, 5)], (S.WORKING, "mcp")),
        ([opened(4.9), seen("hook", S.WORKING, 5)], (S.BLOCKED, "screen")),
        ([opened(900), seen("mcp", S.WORKING, 5)], (S.BLOCKED, "screen")),
        ([opened(5), seen("hook", S.WORKING, 0.9)], (S.WORKING, "hook")),
        ([opened(5), seen("hook", S.BLOCKED, 4)], (S.BLOCKED, "screen")),
        ([opened(5), seen("process", S.EXITED, 1)], (S.EXITED, "process")),
        ([seen("screen", S.READY, 1), seen("hook", S.BLOCKED, 5)], (S.READY, "screen")),
        ([seen("hook", S.READY, 1), seen("mcp", S.WORKING, 5)], (S.READY, "hook")),
        ([seen("process", S.EXITED, 1), seen("mcp", S.WORKING, 5)], (S.EXITED, "process")),
        ([seen("process", S.EXITED, 9), seen("screen", S.READY, 1)], (S.EXITED, "process")),
    ],
)
def test_the_best_evidence_wins(
    evidence: list[Evidence], expected: tuple[AgentStatus, str]
) -> None:
    for order in (evidence, evidence[::-1]):
        judged = judge(order, NOW)
        assert (judged.state, judged.source) == expected


def test_a_judgement_carries_its_rule_its_age_and_all_that_was_considered() -> None:
    older, newer = seen("screen", S.READY, 3), seen("hook", S.WORKING, 2)

    judged = judge([older, newer], NOW)

    assert (judged.rule, judged.since, judged.evidence) == ("hook_rule", newer.at, "text")
    assert judged.considered == (newer, older)
    assert "the end of the process" in would_change(judged)
