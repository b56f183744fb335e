"""What must be true after a swarm lost its emperor; judged from the facts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from voidlux_site.demo.check import Check
from voidlux_site.demo.client import Json

SERVICE_RESTART = 1012
OK = 200


def run_succession_checks(facts: Json) -> list[Check]:
    """Return all checks of the facts of a succession, in the order in which they are told."""
    return [check(facts) for check in CHECKS]


def check_emperor(facts: Json) -> Check:
    """All members and the Seneschal see one emperor, in a later term than the one killed."""
    killed = facts["killed"]
    seen = {(each["emperor"], each["term"]) for each in facts["members"]}
    seen.add((facts["seneschal"]["emperor"], facts["seneschal"]["term"]))
    standing = [each["name"] for each in facts["members"] if each["standing"] == "emperor"]
    if len(seen) != 1 or len(standing) != 1:
        named = ", ".join(
            f"{_short(node_id)} in term {term}" for node_id, term in sorted(_keys(seen))
        )
        who = ", ".join(standing) or "nobody"
        return Check("emperor", False, f"in office: {who}; members and Seneschal see {named}")
    node_id, term = seen.pop()
    heir = _names(facts).get(node_id, _short(node_id))
    ok = term > killed["term"] and node_id != killed["node_id"] and standing == [heir]
    text = f"{heir} is the one emperor of {len(facts['members'])} members and the Seneschal, in "
    text += f"term {term}; {killed['name']} was killed in term {killed['term']}"
    if killed["name"] != heir:
        text += " and follows now"
    return Check("emperor", ok, text)


def check_taken_over(facts: Json) -> Check:
    """Every goal and subtask is completed, what was at work at the killed node by another."""
    tasks = list(_subtasks(facts))
    undone = [goal["title"] for goal in facts["goals"] if goal["status"] != "completed"]
    undone += [task["title"] for task in tasks if task["status"] != "completed"]
    killed = facts["killed"]
    mine = [
        task
        for task in tasks
        if task["id"] in killed["at_work"] and task["assigned_node"] == killed["node_id"]
    ]
    # What it pushed in its last moment is as good as any other work.
    stayed = [task["title"] for task in mine if task["commit"] not in killed["pushed"].values()]
    if not killed["merged"]:
        return Check("taken over", False, "the emperor was killed before anything was merged")
    if undone or stayed or not tasks:
        what = f"not completed: {', '.join(undone)}" if undone else ""
        what = (
            what or f"said to be done by the killed node: {', '.join(stayed) or 'nothing at all'}"
        )
        return Check("taken over", False, what)
    goals, again = _count(len(facts["goals"]), "goal"), len(killed["at_work"]) - len(mine)
    text = f"{goals} with {len(tasks)} subtasks completed: {len(killed['merged'])} merged before "
    text += f"the kill, {again} taken from the dead node and done again by another"
    return Check("taken over", True, text)


def check_shown(facts: Json) -> Check:
    """Every member shows the goals as completed, the one that came back from the dead too."""
    wrong = [
        each["name"] for each in facts["members"] if set(each["goals"].values()) != {"completed"}
    ]
    if wrong:
        return Check("shown", False, f"{', '.join(wrong)} does not show the goal as completed")
    text = f"{facts['killed']['name']} is back on its old home, and every member shows the same"
    return Check("shown", True, f"{text} {_count(len(facts['goals']), 'completed goal')}")


def check_once(facts: Json) -> Check:
    """The integration branches hold the commit of each subtask once, and no other attempt's."""
    wrong = []
    for goal in facts["goals"]:
        brought = Counter(goal["remote"]["merges"])
        wrong += [
            f"{task['title']} ({brought[task['commit']]} times)"
            for task in goal["subtasks"]
            if brought.pop(task["commit"], 0) != 1
        ]
        wrong += [f"{commit[:8]}, which no subtask reported" for commit in brought]
    count = sum(len(goal["subtasks"]) for goal in facts["goals"])
    if wrong or not count:
        return Check("once", False, f"merged otherwise than once: {', '.join(wrong) or 'nothing'}")
    text = f"each of {count} subtasks' commits was merged exactly once, and nothing else was"
    return Check("once", True, text)


