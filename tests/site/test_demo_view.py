"""What the demo shows: names instead of ids, one line per event, tables that say what happened."""

from __future__ import annotations

import io

from rich.console import Console

from tests.support.demo_facts import BUYER, SELLER, flawless_facts, subtask, tribute
from voidlux_site.demo.checks import Check, run_checks
from voidlux_site.demo.following import News, Snapshot
from voidlux_site.demo.names import Names
from voidlux_site.demo.report import print_checks, print_report, timing_line, verdict
from voidlux_site.demo.view import LiveView, PlainView, picture, plain_line, view_for

NAMES = Names({BUYER: "helios", SELLER: "andromeda"})
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
    assert "7d7d7d7d  andromeda      1     12    12         1    12  completed  deadbeef" in lines
    assert "helios        1000    12           0    12       0      988           0" in lines
    assert "  readings  6" in lines


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

    assert [node["tributes"] for node in facts["nodes"]] == [[tribute()], [tribute()]]
