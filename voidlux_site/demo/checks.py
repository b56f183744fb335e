"""What must be true after the story; judged from the facts alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from voidlux_site.demo.client import Json
from voidlux_site.demo.gate_facts import bisected, conflicts, count_test_runs
from voidlux_site.demo.incident_facts import crashes, questions

# What an entry of each kind does to (balance, held), times its amount.
EFFECTS = {
    "grant": (1, 0),
    "credit": (1, 0),
    "hold": (0, 1),
    "release": (0, -1),
    "capture": (-1, -1),
}
# An execution that the buyer's own agent made unnecessary is given back unused.
GOOD_ENDS = frozenset({"completed", "cancelled"})


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and how it turned out."""

    name: str
    ok: bool
    text: str

    def as_json(self) -> Json:
        """Return the check as JSON-ready data."""
        return asdict(self)


def run_checks(facts: Json) -> list[Check]:
    """Return all checks, in the order in which they are told."""
    return [check(facts) for check in CHECKS]


def check_goal(facts: Json) -> Check:
    """The goal and all its subtasks are completed."""
    done = [task for task in facts["subtasks"] if task["status"] == "completed"]
    ok = facts["goal"]["status"] == "completed" and len(done) == len(facts["subtasks"]) > 0
    text = (
        f"the goal is {facts['goal']['status']}, {len(done)} of {len(facts['subtasks'])} subtasks"
    )
    reason = "" if ok else f": {facts['goal']['error'] or 'see its events'}"
    return Check("goal", ok, f"{text} are completed{reason}")


def check_tests(facts: Json) -> Check:
    """The tests are green in a fresh clone of the very commit that the goal names."""
    tests, goal_commit = facts["remote"]["tests"], facts["goal"]["merged_commit"]
    if tests is None:
        return Check("tests", False, f"the remote has no branch {facts['remote']['branch']}")
    same = tests["commit"] == goal_commit == facts["remote"]["head"]
    ok = same and tests["exit_code"] == 0 and tests["tests_ran"] > 0
    if not same:
        text = f"the goal names {goal_commit[:8] or 'no commit'}, the remote {tests['commit'][:8]}"
    elif ok:
        text = f"{tests['tests_ran']} tests are green in a fresh clone at {tests['commit'][:8]}"
    else:
        text = f"tests end with {tests['exit_code']} at {tests['commit'][:8]}:\n{tests['output']}"
    return Check("tests", ok, text)


def check_merged(facts: Json) -> Check:
    """The commit of every subtask is part of the pushed integration branch."""
    integrated = set(facts["remote"]["integrated"])
    missing = [task["title"] for task in facts["subtasks"] if task["id"] not in integrated]
    branch = facts["remote"]["branch"]
    if missing:
        return Check("merged", False, f"{branch} lacks {', '.join(missing)}")
    return Check("merged", True, f"the remote's {branch} contains the commit of every subtask")


def check_bisection(facts: Json) -> Check:
    """Wrong work was found in a red batch, sent back and corrected; the rest was not kept."""
    found = [told["title"] for told in bisected(facts) if told["fixed"]]
    if not found:
        return Check("bisection", False, "no culprit was found in a red batch and then corrected")
    names = ", ".join(f"“{title}”" for title in dict.fromkeys(found))
    text = f"a red batch was bisected: {names} was to blame, went back and came back right"
    return Check("bisection", True, f"{text}; {count_test_runs(facts)} test runs in all")


def check_conflict(facts: Json) -> Check:
    """Work that met other work in the same file went back and merged the next time."""
    for told in conflicts(facts):
        if told["fixed"]:
            text = f"“{told['title']}” met other work in {', '.join(told['paths'])}"
            return Check("conflict", True, f"{text}, went back and merged the next time")
    return Check("conflict", False, "no subtask had a conflict that its next attempt resolved")


def check_question(facts: Json) -> Check:
    """An agent asked, the operator answered, and the agent went on with the answer."""
    for told in questions(facts):
        if told["answer"] and told["went_on_s"] is not None and told["task_done"]:
            text = f"“{told['title']}” asked, was answered {told['answer']}, and went on"
            return Check("question", True, f"{text} {told['went_on_s']:.1f} s later")
    return Check("question", False, "no agent asked, was answered and went on with its work")


def check_crash(facts: Json) -> Check:
    """An agent's process died at work, and its task was done nevertheless, on what it had left."""
    for told in crashes(facts):
        if told["kept"] and told["task_done"]:
            text = f"process {told['pid']} was killed at work on “{told['title']}”"
            return Check("crash", True, f"{text}; the next agent went on from what it had left")
    return Check(
        "crash", False, "no agent was killed at work whose task was then done all the same"
    )


def check_hired(facts: Json) -> Check:
    """Agents of another swarm did accepted work, and no tribute came to a bad end."""
    accepted = {
        node["name"]: sum(
            e["status"] == "accepted" for t in node["tributes"] for e in t["executions"]
        )
        for node in _sellers(facts)
    }
    counts = ", ".join(f"{count} by {name}" for name, count in accepted.items())
    total = sum(accepted.values())
    bad = [t["status"] for t in _buyer(facts)["tributes"] if t["status"] not in GOOD_ENDS]
    ok = total > 0 and not bad
    return Check(
        "hired", ok, f"{total} subtasks were done by hired agents of another swarm: {counts}"
    )


