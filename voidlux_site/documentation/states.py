"""Draws `docs/states.md` from the tables of allowed moves: one diagram and one table each."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from django.db.models import TextChoices

from marketplace.states import (
    EXECUTION_MOVES,
    EXECUTION_TERMINAL,
    TRIBUTE_MOVES,
    TRIBUTE_TERMINAL,
    ExecutionStatus,
    SideMove,
    TributeStatus,
)
from swarm.states import (
    ATTEMPT_MOVES,
    ATTEMPT_TERMINAL,
    TASK_MOVES,
    TASK_TERMINAL,
    Actor,
    AttemptStatus,
    Move,
    TaskStatus,
)

Edge = tuple[str, str, str]

_HEAD = """# States

This page is drawn from the tables of allowed moves in `swarm/states.py` and
`marketplace/states.py`; do not edit it by hand.

A row moves by one conditional UPDATE: it names the states from which the move is allowed, and of
two racing callers one moves the row. A move that is not in its table is refused with
`wrong_state` and changes nothing. Moves of tasks are kept with who made them, why, and on what
evidence (`GET /api/swarm/tasks/{id}/events`)."""

_TASKS = """## Tasks

A *goal* is a task without a parent: it begins in `planning`, works while its subtasks do
(`in_progress`), and is decided by the whole test command (`merging`). A *subtask* begins in
`pending`, or in `blocked` when it has prerequisites. Only the node that was given the goal moves
them; whoever runs a subtask sends reports."""

_ATTEMPTS = """## Attempts

An attempt is one run of a subtask by one agent, kept on the node that runs it. It begins in
`queued`."""

_TRIBUTES = """## Tributes

Buyer and seller each keep their own row of a tribute and move it by the same table. It begins in
`pending`. `expired` is silence up to the deadline; `cancelled` after `accepted` means that
nothing of it was used, or that the reservation ran out."""

_EXECUTIONS = """## Executions

An execution is one subtask done under a tribute, or one run of it under the policy `execution`.
Buyer and seller each keep their own row; it begins in `open`, at the buyer with the dispatch and
at the seller with the assignment. [marketplace.md](marketplace.md) says how the rows agree."""


def states_page() -> str:
    """Return the page in Markdown, ending in a line end."""
    sections = (
        _HEAD,
        _TASKS,
        _diagram(_task_edges(), [TaskStatus.PLANNING, *_first_of_subtasks()], TASK_TERMINAL),
        "Not drawn: the operator may cancel a task in every state that has not ended, and a "
        "task that is still open when its goal ends is cancelled with it.",
        _move_table(TASK_MOVES, TaskStatus),
        "Who moves tasks: " + ", ".join(f"`{actor}`" for actor in Actor) + ".",
        _ATTEMPTS,
        _diagram(_edges(ATTEMPT_MOVES), [AttemptStatus.QUEUED], ATTEMPT_TERMINAL),
        _move_table(ATTEMPT_MOVES, AttemptStatus),
        _TRIBUTES,
        _diagram(_side_edges(TRIBUTE_MOVES), [TributeStatus.PENDING], TRIBUTE_TERMINAL),
        _side_table(TRIBUTE_MOVES, TributeStatus),
        _EXECUTIONS,
        _diagram(_side_edges(EXECUTION_MOVES), [ExecutionStatus.OPEN], EXECUTION_TERMINAL),
        _side_table(EXECUTION_MOVES, ExecutionStatus),
    )
    return "\n\n".join(sections) + "\n"


def _first_of_subtasks() -> list[TaskStatus]:
    return [TaskStatus.PENDING, TaskStatus.BLOCKED]


def _task_edges() -> list[Edge]:
    """Return the edges of tasks but the cancellations, which would hide all others."""
    return _edges(move for move in TASK_MOVES if move.target != TaskStatus.CANCELLED)


def _edges(moves: Iterable[Move[Any]]) -> list[Edge]:
    """Return one edge for each pair of states, labelled with all who may make the move."""
    by_pair: dict[tuple[str, str], list[str]] = {}
    for move in moves:
        actors = by_pair.setdefault((str(move.source), str(move.target)), [])
        if str(move.by) not in actors:
            actors.append(str(move.by))
    return [(source, target, ", ".join(actors)) for (source, target), actors in by_pair.items()]


def _side_edges(moves: Iterable[SideMove[Any]]) -> list[Edge]:
    """Return one edge for each pair of states, labelled with the side where only one makes it."""
    by_pair: dict[tuple[str, str], set[str]] = {}
    for move in moves:
        by_pair.setdefault((str(move.source), str(move.target)), set()).add(str(move.side))
    return [(a, b, "" if len(sides) > 1 else min(sides)) for (a, b), sides in by_pair.items()]


def _diagram(edges: Sequence[Edge], first: Sequence[str], terminal: Iterable[str]) -> str:
    last = sorted(str(each) for each in terminal)
    reached = {target for _, target, _ in edges}
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {each}" for each in first]
    lines += [f"    {a} --> {b}" + (f": {label}" if label else "") for a, b, label in edges]
    lines += [f"    {each} --> [*]" for each in last if each in reached]
    return "\n".join([*lines, "```"])


def _move_table(moves: Sequence[Move[Any]], statuses: type[TextChoices]) -> str:
    """Return one row for each reason to move, with all states from which it applies."""
    order = list(statuses)
    rows = ["| From | To | Moved by | When |", "|---|---|---|---|"]
    for (target, actor, why), group in groupby(moves, key=lambda m: (m.target, m.by, m.why)):
        sources = sorted({move.source for move in group}, key=order.index)
        names = ", ".join(f"`{each}`" for each in sources)
        rows.append(f"| {names} | `{target}` | `{actor}` | {why} |")
    return "\n".join((f"{_meaning(statuses)}\n", *rows))


def _side_table(moves: Sequence[SideMove[Any]], statuses: type[TextChoices]) -> str:
    rows = [f"{_meaning(statuses)}\n", "| From | To | At | When |", "|---|---|---|---|"]
    for (source, target, why), group in groupby(moves, key=lambda m: (m.source, m.target, m.why)):
        sides = " and ".join(str(move.side) for move in group)
        rows.append(f"| `{source}` | `{target}` | {sides} | {why} |")
    return "\n".join(rows)


def _meaning(statuses: type[TextChoices]) -> str:
    return inspect.cleandoc(statuses.__doc__ or "").partition("\n")[0]
