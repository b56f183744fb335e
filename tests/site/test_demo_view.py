"""What the demo shows: names instead of ids, one line per event, tables that say what happened."""

from __future__ import annotations

import io

from rich.console import Console

from tests.support.demo_facts import (
    BUYER,
    SELLER,
    STRANGER,
    flawless_facts,
    refused_tribute,
    subtask,
    tribute,
)
from voidlux_site.demo.check import Check
from voidlux_site.demo.checks import run_checks
from voidlux_site.demo.following import News, Snapshot
from voidlux_site.demo.names import Names
from voidlux_site.demo.report import print_checks, print_report, timing_line, verdict
from voidlux_site.demo.statements import sum_line
from voidlux_site.demo.view import LiveView, PlainView, picture, plain_line, view_for

NAMES = Names({BUYER: "helios", SELLER: "andromeda", STRANGER: "vega"})
NEWS = News(8.9, "2 Mean and median", "pending", "the tests turned red")
PURSES = {"helios": {"balance": 988, "held": 5}, "andromeda": {"balance": 1012, "held": 0}}


def snapshot(**changes: object) -> Snapshot:
    goal = {"title": "Telemetry", "status": "in_progress"}
    values = {"goal": goal, "subtasks": [subtask()], "wallets": PURSES, "news": [NEWS]}
    return Snapshot(at_s=9.0, **{**values, **changes})  # type: ignore[arg-type]


def printed(*, terminal: bool = False, width: int = 100) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, force_terminal=terminal, highlight=False), out


def test_names_replace_ids_and_agents_named_after_them() -> None:
    text = f"andromeda-555555-2 at {SELLER[:8]} works for {BUYER}"

    assert NAMES.tidy(text) == "agent-2 at andromeda works for helios"


def test_an_agent_is_shown_at_its_node() -> None:
    assert NAMES.agent("andromeda-555555-2", SELLER) == "agent-2@andromeda"
    assert NAMES.agent("", SELLER) == "andromeda"
    assert NAMES.agent("", "") == ""
    assert NAMES.agent("robot", "c" * 32) == "robot@cccccccc"


def test_an_event_is_one_plain_line() -> None:
    assert plain_line(NEWS) == (
        "   8.9 s  2 Mean and median           pending         the tests turned red"
    )


def test_a_pipe_gets_lines_without_escape_codes() -> None:
    console, out = printed(width=40)

    with view_for(console, NAMES) as view:
        view.say("nodes are up", 2.5)
        view.show(snapshot())

    assert out.getvalue().splitlines() == ["   2.5 s  nodes are up", plain_line(NEWS)]


def test_a_terminal_gets_a_picture() -> None:
    console, _ = printed(terminal=True)

    assert isinstance(view_for(console, NAMES), LiveView)


def test_a_dumb_terminal_gets_lines() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})

    assert isinstance(view_for(console, NAMES), PlainView)


def test_the_picture_shows_subtasks_wallets_and_events() -> None:
    console, out = printed()

    console.print(picture(snapshot(), [NEWS], NAMES))

    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert lines[1:5] == [
        "Telemetry  in progress  9 s",
        "Subtask    Status     Try  Done by",
        " 1 Median  completed  2/3  agent-1@andromeda  hired",
        "   VOID   helios 988 (5 held)   andromeda 1012",
    ]
    assert lines[-1] == "   8.9 s  2 Mean and median  pending  the tests turned red"


def test_titles_are_text_and_no_markup() -> None:
    console, out = printed()

    console.print(picture(snapshot(subtasks=[subtask(title="[red]x[/red]")]), [], NAMES))

    assert "[red]x[/red]" in out.getvalue()


