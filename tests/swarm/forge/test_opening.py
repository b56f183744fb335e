"""Pull requests are opened once, by the real client libraries, and say what went wrong."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from swarm.errors import WrongState
from swarm.forge import services
from swarm.forge.models import PullRequest
from swarm.forge.queries import describe_contribution
from swarm.forge.services import OPEN_PULL
from swarm.forge.states import PullState
from swarm.gate.gate import run_gate
from swarm.models import Job, Task, TaskEvent
from swarm.states import JobStatus, TaskStatus
from tests.support.forge_server import HANG_UP, SILENT, ForgeServer
from tests.support.forge_server.state import PROJECT, TOKEN
from tests.support.git_remote import GitRemote
from tests.swarm.forge.conftest import NOW, SetEnvironment, done_goal, pull_of, run_jobs

pytestmark = pytest.mark.django_db(transaction=True)

CREATE = {"github": r"/pulls$", "gitlab": r"/merge_requests$"}
PAGE_OF = {"github": "pull", "gitlab": "-/merge_requests"}


def opened(kind: str, forge: ForgeServer) -> str:
    return f"{forge.url}/{PROJECT}/{PAGE_OF[kind]}/7"


def waiting_job() -> Job:
    return Job.objects.get(kind=OPEN_PULL, status=JobStatus.QUEUED)


def test_a_completed_goal_gets_a_pull_request_whose_url_is_its_result(
    kind: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = done_goal(remote)
    pull = pull_of(goal)
    assert (pull.state, pull.kind, pull.project) == ("waiting", kind, PROJECT)
    assert goal.result == f"integrate/{goal.id8} at {goal.merged_commit}"

    assert run_jobs(OPEN_PULL) == [OPEN_PULL]

    goal.refresh_from_db()
    pull = pull_of(goal)
    assert (pull.state, pull.number, pull.url) == ("open", 7, opened(kind, forge))
    assert goal.result == opened(kind, forge)
    assert goal.status == TaskStatus.COMPLETED
    assert pull.forge_commit == pull.head_commit == goal.merged_commit
    shown = forge.state.pulls[0]
    assert (shown.head, shown.base, shown.title) == (f"integrate/{goal.id8}", "main", "Greet")
    last = TaskEvent.objects.filter(task=goal).latest("id")
    assert last.reason == f"pull request 7 is open at {pull.url}"


def test_the_body_names_goal_commit_agent_attempts_and_proof(
    github: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = done_goal(remote)
    run_jobs(OPEN_PULL)

    body = forge.state.pulls[0].body
    task, head = goal.subtasks.get(), goal.merged_commit[:12]
    assert body.startswith("All of it matters.\n\n`test -f one` is green at `")
    assert (
        f"| 1 | Say hello \\| (at)all | `{task.commit[:12]}` | home-1 | 1 of 3 "
        f"| `test -f one` green at `{head}` |"
    ) in body
    assert body.endswith(f"Goal `{goal.id.hex}`, branch `integrate/{goal.id8}`.")


def test_a_worker_that_dies_after_the_post_opens_no_second_one(
    kind: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = done_goal(remote)
    forge.state.fail("POST", CREATE[kind], HANG_UP, after_effect=True)

    run_jobs(OPEN_PULL)

    assert pull_of(goal).state == PullState.WAITING
    assert "did not answer to the opening" in pull_of(goal).error
    run_jobs(OPEN_PULL)
    assert (pull_of(goal).state, pull_of(goal).number) == ("open", 7)
    assert (len(forge.state.pulls), len(forge.made("POST"))) == (1, 1)
    assert (pull_of(goal).error, pull_of(goal).tries) == ("", 0)


def test_one_that_exists_already_is_found_and_updated(
    kind: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = done_goal(remote)
    forge.state.add_pull(f"integrate/{goal.id8}", "main", "by hand", "")

    run_jobs(OPEN_PULL)

    assert pull_of(goal).number == 7
    assert [each.title for each in forge.state.pulls] == ["Greet"]
    assert forge.made("POST") == []


def test_one_that_appears_between_search_and_opening_is_adopted(
    kind: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = done_goal(remote)
    forge.state.add_pull(f"integrate/{goal.id8}", "main", "by hand", "")
    forge.state.fail("GET", CREATE[kind], 200, [])

    run_jobs(OPEN_PULL)

    assert (pull_of(goal).state, pull_of(goal).number) == ("open", 7)
    assert len(forge.made("POST")) == 1


def test_one_that_a_person_closed_is_not_opened_again(
    kind: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = done_goal(remote)
    forge.state.add_pull(f"integrate/{goal.id8}", "main", "by hand", "").state = "closed"

    run_jobs(OPEN_PULL)

    assert pull_of(goal).state == PullState.CLOSED
    assert forge.made("POST") == []
    assert not Job.objects.filter(kind=services.LOOK_AT_PULL).exists()


REFUSED = [
    (401, {"message": "Bad credentials"}, "answered 401"),
    (403, {"message": "Resource not accessible by personal access token"}, "not accessible"),
    (404, {"message": "Not Found"}, "answered 404"),
    (422, {"message": "Validation Failed", "errors": [{"message": "No commits"}]}, "answered 422"),
]


@pytest.mark.parametrize(("status", "body", "says"), REFUSED)
def test_a_refusal_ends_failed_with_the_forges_words_and_can_be_retried(
    kind: str, forge: ForgeServer, remote: GitRemote, status: int, body: Any, says: str
) -> None:
    goal = done_goal(remote)
    forge.state.fail("POST", CREATE[kind], status, body)

    run_jobs(OPEN_PULL)

    pull = pull_of(goal)
    assert (pull.state, pull.tries, pull.next_try_at) == ("failed", 1, None)
    assert says in pull.error
    goal.refresh_from_db()
    assert goal.status == TaskStatus.COMPLETED
    assert goal.result.startswith(f"integrate/{goal.id8} at ")
    assert services.retry_pull(pull.id, now=NOW).state == PullState.WAITING
    assert run_jobs(OPEN_PULL) == [OPEN_PULL]
    assert pull_of(goal).state == PullState.OPEN


def test_a_branch_that_adds_nothing_is_refused_by_the_forge(
    github: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = done_goal(remote)
    refs = remote.refs()
    forge.state.branches = lambda: {**refs, "refs/heads/main": goal.merged_commit}

    run_jobs(OPEN_PULL)

    assert pull_of(goal).state == PullState.FAILED
    assert f"No commits between main and integrate/{goal.id8}" in pull_of(goal).error


@pytest.mark.parametrize("status", [500, 502, HANG_UP, SILENT])
def test_a_forge_in_trouble_is_asked_again_later_and_later(
    kind: str, forge: ForgeServer, remote: GitRemote, set_environment: SetEnvironment, status: int
) -> None:
    set_environment(forge_timeout_s=1)
    goal = done_goal(remote)
    forge.state.fail("GET", CREATE[kind], status, "<html>sorry</html>", times=2)

    waits = []
    for _ in range(2):
        run_jobs(OPEN_PULL)
        pull = pull_of(goal)
        assert pull.next_try_at is not None
        waits.append(round((pull.next_try_at - pull.updated_at).total_seconds()))
        assert abs(waiting_job().due_at - pull.next_try_at) < timedelta(seconds=1)

    assert (pull.state, pull.tries, waits) == ("waiting", 2, [15, 30])
    assert len(forge.requests) == 2, "the library itself tries nothing again"
    run_jobs(OPEN_PULL)
    assert pull_of(goal).state == PullState.OPEN


def test_a_forge_that_stays_away_is_given_up_after_ten_tries(
    kind: str, forge: ForgeServer, remote: GitRemote, set_environment: SetEnvironment
) -> None:
    goal = done_goal(remote)
    forge.close()

    for _ in range(10):
        assert pull_of(goal).state == PullState.WAITING
        run_jobs(OPEN_PULL)

    assert (pull_of(goal).state, pull_of(goal).tries) == ("failed", 10)
    assert "Connection refused" in pull_of(goal).error


def _limits(reset: int) -> list[tuple[str, int, dict[str, str]]]:
    return [
        ("github", 403, {"Retry-After": "120"}),
        ("github", 429, {"Retry-After": "120"}),
        ("github", 403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}),
        ("gitlab", 429, {"Retry-After": "120"}),
        ("gitlab", 429, {"RateLimit-Remaining": "0", "RateLimit-Reset": str(reset)}),
    ]


@pytest.mark.parametrize("place", range(5))
def test_a_rate_limit_is_waited_for_as_long_as_it_says(
    forge: ForgeServer, remote: GitRemote, set_environment: SetEnvironment, place: int
) -> None:
    kind, status, headers = _limits(int(time.time()) + 120)[place]
    set_environment(**{f"{kind}_url": forge.url, f"{kind}_token": SecretStr(TOKEN)})
    goal = done_goal(remote)
    said = {"message": "API rate limit exceeded for user"}
    forge.state.fail("GET", CREATE[kind], status, said, headers=headers)

    run_jobs(OPEN_PULL)

    pull = pull_of(goal)
    assert pull.next_try_at is not None
    wait_s = (pull.next_try_at - pull.updated_at).total_seconds()
    assert 110 < wait_s <= 120
    assert "rate limit, again in" in pull.error
    assert len(forge.requests) == 1
    run_jobs(OPEN_PULL)
    assert pull_of(goal).state == PullState.OPEN


def test_what_cannot_be_read_is_no_answer(kind: str, forge: ForgeServer, remote: GitRemote) -> None:
    goal = done_goal(remote)
    forge.state.fail("GET", CREATE[kind], 200, {"not": "a list"})

    run_jobs(OPEN_PULL)

    assert "answered what cannot be read to the search" in pull_of(goal).error
    assert pull_of(goal).state == PullState.WAITING


def test_a_bare_remote_has_the_branch_as_its_result(remote: GitRemote) -> None:
    goal = done_goal(remote)

    assert not PullRequest.objects.exists()
    assert not Job.objects.filter(kind=OPEN_PULL).exists()
    described = describe_contribution(goal)
    assert described is not None
    assert (described["forge"], described["pull_request"]) == ("bare", None)
    assert described["note"].endswith("the integration branch is the result")
    assert goal.result == f"integrate/{goal.id8} at {goal.merged_commit}"


def test_a_goal_is_not_done_without_the_wish_for_its_pull_request(
    github: str, forge: ForgeServer, remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("swarm.forge.services.enqueue", breaks)
        with pytest.raises(RuntimeError):
            done_goal(remote)
    goal = Task.objects.get(parent__isnull=True)
    assert goal.status == TaskStatus.MERGING
    assert not PullRequest.objects.exists()

    run_gate(goal)

    assert pull_of(goal).state == PullState.WAITING


def test_a_token_that_is_set_later_brings_the_pull_request(
    forge: ForgeServer, remote: GitRemote, set_environment: SetEnvironment
) -> None:
    goal = done_goal(remote)
    set_environment(github_url=forge.url, github_token=SecretStr(TOKEN))

    pull = services.request_pull(goal.id, now=NOW)

    assert services.request_pull(goal.id, now=NOW).id == pull.id
    run_jobs(OPEN_PULL)
    assert pull_of(goal).state == PullState.OPEN


def test_what_did_not_fail_cannot_be_retried(
    github: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = done_goal(remote)
    run_jobs(OPEN_PULL)

    with pytest.raises(WrongState):
        services.retry_pull(pull_of(goal).id, now=NOW)


def test_a_wrong_token_is_in_no_row_and_no_log(
    kind: str,
    forge: ForgeServer,
    remote: GitRemote,
    set_environment: SetEnvironment,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "glpat-not-the-right-one"
    set_environment(**{f"{kind}_token": SecretStr(secret)})
    goal = done_goal(remote)
    forge.state.fail("GET", CREATE[kind], 403, {"message": f"the token {secret} may not"})

    run_jobs(OPEN_PULL)

    assert "the token *** may not" in pull_of(goal).error
    services.retry_pull(pull_of(goal).id, now=NOW)
    run_jobs(OPEN_PULL)
    assert "answered 401" in pull_of(goal).error
    rows = [
        str(vars(row)) for model in (PullRequest, Job, TaskEvent) for row in model.objects.all()
    ]
    assert secret not in caplog.text + "".join(rows) + str(describe_contribution(goal))