def check_agreement(facts: Json) -> Check:
    """Buyer and seller tell the same of every tribute."""
    bought = {tribute["id"]: tribute for tribute in _buyer(facts)["tributes"]}
    sold = {tribute["id"]: tribute for node in _sellers(facts) for tribute in node["tributes"]}
    differing = [i[:8] for i in bought.keys() | sold.keys() if _deal(bought, i) != _deal(sold, i)]
    if differing or not bought:
        what = ", ".join(sorted(differing)) or "no tribute at all"
        return Check("agreement", False, f"buyer and sellers tell different stories of {what}")
    return Check("agreement", True, f"buyer and sellers hold the same {len(bought)} tributes")


def check_payments(facts: Json) -> Check:
    """Each accepted execution is paid exactly once, and nothing else is."""
    owed = sorted(
        (tribute["id"], tribute["price_per_task"])
        for tribute in _buyer(facts)["tributes"]
        for execution in tribute["executions"]
        if execution["status"] == "accepted"
    )
    captured = _entries(_buyer(facts), "capture")
    credited = [entry for node in _sellers(facts) for entry in _entries(node, "credit")]
    paid = sorted((entry["tribute_id"], entry["amount"]) for entry in captured)
    same = sorted(e["reference"] for e in captured) == sorted(e["reference"] for e in credited)
    got = sorted((entry["tribute_id"], entry["amount"]) for entry in credited)
    ok = same and owed == paid == got
    total = sum(amount for _, amount in paid)
    if ok:
        text = f"{total} VOID paid for {len(paid)} accepted results, each exactly once"
        return Check("payments", True, text)
    counts = f"{len(owed)} accepted, {len(captured)} captured, {len(credited)} credited"
    return Check("payments", False, f"payments do not match results: {counts}")


def check_money(facts: Json) -> Check:
    """Balances and captured-not-yet-credited add up to the grants; ledgers explain the wallets."""
    wrong = [node["name"] for node in facts["nodes"] if replay(node["ledger"]) != _purse(node)]
    if wrong:
        return Check(
            "money", False, f"the ledger does not explain the wallet of {', '.join(wrong)}"
        )
    balances = sum(node["wallet"]["balance"] for node in facts["nodes"])
    grants = _total(facts, "grant")
    travelling = _total(facts, "capture") - _total(facts, "credit")
    held = sum(node["wallet"]["held"] for node in facts["nodes"])
    ok = balances + travelling == grants and held == 0
    sums = f"balances {balances} + paid but not yet earned {travelling}"
    sums += f", granted {grants}, still held {held}"
    verb = "no VOID was made or lost" if ok else "VOID does not add up"
    return Check("money", ok, f"{verb}: {sums}")


def check_work_safe(facts: Json) -> Check:
    """No worktree is left that holds work which is not on the remote."""
    left = [(node["name"], tree) for node in facts["nodes"] for tree in node["worktrees"]]
    unsafe = [f"{name}: {'; '.join(t['unpushed'])}" for name, t in left if t["unpushed"]]
    if unsafe:
        return Check("work", False, f"worktrees hold unpushed work: {' | '.join(unsafe)}")
    kept = f"{len(left)} worktrees are left, all pushed" if left else "every worktree is cleaned up"
    return Check("work", True, f"{kept}; nothing unpushed is left behind")


def check_quiet(facts: Json) -> Check:
    """No node reports a job that failed or had to be repeated."""
    troubled = {n["name"]: n["troubled_jobs"] for n in facts["nodes"] if n["troubled_jobs"]}
    if troubled:
        counts = ", ".join(f"{name}: {count}" for name, count in troubled.items())
        return Check("quiet", False, f"jobs are in trouble ({counts})")
    return Check("quiet", True, "no background job failed")


def replay(ledger: list[Json]) -> tuple[int, int]:
    """Return the (balance, held) that a ledger's entries add up to; checks each entry's own sums.

    A ledger that contradicts itself gives (-1, -1), which no wallet can hold.
    """
    balance = held = 0
    for entry in ledger:
        balance_sign, held_sign = EFFECTS[entry["kind"]]
        balance += balance_sign * entry["amount"]
        held += held_sign * entry["amount"]
        if (entry["balance_after"], entry["held_after"]) != (balance, held):
            return -1, -1
    return balance, held


CHECKS: tuple[Callable[[Json], Check], ...] = (
    check_goal,
    check_tests,
    check_merged,
    check_bisection,
    check_conflict,
    check_question,
    check_crash,
    check_hired,
    check_agreement,
    check_payments,
    check_money,
    check_work_safe,
    check_quiet,
)


def _buyer(facts: Json) -> Json:
    buyer: Json = facts["nodes"][0]
    return buyer


def _sellers(facts: Json) -> list[Json]:
    sellers: list[Json] = facts["nodes"][1:]
    return sellers


def _deal(tributes: dict[str, Json], tribute_id: str) -> tuple[object, ...] | None:
    tribute = tributes.get(tribute_id)
    if tribute is None:
        return None
    done = sorted((e["task_id"], e["status"], e["commit"]) for e in tribute["executions"])
    terms = ("from_node_id", "to_node_id", "task_count", "total_cost", "status", "tx_hash")
    return (*(tribute[name] for name in terms), done)


def _entries(node: Json, kind: str) -> list[Json]:
    return [entry for entry in node["ledger"] if entry["kind"] == kind]


def _all_amounts(facts: Json, kind: str) -> Iterator[int]:
    for node in facts["nodes"]:
        for entry in _entries(node, kind):
            yield entry["amount"]


def _total(facts: Json, kind: str) -> int:
    return sum(_all_amounts(facts, kind))


def _purse(node: Json) -> tuple[int, int]:
    return node["wallet"]["balance"], node["wallet"]["held"]
