"""What became of a swarm that lost its emperor, in a table and a few lines."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from voidlux_site.demo.client import Json
from voidlux_site.demo.names import Names
from voidlux_site.demo.report import REFUSED_STYLE, plain_table, print_table


def print_succession(console: Console, facts: Json, names: Names) -> None:
    """Print who did what while the emperor was killed, and how long what took."""
    explanation = f"the goal of swarm {facts['swarm']}, one row per attempt"
    print_table(console, "Over the emperor's death", explanation, succession_table(facts, names))
    console.print()
    console.print(Text(succession_timing(facts)), soft_wrap=True)


def succession_table(facts: Json, names: Names) -> Table:
    """Return one row per run of the goals' subtasks, with what became of it."""
    table = plain_table("#", "Subtask", "Try", "Agent", "Seconds", "What became of it")
    for goal in facts["goals"]:
        for task in goal["subtasks"]:
            for run in task["runs"]:
                good = task["status"] == "completed" and run["commit"] == task["commit"]
                table.add_row(
                    str(task["number"]),
                    Text(task["title"]),
                    str(run["attempt"]),
                    Text(names.agent(run["agent"], run["node_id"])),
                    f"{run['seconds']:.1f}",
                    Text(_outcome(facts, task, run), "green" if good else REFUSED_STYLE),
                )
    return table


def succession_timing(facts: Json) -> str:
    """Return how long the swarm had no emperor, and what else took its time."""
    timings, killed = facts["timings"], facts["killed"]["name"]
    return (
        f"Timings: another emperor {timings['vacant_s']} s after the kill; the goal took "
        f"{timings['goal_s']} s with all that; {killed} followed {timings['back_s']} s after it "
        "was started again."
    )


def succession_verdict(facts: Json) -> str:
    """Return one sentence for somebody who reads nothing else; only where all checks hold."""
    return (
        f"The emperor of swarm {facts['swarm']} was killed in the middle of a goal: another node "
        f"took over within {facts['timings']['vacant_s']} s and finished it, nothing was merged "
        "twice or lost, and the browser stayed logged in at the same address."
    )


def _outcome(facts: Json, task: Json, run: Json) -> str:
    if task["status"] == "completed" and run["commit"] == task["commit"]:
        before = " before the kill" if task["id"] in facts["killed"]["merged"] else ""
        return f"merged{before}"
    if run["status"] == "failed" and task["id"] in facts["killed"]["at_work"]:
        return "died with its node; given out again when its lease had run out"
    if run["node_id"] == facts["killed"]["node_id"]:
        return "begun on its return, before it heard of the new term"
    return _first_line(run["error"]) or str(run["status"])


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
