"""The end of the demo in tables: what was done by whom, what it cost, and what was checked."""

from __future__ import annotations

import re

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from voidlux_site.demo.check import Check
from voidlux_site.demo.client import Json
from voidlux_site.demo.incident_facts import crashes, questions
from voidlux_site.demo.names import Names
from voidlux_site.demo.statements import statement_table, sum_line, traders
from voidlux_site.demo.view import STYLES

REFUSED_STYLE = "yellow"
NUMBER_COLUMNS = frozenset(
    {"#", "Try", "Seconds", "Tasks", "Price", "Held", "Accepted", "Paid", "Given back"}
)

_ATTEMPT_FAILED = re.compile(r"^attempt \d+ failed: ")
_MORE = re.compile(r"[:;]| without an exit on record")


def print_report(console: Console, facts: Json, names: Names) -> None:
    """Print every table, what was built, and the timings."""
    for title, explanation, table in (
        ("Who did what", "one row per attempt", work_table(facts, names)),
        ("What got in the way", "and how it went on", incident_table(facts, names)),
        ("What the merge gate did", "merged, tested, pushed only when green", gate_table(facts)),
        ("What was bought", "held first, paid per accepted result", trade_table(facts, names)),
    ):
        print_table(console, title, explanation, table)
    for node in traders(facts):
        title = f"The statement of {node['name']}"
        table = statement_table(node, names)
        print_table(console, title, "what moved in its wallet, oldest first", table)
        console.print(Text(sum_line(node)), soft_wrap=True)
    console.print()
    _print_product(console, facts)
    console.print(Text(timing_line(facts)), soft_wrap=True)


def print_checks(console: Console, checks: list[Check]) -> None:
    """Print one line per check."""
    for check in checks:
        mark = ("ok      ", "bold green") if check.ok else ("FAILED  ", "bold red")
        console.print(Text.assemble(mark, check.text), soft_wrap=True)


def work_table(facts: Json, names: Names) -> Table:
    """Return one row per run of a subtask, with what became of it."""
    table = plain_table("#", "Subtask", "Try", "Agent", "", "Seconds", "What became of it")
    for task in facts["subtasks"]:
        for run in task["runs"]:
            good = task["status"] == "completed" and run["commit"] == task["commit"]
            table.add_row(
                str(task["number"]),
                Text(task["title"]),
                str(run["attempt"]),
                Text(names.agent(run["agent"], run["node_id"])),
                Text("hired", "magenta") if run["hired"] else Text("own", "dim"),
                f"{run['seconds']:.1f}",
                Text(_outcome(task, run, names), "green" if good else REFUSED_STYLE),
            )
    return table


def incident_table(facts: Json, names: Names) -> Table:
    """Return one row per question that an agent asked and per agent that died at work."""
    table = plain_table("What", "Subtask", "Agent", "How it went on")
    for told in questions(facts):
        went_on = "" if told["went_on_s"] is None else f", went on {told['went_on_s']:.1f} s later"
        text = f"{told['text']}  {told['answer'] or 'no answer'}{went_on}"
        table.add_row("asked", *_whose(told, names), Text(text))
    for told in crashes(facts):
        after = told["next"]
        whom = names.agent(after["agent"], after["node_id"]) if after else ""
        text = f"try {after['attempt']} by {whom} " if after else "nobody "
        text += "went on from its work" if told["kept"] else "began anew"
        died = f"process {told['pid']} is gone; "
        table.add_row("killed", *_whose(told, names), Text(died + text))
    return table


def gate_table(facts: Json) -> Table:
    """Return one row per batch that the buyer's merge gate judged."""
    numbers = {task["id"]: str(task["number"]) for task in facts["subtasks"]}
    tests = {run["id"]: run for run in facts["evidence"]["test_runs"]}
    table = plain_table("Subtasks", "Outcome", "On", "Result", "Tests")
    for run in facts["evidence"]["merge_runs"]:
        test = tests.get(run["test_run_id"])
        table.add_row(
            ", ".join(numbers.get(task_id, "?") for task_id in run["tasks"]),
            Text(run["outcome"], "green" if run["outcome"] == "merged" else REFUSED_STYLE),
            run["base_commit"][:8],
            run["head_commit"][:8],
            Text(_test_text(test), "" if test is None or test["passed"] else "red"),
        )
    return table


