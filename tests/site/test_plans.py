"""A plan on the dashboard: read, edited, approved, and made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from swarm.models import Job, Task, TaskEvent
from swarm.plan import PlannedSubtask
from swarm.services import plan_drafts
from swarm.states import TaskStatus
from tests.support.factories import NOW, make_task
from tests.support.planning import fresh, subtask
from tests.support.web_clients import bearer_client, operator_client, post_json
from tests.support.web_pages import saved_of, text_of
from voidlux_site.management.commands import submit

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script>"
NAMES = ("id", "title", "instructions", "criteria", "capabilities", "complexity", "after")


def a_draft(*subtasks: dict[str, Any], notes: str = "Metres.") -> Task:
    """A goal whose plan waits."""
    goal = make_task("See further", TaskStatus.PLANNING, base_commit="ba5e" * 10)
    goal = Task.objects.get(id=goal.id)
    planned = [
        PlannedSubtask(**each) for each in subtasks or (subtask("lens"), subtask("b", "lens"))
    ]
    plan_drafts.write_draft(goal.id, planned, notes=notes, by="llm:test-model", now=NOW)
    return fresh(goal)


def row(name: str, after: str = "", **changes: str) -> dict[str, str]:
    """The fields of a subtask as a browser sends them."""
    texts = ("Do " + name, "Change it.\r\nWell.", "one\r\n\r\ntwo", "", "medium", after)
    fields = dict(zip(NAMES, (name, *texts), strict=True))
    return {**fields, "test": "", "shell": "", **changes}


def send(
    goal: Task, do: str, *rows: dict[str, str], client: Client | None = None, **more: str
) -> Any:
    """Press a button of the form."""
    columns = {name: [each[name] for each in rows] for name in rows[0]} if rows else {}
    return (client or operator_client()).post(
        f"/tasks/{goal.id}/plan", {**columns, "do": do, **more}
    )


def test_a_plan_that_waits_is_among_what_needs_a_person() -> None:
    goal = a_draft()
    client = operator_client()

    attention = client.get("/parts/attention")

    assert "Plan waits for approval by llm:test-model" in text_of(attention)
    assert "2 subtasks: Do lens, Do b" in text_of(attention)
    assert f"/tasks/{goal.id}/plan" in attention.content.decode()
    assert "1" in text_of(client.get("/parts/waiting"))
    assert "A plan of 2 subtasks waits for approval." in text_of(client.get("/parts/tasks"))
    assert "Look at the plan" in text_of(client.get(f"/tasks/{goal.id}"))


def test_the_form_shows_the_plan_and_escapes_it() -> None:
    goal = a_draft(subtask("lens", title=EVIL, capabilities=["python"], complexity="xl"))

    page = operator_client().get(f"/tasks/{goal.id}/plan").content.decode()

    assert EVIL not in page
    assert "&lt;script&gt;alert(1)" in page
    assert 'name="capabilities" value="python"' in page
    assert "<option selected>xl</option>" in page
    assert ">Metres.</textarea>" in page


def test_an_edited_plan_is_approved_as_it_is_seen() -> None:
    goal = a_draft()

    told = saved_of(
        send(goal, "approve", row("a"), row("z", "a", complexity="large"), notes="Feet.")
    )

    assert told["message"] == "The plan of See further is carried out"
    first, second = fresh(goal).subtasks.order_by("number")
    assert (first.instructions, first.acceptance_criteria) == ("Change it.\nWell.", "- one\n- two")
    assert (second.complexity, second.status) == ("large", "blocked")
    assert fresh(goal).notes == "Feet."
    said = TaskEvent.objects.filter(task=goal).values_list("reason", flat=True)
    assert "the plan is edited by operator: 2 subtasks" in said
    assert "the plan of 2 subtasks is approved by operator" in said


def test_a_plan_is_saved_without_being_carried_out() -> None:
    goal = a_draft()

    told = saved_of(send(goal, "save", row("only"), notes=""))

    assert (told["message"], told["stay"]) == ("The plan of See further is saved", True)
    assert [each.id for each in plan_drafts.subtasks_of(fresh(goal))] == ["only"]
    assert fresh(goal).status == "planning"


def test_what_was_not_changed_is_no_edit() -> None:
    goal = a_draft(PlannedSubtask(**subtask("lens")).model_dump())
    before = TaskEvent.objects.filter(task=goal).count()
    same = row("lens", instructions="Change lens.py.", criteria="lens is done")

    saved_of(send(goal, "save", same, notes="Metres."))

    assert TaskEvent.objects.filter(task=goal).count() == before


def test_subtasks_are_added_and_removed_in_the_form_only() -> None:
    goal = a_draft()

    added = send(goal, "add", row("s1"), row("b", "s1")).content.decode()
    removed = send(goal, "remove 1", row("s1"), row("b", "s1, c"), row("c")).content.decode()

    assert added.count('name="title"') == 3
    assert 'name="id" value="s2"' in added
    assert "data-focus" in added
    assert removed.count('name="title"') == 2
    assert 'name="after" value="c"' in removed
    assert fresh(goal).plan_draft == goal.plan_draft


def test_no_more_than_eight_subtasks_are_offered() -> None:
    goal = a_draft()
    eight = [row(f"r{number}") for number in range(8)]

    full = send(goal, "add", *eight).content.decode()

    assert full.count('name="title"') == 8
    assert "Add a subtask" not in full
    assert send(goal, "add", *eight, row("r9")).status_code == 422


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("a"), row("b", title=" ")], "Look at subtask 2."),
        ([row("a", complexity="huge")], "Look at subtask 1."),
        ([row("a", capabilities="Not One!")], "Look at subtask 1."),
        ([row("a", "b"), row("b", "a")], "Subtasks wait for each other"),
        ([row("a", "zz")], "Subtask 'a' depends on 'zz', none of 'a'"),
        ([row("a"), row("a")], "Two subtasks have the id 'a'"),
    ],
)
def test_a_wrong_plan_is_shown_again_with_what_is_wrong(
    rows: list[dict[str, str]], said: str
) -> None:
    goal = a_draft()

    refused = send(goal, "approve", *rows)

    assert refused.status_code == 422
    assert said in text_of(refused)
    assert (fresh(goal).status, fresh(goal).plan_draft) == ("planning", goal.plan_draft)


def test_a_plan_is_made_anew_with_a_reason() -> None:
    goal = a_draft()

    told = saved_of(send(goal, "reject", row("a"), reason="Smaller, please."))

    assert told["message"] == "See further is planned again"
    found = fresh(goal)
    assert found.plan_draft is None
    assert found.feedback.startswith("The last plan was rejected: Smaller, please.")
    assert Job.objects.filter(kind="prepare_goal", key=goal.id.hex).count() == 1


def test_a_plan_is_not_made_anew_without_a_reason() -> None:
    goal = a_draft()

    refused = send(goal, "reject", row("a"), reason=" ")

    assert (refused.status_code, refused.headers["HX-Retarget"]) == (422, "#notice")
    assert fresh(goal).plan_draft == goal.plan_draft


def test_a_plan_may_be_written_where_no_planner_made_one() -> None:
    goal = make_task("See further", TaskStatus.PLANNING, error="the language model made no plan")
    client = operator_client()

    page = text_of(client.get(f"/tasks/{goal.id}/plan"))
    saved_of(send(goal, "approve", row("a"), client=client, notes=""))

    assert "No plan waits for this goal. You may write one" in page
    assert (fresh(goal).status, fresh(goal).error) == ("in_progress", "")


def test_a_plan_that_was_carried_out_meanwhile_is_refused() -> None:
    goal = a_draft()
    plan_drafts.approve_draft(goal.id, by="ada", now=NOW)

    refused = send(goal, "approve", row("a"), notes="")

    assert refused.status_code == 422
    assert "is in_progress and cannot become" in text_of(refused)
    assert fresh(goal).subtasks.count() == 2


def test_strangers_see_no_plan() -> None:
    goal = a_draft()
    assert Client().get(f"/tasks/{goal.id}/plan").status_code == 302
    assert Client().post(f"/tasks/{goal.id}/plan", {"do": "approve"}).status_code == 302
    assert fresh(goal).status == "planning"


@pytest.mark.parametrize("wish", ["", "auto", "approve"])
def test_approval_is_wished_for_with_the_goal(wish: str) -> None:
    fields = {"description": "See further.", "repository": "/srv/x.git", "plan_approval": wish}
    client = operator_client()

    saved_of(client.post("/goals/new", fields))
    over_api = post_json(bearer_client(), "/api/swarm/tasks", fields).json()

    assert set(Task.objects.values_list("plan_approval", flat=True)) == {wish}
    shown = bearer_client().get(f"/api/swarm/tasks/{over_api['id']}").json()
    assert (shown["plan_approval"], shown["plan_waits"], shown["notes"]) == (wish, False, "")


def test_a_wish_that_nobody_knows_is_refused() -> None:
    body = {"description": "x", "repository": "/srv/x.git", "plan_approval": "perhaps"}
    assert post_json(bearer_client(), "/api/swarm/tasks", body).status_code == 422


@pytest.mark.parametrize(
    ("words", "wish"),
    [([], None), (["--approve-plan"], "approve"), (["--no-approve-plan"], "auto")],
)
def test_submit_says_whether_a_plan_waits(
    words: list[str], wish: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "goal.md"
    file.write_text("See further.")
    parser = submit.Command().create_parser("manage.py", "submit")

    options = vars(parser.parse_args([str(file), "--repository", "/srv/x.git", *words]))

    assert submit._body(options).get("plan_approval") == wish


def test_a_goal_says_that_its_plan_waits() -> None:
    goal = a_draft()
    assert bearer_client().get(f"/api/swarm/tasks/{goal.id}").json()["plan_waits"] is True
