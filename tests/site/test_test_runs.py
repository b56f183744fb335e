"""Test runs over the API and in a goal's dialog, while they are at work and afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from p2p.local import LocalNode, acting_as, local_node
from swarm.models import TestRun
from swarm.states import TaskStatus, TestRunState
from tests.support.factories import NOW, make_task
from tests.support.web_clients import bearer_client, operator_client

pytestmark = pytest.mark.django_db

API = "/api/swarm/test-runs"
OUTPUT = b"collected 3 items\n\xff\n\x1b[31mFAILED\x1b[0m <b>\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    node = local_node()
    (tmp_path / "logs" / "tests").mkdir(parents=True)
    with acting_as(LocalNode(tmp_path, node.identity, node.network, node.swarm)):
        yield tmp_path


def _run(home: Path, state: TestRunState, **columns: Any) -> TestRun:
    log = home / "logs" / "tests" / "a.log"
    log.write_bytes(OUTPUT)
    return TestRun.objects.create(
        goal=make_task("Goal", TaskStatus.MERGING),
        commit="c" * 40,
        command="pytest",
        state=state,
        passed=state == TestRunState.PASSED,
        log_path="logs/tests/a.log",
        at=NOW,
        **columns,
    )


def test_a_run_says_what_it_found(home: Path) -> None:
    run = _run(
        home,
        TestRunState.FAILED,
        exit_code=1,
        duration_ms=1200,
        time_limit_s=600,
        tests_run=3,
        tests_failed=1,
        failing_tests=["a::b"],
        sandboxed=True,
        ended_at=NOW,
    )

    found = bearer_client().get(f"{API}/{run.id}").json()

    assert {name: found[name] for name in ("state", "passed", "exit_code", "duration_ms")} == {
        "state": "failed",
        "passed": False,
        "exit_code": 1,
        "duration_ms": 1200,
    }
    assert (found["tests_run"], found["tests_failed"]) == (3, 1)
    assert (found["failing_tests"], found["sandboxed"]) == (["a::b"], True)
    assert found["goal_id"] == run.goal_id.hex


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", OUTPUT),
        ("?tail=4", OUTPUT[-4:]),
        ("?tail=100000", OUTPUT),
        ("?offset=10", OUTPUT[10:]),
        (f"?offset={len(OUTPUT)}", b""),
        ("?offset=100000", b""),
    ],
)
def test_a_log_is_read_in_parts(home: Path, query: str, expected: bytes) -> None:
    run = _run(home, TestRunState.RUNNING)

    answer = bearer_client().get(f"{API}/{run.id}/log{query}")

    assert (answer.status_code, answer.content) == (200, expected)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (answer.headers["X-Log-Next"], answer.headers["X-Test-State"]) == (
        str(len(OUTPUT)),
        "running",
    )


def test_a_log_that_grows_is_followed(home: Path) -> None:
    run = _run(home, TestRunState.RUNNING)
    client = bearer_client()
    following = client.get(f"{API}/{run.id}/log?tail=4").headers["X-Log-Next"]
    with (home / run.log_path).open("ab") as log:
        log.write(b"more\n")

    assert client.get(f"{API}/{run.id}/log?offset={following}").content == b"more\n"


def test_a_follower_gets_a_long_log_page_by_page(home: Path) -> None:
    run = _run(home, TestRunState.RUNNING)
    (home / run.log_path).write_bytes(b"x" * 262_145)

    answer = bearer_client().get(f"{API}/{run.id}/log?offset=0")

    assert (len(answer.content), answer.headers["X-Log-Next"]) == (262_144, "262144")


@pytest.mark.parametrize("kept", ["", "logs/tests/gone.log"])
def test_of_a_deleted_log_the_end_is_left(home: Path, kept: str) -> None:
    run = _run(home, TestRunState.PASSED, output_tail="the end\n")
    TestRun.objects.filter(id=run.id).update(log_path=kept)

    assert bearer_client().get(f"{API}/{run.id}/log").content == b"the end\n"


def test_nothing_is_told_to_strangers_and_of_unknown_runs(home: Path) -> None:
    run = _run(home, TestRunState.RUNNING)

    for path in (f"{API}/{run.id}", f"{API}/{run.id}/log"):
        assert Client().get(path).status_code == 401
    for number in (0, run.id + 1, 2**63):
        assert bearer_client().get(f"{API}/{number}/log").status_code == 404
    for query in ("offset=-1", "tail=0", f"offset={2**63}"):
        assert bearer_client().get(f"{API}/{run.id}/log?{query}").status_code == 422
    assert operator_client().get(f"{API}/{run.id}/log").status_code == 200


def test_the_dialog_shows_a_running_test_live_and_an_ended_one_with_its_verdict(home: Path) -> None:
    run = _run(home, TestRunState.RUNNING)
    client = operator_client()

    html = client.get(f"/tasks/{run.goal_id}/facts").content.decode()
    assert f'data-log="{API}/{run.id}/log"' in html

    TestRun.objects.update(
        state="failed",
        exit_code=1,
        duration_ms=1200,
        tests_run=3,
        tests_failed=1,
        failing_tests=["a::<b>"],
        output_tail="<script>",
        report_note="b.xml: no XML",
        sandboxed=True,
    )
    html = client.get(f"/tasks/{run.goal_id}/facts").content.decode()
    assert "data-log" not in html
    for shown in (
        "exit 1 in 1,200 ms",
        "1 of 3 tests failed",
        "<code>a::&lt;b&gt;</code>",
        "&lt;script&gt;",
        "A report was not read: b.xml: no XML",
        "in the sandbox",
        f'href="{API}/{run.id}/log"',
    ):
        assert shown in html
