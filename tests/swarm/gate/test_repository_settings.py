"""What `.voidlux.toml` may say, and which test command a goal gets in the end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm import jobs as runner
from swarm.gate.preparation import prepare_goal
from swarm.gate.repository_settings import TestSettings, parse_settings, read_settings
from swarm.git.repository import Repository
from swarm.models import Job, Task
from swarm.services import goals, jobs
from swarm.states import TaskStatus
from tests.support.git_remote import GitRemote

NOW = datetime.now(UTC)
OUTLINE = "# Goal\n\n- [ ] One\n  ```sh\n  true\n  ```\n"
MAKE = '[test]\ncommand = "make check"\ntime_limit_s = 90\njunit = "out/*.xml"\nnetwork = true\n'


def test_every_setting_is_read() -> None:
    assert parse_settings(MAKE) == TestSettings("make check", 90, "out/*.xml", True)
    assert parse_settings("") == TestSettings()
    assert TestSettings.of_goal(parse_settings(MAKE).to_json()) == parse_settings(MAKE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[test", "is not TOML: "),
        ("[" * 5000, "is not TOML: "),
        ("[tests]\n", "has 'tests': only the table [test] is known"),
        ("test = 1\n", "has test = 1: it must be a table"),
        ("[test]\ncmd = 'x'\n", "has 'cmd' in [test]: known are command, time_limit_s, junit"),
        ("[test]\ncommand = ['x']\n", "has test.command = ['x']: it must be a text"),
        ("[test]\nnetwork = 1\n", "has test.network = 1: it must be true or false"),
        ("[test]\ntime_limit_s = true\n", "has test.time_limit_s = True: it must be a whole"),
        ("[test]\ntime_limit_s = 0\n", "time_limit_s = 0: 1 to 86400 seconds are allowed"),
        ("[test]\ntime_limit_s = 86401\n", "= 86401: 1 to 86400 seconds are allowed"),
        (f"[test]\ncommand = '{'x' * 1001}'\n", "test.command of 1001 characters, at most 1000"),
        ('[test]\ncommand = "a\\u0000"\n', "has a zero character in test.command"),
        ("[test]\njunit = '/etc/passwd'\n", "it must be a path below the repository"),
        ("[test]\njunit = '../x.xml'\n", "it must be a path below the repository"),
        ("[test]\njunit = 'a**/x.xml'\n", "test.junit = 'a**/x.xml': "),
        (f"[test]\njunit = '{'x' * 301}'\n", "test.junit of 301 characters, at most 300"),
    ],
)
def test_one_error_names_value_and_limit(text: str, message: str) -> None:
    with pytest.raises(DomainError) as caught:
        parse_settings(text)

    assert caught.value.code == "bad_settings"
    assert str(caught.value).startswith(".voidlux.toml ")
    assert message in str(caught.value)


@pytest.fixture
def remote(tmp_path: Path) -> GitRemote:
    return GitRemote(tmp_path)


@pytest.fixture(autouse=True)
def _quiet_worker(request: pytest.FixtureRequest) -> None:
    jobs.nudge_with(lambda _: None)
    request.addfinalizer(lambda: jobs.nudge_with(runner.nudge_worker))


def _read(remote: GitRemote) -> TestSettings:
    repository = Repository(str(remote.path), local_node().home)
    repository.ensure()
    return read_settings(repository, repository.resolve_base()[1])


def test_a_repository_without_the_file_says_nothing(remote: GitRemote) -> None:
    remote.push("main", {"README": "hello\n"})

    assert _read(remote) == TestSettings()


def test_a_folder_of_that_name_is_refused(remote: GitRemote) -> None:
    remote.push("main", {".voidlux.toml/inside": MAKE})

    with pytest.raises(DomainError, match="is not a regular file"):
        _read(remote)


def test_a_huge_file_is_not_read(remote: GitRemote) -> None:
    remote.push("main", {".voidlux.toml": "#" * 65_537})

    with pytest.raises(DomainError, match="has 65537 bytes, at most 65536"):
        _read(remote)


def _goal(remote: GitRemote, test_command: str | None, file: str = MAKE) -> Task:
    remote.push("main", {"README": "hello\n", **({".voidlux.toml": file} if file else {})})
    request = goals.GoalRequest(
        description=OUTLINE, repository=str(remote.path), test_command=test_command
    )
    return goals.create_goal(request, now=NOW)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "environment", "file", "command", "source", "says"),
    [
        ("pytest", "tox", MAKE, "pytest", "goal", "tested with 'pytest', as the goal says"),
        ("", "tox", MAKE, "", "goal", "not tested: the goal says so"),
        ("  ", "tox", MAKE, "", "goal", "not tested: the goal says so"),
        (None, "tox", MAKE, "tox", "environment", "'tox', as VOIDLUX_TEST_COMMAND says"),
        (None, "", MAKE, "make check", "repository", "'make check', as .voidlux.toml at "),
        (None, "", "", "", "nobody", "not tested: neither the goal, VOIDLUX_TEST_COMMAND nor"),
    ],
)
def test_who_chooses_the_command(
    remote: GitRemote,
    monkeypatch: pytest.MonkeyPatch,
    given: str | None,
    environment: str,
    file: str,
    command: str,
    source: str,
    says: str,
) -> None:
    changed = settings.ENVIRONMENT.model_copy(update={"test_command": environment})
    monkeypatch.setattr(settings, "ENVIRONMENT", changed)
    goal = _goal(remote, given, file)

    prepare_goal(goal)

    goal.refresh_from_db()
    assert (goal.status, goal.test_command, goal.test_source) == (
        TaskStatus.IN_PROGRESS,
        command,
        source,
    )
    assert goal.test_settings == parse_settings(file).to_json()
    reasons = list(goal.events.values_list("reason", flat=True))
    assert [says in reason for reason in reasons] == [False, True, False]


@pytest.mark.django_db
def test_the_base_decides_and_not_a_later_commit(remote: GitRemote) -> None:
    goal = _goal(remote, None)
    prepare_goal(goal)

    remote.push("main", {".voidlux.toml": '[test]\ncommand = "true"\n'})

    goal.refresh_from_db()
    assert read_settings(Repository(goal.repository, local_node().home), goal.base_commit) == (
        parse_settings(MAKE)
    )
    assert goal.test_command == "make check"


@pytest.mark.django_db(transaction=True)
def test_a_mistake_fails_the_goal_at_once(remote: GitRemote) -> None:
    goal = _goal(remote, None, "[test]\ntime_limit_s = 0\n")

    runner.run_job(Job.objects.get(key=goal.id.hex).id)

    goal.refresh_from_db()
    error = ".voidlux.toml has test.time_limit_s = 0: 1 to 86400 seconds are allowed"
    assert (goal.status, goal.error) == (TaskStatus.FAILED, error)
    assert goal.subtasks.count() == 0
