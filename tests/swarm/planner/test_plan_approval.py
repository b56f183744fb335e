"""Plans that wait for their user: kept whole, edited, approved once, or made anew with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.errors import NotEmperor, WrongState
from swarm.models import Agent, Attempt, Job, Task, TaskEvent
from swarm.plan import PlannedSubtask
from swarm.services import attempts, goals, plan_drafts
from swarm.services.planning import accept_plan, dispatch_planning
from swarm.services.reconciliation import reconcile_tasks
from swarm.states import AttemptStatus
from tests.support.factories import make_agent
from tests.support.git_remote import GitRemote
from tests.support.llm_server import answer, ask_at, running_llm
from tests.support.planning import fresh, plan, prepared, run_jobs, subtask
from tests.support.web_clients import bearer_client, post_json

pytestmark = pytest.mark.django_db(transaction=True)

NOTES = "Distances are metres."
GOOD = [answer(plan(subtask("lens"), subtask("mount", "lens"))), answer({"notes": NOTES})]


def drafted(monkeypatch: pytest.MonkeyPatch, remote: GitRemote) -> Task:
    """A goal whose plan by a model waits."""
    with running_llm("anthropic", list(GOOD)) as llm:
        ask_at(monkeypatch, llm, plan_approval="approve")
        goal = prepared(remote)
        assert run_jobs("plan_goal") == 1
    return fresh(goal)


def written(*names: str, **fields: Any) -> list[PlannedSubtask]:
    """Subtasks as a person writes them."""
    return [PlannedSubtask(**subtask(name, **fields)) for name in names]


def at_work() -> Attempt:
    """The only attempt, once its agent has begun."""
    return attempts.move_attempt(Attempt.objects.get().id, AttemptStatus.PREPARING, now=now_utc())


def put(goal: Task, body: dict[str, Any]) -> Any:
    path = f"/api/swarm/tasks/{goal.id}/plan"
    return bearer_client().put(path, body, content_type="application/json")


def reasons(goal: Task) -> list[str]:
    return list(TaskEvent.objects.filter(task=goal).values_list("reason", flat=True))


def test_a_plan_waits_and_nothing_is_dispatched(
    monkeypatch: pytest.MonkeyPatch, remote: GitRemote
) -> None:
    make_agent("ada", capabilities=["planner", "prompts"])
    goal = drafted(monkeypatch, remote)

    assert (goal.status, goal.subtasks.count(), goal.notes, goal.progress) == (
        "planning",
        0,
        "",
        "",
    )
    assert goal.plan_draft is not None
    assert (goal.plan_draft["by"], goal.plan_draft["notes"]) == ("llm:test-model", NOTES)
    assert reasons(goal)[-1] == (
        "the plan of 2 subtasks by llm:test-model waits for approval: see it on the dashboard, or "
        f"POST /api/swarm/tasks/{goal.id.hex}/plan/approve"
    )
    assert dispatch_planning(now_utc()) == 0
    # A restart prepares goals in planning again: the plan is not asked for anew.
    reconcile_tasks(now_utc())
    run_jobs("prepare_goal")
    assert Job.objects.filter(kind="plan_goal", status="queued").count() == 0
    assert fresh(goal).plan_draft == goal.plan_draft


def test_an_approved_plan_is_carried_out_once(
    monkeypatch: pytest.MonkeyPatch, remote: GitRemote
) -> None:
    goal = drafted(monkeypatch, remote)
    path = f"/api/swarm/tasks/{goal.id}/plan"

    shown = bearer_client().get(path).json()
    approved = post_json(bearer_client(), f"{path}/approve", None)
    again = post_json(bearer_client(), f"{path}/approve", None)

    assert [each["id"] for each in shown["subtasks"]] == ["lens", "mount"]
    assert (shown["notes"], shown["by"]) == (NOTES, "llm:test-model")
    assert (approved.status_code, approved.json()["status"]) == (200, "in_progress")
    assert (again.status_code, again.json()["code"]) == (409, "no_draft")
    found = fresh(goal)
    assert (found.notes, found.plan_draft, found.subtasks.count()) == (NOTES, None, 2)
    assert "the plan of 2 subtasks is approved by api-token" in reasons(goal)


def test_an_edited_plan_is_what_is_carried_out(
    monkeypatch: pytest.MonkeyPatch, remote: GitRemote
) -> None:
    goal = drafted(monkeypatch, remote)
    body = {"notes": "Feet.", "subtasks": [subtask("dome", test="make dome", shell="make\n")]}

    edited = put(goal, body)
    plan_drafts.approve_draft(goal.id, by="ada", now=now_utc())

    assert (edited.status_code, edited.json()["by"]) == (200, "llm:test-model, edited by api-token")
    dome = goal.subtasks.get()
    assert (dome.title, dome.test_command, dome.shell) == ("Do dome", "make dome", "make\n")
    assert fresh(goal).notes == "Feet."
    assert "the plan is edited by api-token: 1 subtask" in reasons(goal)


WRONG: list[tuple[dict[str, Any], str]] = [
    (plan(), "the plan has 0 subtasks"),
    (plan(*(subtask(f"s{n}") for n in range(9))), "the plan has 9 subtasks"),
    (plan(subtask("a", "b"), subtask("b", "a")), "subtasks wait for each other"),
    (plan(subtask("a", "z")), "subtask 'a' depends on 'z'"),
    (plan(subtask("a"), subtask("b", title="")), "subtasks.1.title: String should have at least 1"),
    (plan(subtask("a", complexity="huge")), "subtasks.0.complexity: Input should be"),
    ({**plan(subtask("a")), "notes": "x" * 4001}, "notes: String should have at most 4000"),
]


@pytest.mark.parametrize(("body", "said"), WRONG)
def test_a_wrong_edit_names_subtask_and_field_and_changes_nothing(
    body: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch, remote: GitRemote
) -> None:
    goal = drafted(monkeypatch, remote)

    refused = put(goal, body)

    assert refused.status_code == 422
    assert said in refused.content.decode(), refused.content
    assert fresh(goal).plan_draft == goal.plan_draft


def test_a_rejected_plan_is_made_anew_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, remote: GitRemote
) -> None:
    goal = drafted(monkeypatch, remote)
    path = f"/api/swarm/tasks/{goal.id}/plan/reject"

    with running_llm("anthropic", [answer(plan(subtask("dome")))]) as llm:
        ask_at(monkeypatch, llm, plan_approval="approve")
        rejected = post_json(bearer_client(), path, {"reason": "Leave the mount alone."})
        assert run_jobs("prepare_goal") == 1
        assert run_jobs("plan_goal") == 1

    assert rejected.status_code == 200
    asked = llm.requests[0].body["messages"][0]["content"][0]["text"]
    assert "The last plan was rejected: Leave the mount alone." in asked
    assert "- Do lens\n- Do mount" in asked
    [only] = plan_drafts.subtasks_of(fresh(goal))
    assert only.id == "dome"
    assert "the plan is rejected by api-token: Leave the mount alone." in reasons(goal)


def test_the_plan_of_an_agent_waits_too(remote: GitRemote) -> None:
    goal = prepared(remote, plan_approval="approve")
    agent = make_agent("ada", capabilities=["planner"])
    assert dispatch_planning(now_utc()) == 1

    created = accept_plan(at_work(), written("a", "b"), now=now_utc())

    assert created == []
    assert (fresh(goal).status, fresh(goal).assigned_agent) == ("planning", "")
    assert Agent.objects.get(id=agent.id).attempt is None
    assert Attempt.objects.get().status == "succeeded"
    assert dispatch_planning(now_utc()) == 0
    assert len(plan_drafts.approve_draft(goal.id, by="ada", now=now_utc())) == 2


def test_a_rejected_plan_goes_to_an_agent_again_even_after_its_last_attempt(
    remote: GitRemote,
) -> None:
    goal = prepared(remote, plan_approval="approve")
    Task.objects.filter(id=goal.id).update(attempt=2)
    make_agent("ada", capabilities=["planner"])
    dispatch_planning(now_utc())
    accept_plan(at_work(), written("a"), now=now_utc())

    plan_drafts.reject_draft(goal.id, reason="no", by="ada", now=now_utc())

    assert dispatch_planning(now_utc()) == 1
    latest = Attempt.objects.latest("created_at")
    assert (latest.number, "The last plan was rejected: no" in latest.feedback) == (4, True)


@pytest.mark.parametrize(
    ("of_goal", "of_node", "waits"),
    [
        ("", "auto", False),
        ("", "approve", True),
        ("auto", "approve", False),
        ("approve", "auto", True),
    ],
)
def test_the_goals_own_word_counts_before_the_nodes(
    of_goal: str,
    of_node: str,
    waits: bool,
    monkeypatch: pytest.MonkeyPatch,
    remote: GitRemote,
) -> None:
    update = {"plan_approval": of_node}
    monkeypatch.setattr(settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update=update))
    goal = prepared(remote, plan_approval=of_goal)

    created = plan_drafts.take_plan(goal, written("a"), notes="", by="ada", now=now_utc())

    assert (len(created), fresh(goal).plan_draft is not None) == (0 if waits else 1, waits)


def test_a_plan_written_by_hand_stops_the_planner_and_waits(remote: GitRemote) -> None:
    goal = prepared(remote)
    make_agent("ada", capabilities=["planner"])
    dispatch_planning(now_utc())

    plan_drafts.write_draft(goal.id, written("a"), notes="", by="bob", now=now_utc())

    attempt = Attempt.objects.get()
    assert (attempt.status, attempt.error) == ("cancelled", "planned by hand")
    with pytest.raises(DomainError):
        accept_plan(attempts.get_attempt(attempt.id), written("b"), now=now_utc())
    assert len(plan_drafts.approve_draft(goal.id, by="bob", now=now_utc())) == 1


def test_a_plan_written_by_hand_counts_before_a_late_answer_of_the_model(
    monkeypatch: pytest.MonkeyPatch, remote: GitRemote
) -> None:
    goal = prepared(remote)
    plan_drafts.write_draft(goal.id, written("a"), notes="", by="bob", now=now_utc())

    with pytest.raises(WrongState):
        plan_drafts.take_plan(goal, written("b", "c"), notes="", by="llm:x", now=now_utc())

    assert [each.id for each in plan_drafts.subtasks_of(fresh(goal))] == ["a"]


def test_what_has_ended_or_is_not_prepared_takes_no_plan(remote: GitRemote) -> None:
    goal = prepared(remote)
    Task.objects.filter(id=goal.id).update(base_commit="")
    assert put(goal, plan(subtask("a"))).status_code == 409
    goals.cancel_task(goal.id, reason="r", now=now_utc())
    assert put(goal, plan(subtask("a"))).status_code == 409
    assert bearer_client().get(f"/api/swarm/tasks/{goal.id}/plan").json()["code"] == "no_draft"
    absent = bearer_client().get(f"/api/swarm/tasks/{'0' * 32}/plan")
    assert absent.status_code == 404


def test_a_cancelled_goal_carries_out_no_draft(
    monkeypatch: pytest.MonkeyPatch, remote: GitRemote
) -> None:
    goal = drafted(monkeypatch, remote)
    goals.cancel_task(goal.id, reason="not needed", now=now_utc())

    refused = post_json(bearer_client(), f"/api/swarm/tasks/{goal.id}/plan/approve", None)

    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert (fresh(goal).status, goal.subtasks.count()) == ("cancelled", 0)
    assert plan_drafts.drafts().count() == 0


def test_an_approval_that_fails_half_way_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, remote: GitRemote
) -> None:
    goal = drafted(monkeypatch, remote)
    before = reasons(goal)

    def broken(*args: Any, **named: Any) -> None:
        raise RuntimeError("the last write fails")

    monkeypatch.setattr(goals, "publish_task", broken)
    with pytest.raises(RuntimeError):
        plan_drafts.approve_draft(goal.id, by="ada", now=now_utc())

    assert fresh(goal).plan_draft == goal.plan_draft
    assert (fresh(goal).status, goal.subtasks.count(), reasons(goal)) == ("planning", 0, before)


def test_only_the_emperor_decides_on_plans(
    monkeypatch: pytest.MonkeyPatch, remote: GitRemote
) -> None:
    goal = drafted(monkeypatch, remote)
    monkeypatch.setattr("swarm.replication.terms.is_emperor", lambda: False)

    for decide in (
        lambda: plan_drafts.approve_draft(goal.id, by="ada", now=now_utc()),
        lambda: plan_drafts.reject_draft(goal.id, reason="no", by="ada", now=now_utc()),
        lambda: plan_drafts.write_draft(goal.id, written("a"), notes="", by="ada", now=now_utc()),
    ):
        with pytest.raises(NotEmperor):
            decide()


def test_what_a_database_refuses_is_dropped_from_a_draft(remote: GitRemote) -> None:
    goal = prepared(remote, plan_approval="approve")

    plan_drafts.take_plan(
        goal, written("a", instructions="one\0two"), notes="n\0m", by="ada", now=now_utc()
    )

    draft = fresh(goal).plan_draft or {}
    assert (draft["subtasks"][0]["instructions"], draft["notes"]) == ("onetwo", "nm")
