from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.models import Task
from swarm.states import TaskStatus
from tests.support.factories import make_agent, make_offering, make_task, make_tribute
from tests.support.seeded_node import seed_node
from tests.support.web_clients import operator_client
from voidlux_site.dashboard.parts import PARTS
from voidlux_site.dashboard.phases import pipeline, tone_of
from voidlux_site.templatetags.voidlux import age, countdown


def _page() -> str:
    return operator_client().get("/").content.decode()


def _text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def _states(goal: Task) -> str:
    return " ".join(f"{step.name}:{step.state}" for step in pipeline(goal))


def test_a_stranger_is_led_to_the_page_about_login_links(db: None) -> None:
    assert Client().get("/").headers["Location"] == "/login"
    part = Client().get("/parts/tasks", headers={"HX-Request": "true"})
    assert part.headers["HX-Redirect"] == "/login"
    assert b"manage.py loginlink" in Client().get("/login").content


def test_an_empty_node_says_what_to_do_next(db: None) -> None:
    text = _text(_page())

    for hint in (
        *("No goals yet.", "Submit the first goal", "VOIDLUX_AGENTS=3", "VOIDLUX_SEEDS"),
        *("Nobody sells agents now.", "Sell idle agents", "No tributes.", "No entries."),
    ):
        assert hint in text
    assert "Trouble" not in text


def test_a_busy_node_shows_everything(db: None) -> None:
    seed_node(now_utc())

    text = _text(_page())

    for piece in (
        *("home", local_node().node_id[:8], "emperor", "network galaxy", "998", "Held"),
        *("Greet in two languages", "2 of 2 subtasks merged", "integrate/c0ffee12"),
        *("Evidence: 1 merge, 1 test run", "20 passed in 1.62s"),
        *("waits for 1, 3", "waits for an agent with python, testing", "attempt 2 of 3"),
        *("orion-2 @ 5e11e400 bought", "for b0b0b011", "reserved for tribute:5e11"),
        *("3 idle agents", "Request tribute", "2 × 2 = 4 VOID", "2 VOID committed"),
        *("no_idle_agents", "Selling to b0b0b011", "Accept", "tx 7e577e57"),
        *("initial grant", "24.3 ms", "Trouble", "Connection refused"),
        "The test command already failed on the base",
    ):
        assert piece in text, piece


@pytest.mark.parametrize("name", sorted(PARTS))
def test_every_part_can_be_drawn_alone(db: None, name: str) -> None:
    seed_node(now_utc())

    response = operator_client().get(f"/parts/{name}")

    assert response.status_code == 200
    assert b"<html" not in response.content
    assert response.headers["Cache-Control"] == "no-store"


def test_an_unknown_part_is_404(db: None) -> None:
    assert operator_client().get("/parts/secrets").status_code == 404


def test_what_others_wrote_is_escaped(db: None) -> None:
    evil = "<script>alert(1)</script>"
    goal = make_task(evil, TaskStatus.FAILED, error=evil, repository=evil, result=evil)
    make_task(evil, TaskStatus.IN_PROGRESS, parent=goal, number=1, progress=evil)
    make_agent("a-1", evidence=evil, capabilities=[evil])
    make_offering(now=now_utc(), swarm=evil, capabilities=[evil])
    make_tribute(now=now_utc(), status="rejected", reason=evil, reason_code=evil)

    html = _page()

    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 9


def test_pages_obey_their_own_content_security_policy(db: None) -> None:
    seed_node(now_utc())
    response = operator_client().get("/")
    html = response.content.decode()

    assert response.headers["Content-Security-Policy"] == (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
    assert re.findall(r"<script(?![^>]* src=)", html) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", html) == []
    assert re.findall(r"(?:src|href)=\"(?!/|#)[^\"]*", html) == []


@pytest.mark.parametrize(
    "path", ["icons.svg", "favicon.svg", "page.js", "live.js", "parts.js", "times.js", "base.css"]
)
def test_static_files_are_served_from_the_process(db: None, path: str) -> None:
    assert Client().get(f"/static/voidlux/{path}").status_code == 200


@pytest.mark.parametrize(
    ("status", "states"),
    [
        (
            TaskStatus.PLANNING,
            "planning:active working:future reviewing:future merging:future done:future",
        ),
        (
            TaskStatus.IN_PROGRESS,
            "planning:past working:active reviewing:future merging:future done:future",
        ),
        (
            TaskStatus.MERGING,
            "planning:past working:past reviewing:past merging:active done:future",
        ),
        (
            TaskStatus.COMPLETED,
            "planning:past working:past reviewing:past merging:past done:past",
        ),
    ],
)
def test_the_pipeline_shows_where_a_goal_is(db: None, status: TaskStatus, states: str) -> None:
    assert _states(make_task("goal", status)) == states


@pytest.mark.parametrize(
    ("source", "phase"),
    [("planning", "planning"), ("in_progress", "working"), ("merging", "merging"), ("", "working")],
)
def test_the_pipeline_shows_where_a_goal_failed(db: None, source: str, phase: str) -> None:
    goal = make_task("goal", TaskStatus.FAILED)
    goal.events.update(source=source)

    ended = [step.name for step in pipeline(goal) if step.state == "ended"]

    assert ended == [phase]


def test_a_goal_that_was_taken_over_shows_where_it_failed(db: None) -> None:
    goal = make_task("goal", TaskStatus.FAILED)
    goal.events.update(source="planning")
    goal.events.create(
        source="failed", target="failed", by="election", reason="taken over", at=now_utc()
    )

    assert [step.name for step in pipeline(goal) if step.state == "ended"] == ["planning"]


@pytest.mark.parametrize("status", TaskStatus.values)
def test_every_status_of_a_task_has_a_tone(status: str) -> None:
    quiet = {"blocked", "cancelled"}

    assert (tone_of(status) == "mute") == (status in quiet)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (200_000, "2 d")]
)
def test_age_uses_the_largest_unit(seconds: int, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0:00"), (65, "1:05"), (3599, "59:59"), (3660, "1 h 01 min")]
)
def test_countdown_is_exact_below_an_hour(seconds: int, text: str) -> None:
    assert countdown(seconds) == text


def test_an_expired_offering_is_not_offered(db: None) -> None:
    make_offering(now=now_utc() - timedelta(hours=1))

    assert "Request tribute" not in _page()