def test_the_report_tells_who_did_what_and_what_it_cost() -> None:
    console, out = printed()

    print_report(console, flawless_facts(), NAMES)

    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert (
        "1  Median     1  agent-1@andromeda  hired      2.5  sent back: the tests turned red"
        in lines
    )
    assert "1  Median     2  agent-1@andromeda  hired      2.5  merged as ffffffff" in lines
    assert "2  Report     2  agent-1@helios     own        2.5  merged as ffffffff" in lines
    assert "7d7d7d7d  andromeda      2     12    24         1    12          12  completed" in lines
    assert (
        "7e7e7e7e  vega           1      5     5         0     0           5  rejected   "
        "not_allowed" in lines
    )
    assert "  readings  6" in lines


def test_the_report_prints_the_statements_of_those_who_traded() -> None:
    console, out = printed()

    print_report(console, flawless_facts(), NAMES)

    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    of_buyer = lines.index("The statement of helios  what moved in its wallet, oldest first")
    of_seller = lines.index("The statement of andromeda  what moved in its wallet, oldest first")
    assert lines[of_buyer + 1 : of_buyer + 9] == [
        "Time      Entry       With       For        VOID  Balance  Held",
        "00:00:09  granted                          +1000     1000     0",
        "00:00:09  held        andromeda  7d7d7d7d     24     1000    24",
        "00:00:09  held        vega       7e7e7e7e      5     1000    29",
        "00:00:09  given back  vega       7e7e7e7e      5     1000    24",
        "00:00:09  paid        andromeda  9a9a9a9a    -12      988    12",
        "00:00:09  given back  andromeda  7d7d7d7d     12      988     0",
        "It adds up: 1000 granted - 12 paid = 988 VOID; "
        "29 held = 12 paid + 17 given back + 0 still held.",
    ]
    assert lines[of_seller + 2 : of_seller + 5] == [
        "00:00:09  granted                    +1000     1000     0",
        "00:00:09  earned   helios  9a9a9a9a    +12     1012     0",
        "It adds up: 1000 granted + 12 earned = 1012 VOID.",
    ]
    assert "The statement of vega  what moved in its wallet, oldest first" not in lines


def test_a_statement_that_does_not_add_up_says_so() -> None:
    node = flawless_facts()["nodes"][1]
    node["statement"]["totals"]["credit"]["amount"] = 11

    assert sum_line(node) == "It does NOT add up: 1000 granted + 11 earned = 1012 VOID."


def test_the_report_tells_what_got_in_the_way() -> None:
    console, out = printed(width=140)

    print_report(console, flawless_facts(), NAMES)

    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert (
        "2  Report     1  agent-1@helios     own        2.5  sent back: process 4711 is gone"
        in lines
    )
    assert "asked   Report   agent-1@helios  Tabs or spaces?  tabs, went on 0.5 s later" in lines
    assert (
        "killed  Report   agent-1@helios  process 4711 is gone; try 2 by agent-1@helios went on "
        "from its work" in lines
    )


def test_checks_are_marked() -> None:
    console, out = printed()

    print_checks(console, [Check("goal", True, "done"), Check("tests", False, "red")])

    assert out.getvalue().splitlines() == ["ok      done", "FAILED  red"]


def test_the_verdict_is_one_sentence() -> None:
    facts = flawless_facts()

    assert verdict(facts, run_checks(facts)) == (
        "A goal of 2 subtasks was finished by one own agent and hired ones, which did 1 of them; "
        "their commits were merged and tested before 12 VOID changed hands, and every number "
        "above was read back from the nodes and the git remote."
    )
    assert verdict(facts, [Check("tests", False, "red")]) == "The demo failed: tests."


def test_timings_are_told() -> None:
    assert timing_line(flawless_facts()) == (
        "Timings: nodes up in 3.0 s; the goal took 14.0 s for 20.0 s of agent work; everything "
        "settled after 18.0 s."
    )


def test_the_tribute_of_the_facts_is_the_same_on_both_sides() -> None:
    facts = flawless_facts()

    assert [node["tributes"] for node in facts["nodes"]] == [
        [tribute(), refused_tribute()],
        [tribute()],
        [refused_tribute()],
    ]
