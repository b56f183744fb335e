"""The demo in large, without its nodes: what they are given to do, and what is said of it."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rich.console import Console

from swarm.outline import parse_outline
from tests.support.succession_facts import NEW, OLD, flawless_succession
from voidlux_site.demo.following import News, Snapshot
from voidlux_site.demo.memory import memory_mb
from voidlux_site.demo.scale import is_middle, outlines, scale_plans, show_busy
from voidlux_site.demo.scale_show import scale_lines
from voidlux_site.demo.view import PlainView

NO_PROCESS = 2**22 + 1  # above the largest id that a kernel gives


@pytest.mark.parametrize("value", ["1", "51", "-3", "8.5", "many", "", "9" * 40])
def test_another_number_of_nodes_is_refused_with_the_limits(value: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("demo", f"--scale={value}")

    assert str(refused.value) == (
        f"--scale is {value!r}: a whole number of nodes from 2 to 50 is allowed"
    )


def test_the_first_node_is_emperor_of_one_swarm() -> None:
    plans = scale_plans(3)

    assert [(plan.name, plan.role, plan.agents) for plan in plans] == [
        ("node-01", "emperor", 1),
        ("node-02", "worker", 1),
        ("node-03", "worker", 1),
    ]
    assert {plan.swarm for plan in plans} == {"fleet"}


@pytest.mark.parametrize(("count", "sizes"), [(4, [4]), (16, [8, 8]), (18, [8, 8, 2])])
def test_every_second_subtask_waits_for_the_one_before(count: int, sizes: list[int]) -> None:
    goals = [parse_outline(text).items for text in outlines(count)]

    assert [len(items) for items in goals] == sizes
    assert all(
        tuple(item.after) == ((place - 1,) if place % 2 == 0 else ())
        for items in goals
        for place, item in enumerate(items, 1)
    )
    assert [item.title for items in goals for item in items] == [
        f"Part {number}" for number in range(1, count + 1)
    ]


def tasks(*statuses: str, node_id: str = OLD) -> list[dict[str, Any]]:
    return [{"status": status, "assigned_node": node_id} for status in statuses]


@pytest.mark.parametrize(
    ("subtasks", "expected"),
    [
        ([], False),
        (tasks("in_progress", "pending"), False),
        (tasks("completed", "in_progress", "pending", "pending"), True),
        (tasks("completed", "in_progress", "pending", "pending", node_id=NEW), False),
        (tasks("completed", "completed", "pending", "pending"), True),
    ],
)
def test_the_middle_is_a_quarter_with_the_emperor_at_work_or_a_half(
    subtasks: list[dict[str, Any]], expected: bool
) -> None:
    assert is_middle(subtasks, OLD) is expected


def test_a_pipe_is_told_only_what_ended() -> None:
    out = io.StringIO()
    [goal] = flawless_succession()["goals"]
    news = [
        News(2.0, "1 Name", "claimed", "by a"),
        News(3.0, "1 Name", "completed", "merged"),
        News(4.0, "1 Name", "completed", "taken over from node-01, term 2"),
    ]

    show_busy(
        PlainView(Console(file=out, width=80)),
        [Snapshot(at_s=3.0, goal=goal, subtasks=goal["subtasks"], wallets={}, news=news)],
    )

    [line] = out.getvalue().splitlines()
    assert line.split() == ["3.0", "s", "1", "Name", "completed", "merged"]


def test_what_was_measured_is_one_figure_a_line() -> None:
    facts = {
        "nodes": 2,
        "subtasks": 4,
        "succession": flawless_succession(),
        "memory_mb": {"node-01": 180, "node-02": 175},
        "timings": {"up_s": 9.5, "linked_s": 11.0, "tasks_per_minute": 10.9, "total_s": 60.0},
    }

    lines = scale_lines(facts)

    assert "after 11.0 s" in lines[1]
    assert lines[2].endswith("4 subtasks in 22.1 s, 10.9 a minute, the change of emperor included")
    assert lines[3].endswith("3.5 s after the kill")
    assert lines[-1].endswith("175 to 180 MB with its worker and what it shares")


def test_memory_is_that_of_a_process_with_its_children() -> None:
    assert memory_mb(os.getpid()) > 20
    assert memory_mb(NO_PROCESS) == 0