def trade_table(facts: Json, names: Names) -> Table:
    """Return one row per tribute of the buyer."""
    table = plain_table(
        *("Tribute", "Seller", "Tasks", "Price", "Held", "Accepted", "Paid", "Given back"),
        *("Status", "Why"),
    )
    buyer = facts["nodes"][0]
    for tribute in buyer["tributes"]:
        done = tribute["executions"]
        accepted = sum(each["status"] == "accepted" for each in done)
        paid = sum(each["payment"] == "committed" for each in done) * tribute["price_per_task"]
        table.add_row(
            tribute["id"][:8],
            Text(names.node(tribute["to_node_id"])),
            str(tribute["task_count"]),
            str(tribute["price_per_task"]),
            str(tribute["total_cost"]),
            str(accepted),
            str(paid),
            str(_given_back(buyer, tribute)),
            Text(tribute["status"], STYLES.get(tribute["status"], "")),
            Text(tribute["reason_code"], "dim"),
        )
    return table


def timing_line(facts: Json) -> str:
    """Return how long what took, and what the hired agents brought."""
    timings = facts["timings"]
    return (
        f"Timings: nodes up in {timings['nodes_up_s']} s; the goal took {timings['goal_s']} s for "
        f"{timings['agent_work_s']} s of agent work; everything settled after "
        f"{timings['settled_s']} s."
    )


def verdict(facts: Json, checks: list[Check]) -> str:
    """Return one sentence for somebody who reads nothing else."""
    failed = [check.name for check in checks if not check.ok]
    if failed:
        return f"The demo failed: {', '.join(failed)}."
    buyer = facts["nodes"][0]
    paid = sum(e["amount"] for e in buyer["ledger"] if e["kind"] == "capture")
    hired = sum(any(run["hired"] for run in task["runs"]) for task in facts["subtasks"])
    return (
        f"A goal of {len(facts['subtasks'])} subtasks was finished by one own agent and hired "
        f"ones, which did {hired} of them; their commits were merged and tested before {paid} VOID "
        "changed hands, and every number above was read back from the nodes and the git remote."
    )


def print_table(console: Console, title: str, explanation: str, table: Table) -> None:
    """Print a table under its title, with a blank line before it."""
    console.print()
    console.print(Text.assemble((title, "bold"), (f"  {explanation}", "dim")))
    console.print(table)


def _print_product(console: Console, facts: Json) -> None:
    remote = facts["remote"]
    if not remote["product"]:
        return
    where = f"{remote['branch']} at {remote['head'][:8]}"
    console.print(Text(f"What they built ({where}), run on six readings:", "bold"))
    for line in remote["product"].splitlines():
        console.print(Text(f"  {line}"), soft_wrap=True)
    console.print()


def plain_table(*columns: str) -> Table:
    """Return a table without lines that folds what is too long; numbers stand on the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        side: JustifyMethod = "right" if column in NUMBER_COLUMNS else "left"
        table.add_column(column, header_style="dim", overflow="fold", justify=side)
    return table


def _given_back(buyer: Json, tribute: Json) -> int:
    entries = (each for each in buyer["ledger"] if each["tribute_id"] == tribute["id"])
    return sum(each["amount"] for each in entries if each["kind"] == "release")


def _whose(told: Json, names: Names) -> tuple[Text, Text]:
    return Text(told["title"]), Text(names.agent(told["run"]["agent"], told["run"]["node_id"]))


def _test_text(test: Json | None) -> str:
    if test is None:
        return ""
    how = "green" if test["passed"] else "red"
    return f"{how} at {test['commit'][:8]} in {test['duration_ms'] / 1000:.1f} s"


def _outcome(task: Json, run: Json, names: Names) -> str:
    if task["status"] == "completed" and run["commit"] == task["commit"]:
        return f"merged as {task['merged_commit'][:8]}"
    # What follows the colon is a command or an id: the events and the JSON have it.
    reason = _ATTEMPT_FAILED.sub("", names.tidy(run["outcome"]))
    short = _MORE.split(reason, maxsplit=1)[0].strip()
    return short if run is task["runs"][-1] else f"sent back: {short}"