def check_fence(facts: Json) -> Check:
    """On the remote the fence of every goal names the new term, at the commit that was pushed."""
    wrong = []
    for goal in facts["goals"]:
        fence, head = goal["remote"]["fence"], goal["remote"]["head"]
        named = (fence["term"], fence["node_id"], fence["head"])
        if named != (facts["seneschal"]["term"], facts["seneschal"]["emperor"], head) or not head:
            wrong.append(f"{fence['ref']} names term {fence['term']} of {_short(fence['node_id'])}")
    if wrong or not facts["goals"]:
        return Check("fence", False, "; ".join(wrong) or "there is no goal")
    text = f"on the remote {facts['goals'][0]['remote']['fence']['ref']} "
    if len(facts["goals"]) > 1:
        text = f"on the remote the fences of {len(facts['goals'])} goals "
    verb = "names" if len(facts["goals"]) == 1 else "name"
    return Check(
        "fence",
        True,
        f"{text}{verb} term {facts['seneschal']['term']}: older emperors are kept out",
    )


def check_session(facts: Json) -> Check:
    """The browser kept cookie and address, was logged in once, and saw the goal completed."""
    browser = facts["browser"]
    before, after = browser["before"], browser["after"]
    problems = []
    if (before["status"], after["status"]) != (OK, OK) or after["path"] != "/":
        problems.append(f"the dashboard answered {before['status']}, then {after['status']}")
    if not before["cookie"] or before["cookie"] != after["cookie"]:
        problems.append("its cookie is another one")
    if browser["logins"] != 1:
        problems.append(f"it logged in {browser['logins']} times")
    if set(browser["goals"].values()) != {"completed"}:
        problems.append("it does not see the goal as completed")
    if problems:
        return Check("session", False, f"the browser's session: {'; '.join(problems)}")
    text = f"the browser at {browser['url']} logged in once and kept its cookie over the change; "
    return Check("session", True, f"{text}{silence(facts)}")


def check_live(facts: Json) -> Check:
    """The browser's WebSocket was closed with 1012, and came again to the new emperor."""
    names, live = _names(facts), facts["browser"]["live"]
    killed, heir = facts["killed"]["node_id"], facts["seneschal"]["emperor"]
    for old, new in pairwise(live):
        nodes = (old["node_id"], new["node_id"])
        if nodes == (killed, heir) and old["close_code"] == SERVICE_RESTART and new["resync"]:
            text = f"its live events of {names[killed]} were closed with {SERVICE_RESTART}"
            text += f" and went on from {names.get(heir, heir)}, with the page looked at anew"
            return Check("live", True, text)
    told = ", ".join(f"{_short(each['node_id'])} closed with {each['close_code']}" for each in live)
    return Check(
        "live", False, f"the live events did not move to the new emperor: {told or 'none'}"
    )


def check_kept(facts: Json) -> Check:
    """Every commit that the killed node had pushed is still reachable on the remote."""
    killed = facts["killed"]
    lost = [commit[:8] for commit in killed["pushed"].values() if not killed["kept"].get(commit)]
    if lost:
        return Check("kept", False, f"no ref of the remote leads to {', '.join(lost)} any more")
    count = _count(len(killed["pushed"]), "branch", "branches")
    text = f"nothing that {killed['name']} had pushed is lost: {count} of it on the remote"
    return Check("kept", True, text)


def silence(facts: Json) -> str:
    """Say for how long the browser had no answer, and whether it was ever refused one."""
    looks = facts["browser"]["looks"]
    refused = f"{looks['refused']} were refused ({', '.join(looks['otherwise'])})"
    told = refused if looks["refused"] else "none was refused"
    return (
        f"of {looks['answered'] + looks['refused']} looks {told}, "
        f"the longest wait was {looks['longest_s']:.1f} s"
    )


CHECKS: tuple[Callable[[Json], Check], ...] = (
    check_emperor,
    check_taken_over,
    check_shown,
    check_once,
    check_fence,
    check_session,
    check_live,
    check_kept,
)


def _subtasks(facts: Json) -> Iterator[Json]:
    return (task for goal in facts["goals"] for task in goal["subtasks"])


def _names(facts: Json) -> dict[str, str]:
    return {each["node_id"]: each["name"] for each in facts["members"]}


def _keys(seen: set[tuple[str | None, int | None]]) -> list[tuple[str, int]]:
    return [(node_id or "nobody", term or 0) for node_id, term in seen]


def _short(node_id: str | None) -> str:
    return node_id[:8] if node_id else "nobody"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
