"""The text of a pull request: the goal, and what proves each of its subtasks."""

from __future__ import annotations

from collections.abc import Iterable

from p2p.protocol.limits import PULL_BODY_CHARS_MAX
from swarm.forge.contract import Draft
from swarm.forge.models import PullRequest
from swarm.models import Task, TestRun
from swarm.states import TaskStatus

INTRO_CHARS_MAX = 8_000
CUT = "\n\n(cut here: the whole text is at the node that made it)"


def draft_of(pull: PullRequest) -> Draft:
    """Return a pull request as the forge should show it."""
    goal = pull.goal
    parts = [
        _cut(goal.instructions.strip(), INTRO_CHARS_MAX),
        _proof_of(goal, pull.head_commit),
        "## Subtasks",
        _table(goal),
    ]
    for follow_up in pull.follow_ups.exclude(delivered_commit="").select_related("goal"):
        parts += [f"## After review, round {follow_up.round}", _table(follow_up.goal)]
    parts.append(f"Goal `{goal.id.hex}`, branch `{pull.head_branch}`.")
    body = _cut("\n\n".join(filter(None, parts)), PULL_BODY_CHARS_MAX - len(CUT))
    return Draft(pull.head_branch, pull.base_branch, pull.title, body)


def _proof_of(goal: Task, head: str) -> str:
    run = TestRun.objects.filter(commit=head, command=goal.test_command).order_by("-id").first()
    if run is None:
        return f"Merged as `{head[:12]}`; no test command was given."
    how = "is green" if run.passed else "is red"
    return f"{_code(run.command)} {how} at `{head[:12]}` ({run.duration_ms / 1000:.1f} s)."


def _table(goal: Task) -> str:
    done = goal.subtasks.filter(status=TaskStatus.COMPLETED).order_by("number")
    rows = [
        "| # | Subtask | Commit | Agent | Attempts | Proof |",
        "|---|---|---|---|---|---|",
        *(_row(goal, task) for task in done),
    ]
    return "\n".join(rows)


def _row(goal: Task, task: Task) -> str:
    cells: Iterable[str] = (
        str(task.number),
        _plain(task.title),
        f"`{task.commit[:12]}`",
        _plain(task.assigned_agent or "an agent"),
        f"{task.attempt} of {task.attempts_max}",
        _proof_of_subtask(goal, task),
    )
    return f"| {' | '.join(cells)} |"


def _proof_of_subtask(goal: Task, task: Task) -> str:
    command = task.test_command or goal.test_command
    runs = TestRun.objects.filter(commit=task.merged_commit, command=command)
    run = runs.order_by("-id").first() if command else None
    if run is None:
        return f"merged as `{task.merged_commit[:12]}`"
    return f"{_code(run.command)} {'green' if run.passed else 'red'} at `{run.commit[:12]}`"


def _plain(text: str) -> str:
    """Return a text that stays in its cell and is neither a link nor a mention."""
    escaped = "".join(f"\\{char}" if char in "\\`*_[]<>|#!" else char for char in text)
    return " ".join(escaped.replace("@", "(at)").split())


def _code(command: str) -> str:
    one_line = " ".join(command.replace("`", "'").replace("|", "\\|").split())
    return f"`{_cut(one_line, 200)}`"


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[:chars_max] + CUT
