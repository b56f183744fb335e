"""What must be true after the story; judged from the facts alone."""

from __future__ import annotations

from collections.abc import Callable

from voidlux_site.demo.check import Check
from voidlux_site.demo.client import Json
from voidlux_site.demo.gate_facts import bisected, conflicts, count_test_runs
from voidlux_site.demo.incident_facts import crashes, questions
from voidlux_site.demo.money_checks import (
    check_money,
    check_payments,
    check_statements,
    check_verified,
)
from voidlux_site.demo.trade_checks import (
    check_agreement,
    check_expired,
    check_hired,
    check_partial,
    check_rejected,
)


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


CHECKS: tuple[Callable[[Json], Check], ...] = (
    check_goal,
    check_tests,
    check_merged,
    check_bisection,
    check_conflict,
    check_question,
    check_crash,
    check_hired,
    check_rejected,
    check_expired,
    check_partial,
    check_agreement,
    check_payments,
    check_money,
    check_statements,
    check_verified,
    check_work_safe,
    check_quiet,
)
