"""The work of strangers is tested in a real `bwrap`, or not at all."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from p2p.local import LocalNode, acting_as, local_node
from swarm import hooks
from swarm import jobs as runner
from swarm.gate.evidence import test_commit as run_test
from swarm.gate.sandbox import holds_strangers_work
from swarm.git.integration import Integration, open_integration
from swarm.git.repository import Repository
from swarm.models import Task, TestRun
from swarm.sandbox import NoSandbox
from swarm.sandbox import bwrap as sandboxes
from swarm.services import jobs
from swarm.states import TaskStatus
from tests.support.factories import NOW, make_subtask, make_task
from tests.support.git_remote import GitRemote
from tests.support.services import find_program

pytestmark = pytest.mark.django_db


@pytest.fixture
def outside() -> Iterator[Path]:
    """A folder that is not below /tmp, which the sandbox replaces as a whole."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def home(outside: Path) -> Iterator[Path]:
    node = local_node()
    folder = outside / "home"
    folder.mkdir()
    (folder / "identity.pem").write_text("a secret key")
    with acting_as(LocalNode(folder, node.identity, node.network, node.swarm)):
        yield folder


@pytest.fixture
def remote(tmp_path: Path) -> GitRemote:
    return GitRemote(tmp_path)


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> set[object]:
    """The ids of tasks that strangers did; the test adds to it."""
    tasks: set[object] = set()
    monkeypatch.setattr(hooks, "stranger_sources", [lambda _: tasks])
    return tasks


@pytest.fixture
def work(home: Path, remote: GitRemote, stranger: set[object]) -> tuple[Task, Integration]:
    """A goal whose first subtask a stranger did, at the integration of that very commit."""
    base = remote.push("main", {"README": "hello\n"})
    commit = remote.push("task/one", {"one": "1\n"}, start=base)
    goal = make_task("Goal", TaskStatus.IN_PROGRESS, repository=str(remote.path), base_commit=base)
    task = make_subtask(goal, 1, "One", TaskStatus.MERGING, NOW, commit=commit)
    stranger.add(task.id)
    repository = Repository(str(remote.path), home)
    repository.ensure()
    integration = open_integration(repository, goal.id, base)
    integration.reset(commit)
    return goal, integration


@pytest.fixture
def bwrap() -> str:
    return find_program(sandboxes.PROGRAM)


def _environment(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    changed = settings.ENVIRONMENT.model_copy(update=changes)
    monkeypatch.setattr(settings, "ENVIRONMENT", changed)


def _run(work: tuple[Task, Integration], command: str) -> TestRun:
    goal, integration = work
    run = run_test(goal, integration.path, integration.head, command)
    assert run is not None
    return run


def test_a_project_is_tested_in_it(bwrap: str, work: tuple[Task, Integration]) -> None:
    command = (
        "set -e; cat one; echo made > made; git log -1 --format=%s; git status --short; "
        'test "$(ls -A $HOME)" = ""; echo x > $HOME/x; echo x > /tmp/x; echo $HOME; '
        "echo '<testsuite><testcase name=\"t\"/></testsuite>' > $VOIDLUX_JUNIT"
    )

    run = _run(work, command)

    assert run.output_tail == "1\nchange task/one\n?? made\n/home/tester\n"
    assert (run.state, run.sandboxed, run.tests_run) == ("passed", True, 1)
    assert (work[1].path / "made").read_text() == "made\n"


def test_the_nodes_files_cannot_be_read(
    bwrap: str,
    work: tuple[Task, Integration],
    home: Path,
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = outside / "owner"
    owner.mkdir()
    (owner / "notes").write_text("private")
    monkeypatch.setenv("HOME", str(owner))
    monkeypatch.setenv("VOIDLUX_AUTH_SECRET", "hidden-value-of-the-swarm")
    clone = next((home / "repositories").glob("*.git"))
    (clone / "config").write_text(
        (clone / "config")
        .read_text()
        .replace("[remote", "[credential]\n\thelper = hidden\n[remote")
    )
    wanted = (home / "identity.pem", owner / "notes", Path("/etc/shadow"), clone / "hooks")
    tries = "; ".join(f"test -e {path} && echo SEEN" for path in wanted)

    run = _run(work, f"{tries}; cat {clone}/config; env | grep -v ^VOIDLUX_JUNIT=")

    assert all(path.exists() for path in wanted)
    assert run.state == "passed"
    for leaked in ("SEEN", "hidden", "remote", "VOIDLUX_"):
        assert leaked not in run.output_tail
    assert "repositoryformatversion = 0" in run.output_tail


def test_nothing_outside_can_be_written(
    bwrap: str, work: tuple[Task, Integration], home: Path, outside: Path
) -> None:
    _, integration = work
    clone = next((home / "repositories").glob("*.git"))
    git_file = (integration.path / ".git").read_text()
    targets = ("/usr/x", "/etc/x", f"{clone}/objects/x", f"{clone}/refs/heads/x", f"{clone}/x")
    tries = " ".join(f"(echo x > {path}) 2>/dev/null;" for path in targets)
    more = f"echo x > {outside}/x; rm -f .git; (echo x > .git); git update-ref refs/heads/x HEAD;"

    run = _run(work, f"{tries} {more} mount -o remount,rw /usr; exit 0")

    assert run.state == "passed"
    assert not any(Path(target).exists() for target in (*targets, outside / "x"))
    assert (integration.path / ".git").read_text() == git_file


def _listener() -> tuple[socket.socket, int]:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server, server.getsockname()[1]


@pytest.mark.parametrize(
    ("repository_says", "environment_says", "reached"),
    [(False, "0", False), (True, "0", True), (False, "1", True)],
)
def test_the_network_is_closed_unless_it_is_allowed(
    bwrap: str,
    work: tuple[Task, Integration],
    monkeypatch: pytest.MonkeyPatch,
    repository_says: bool,
    environment_says: str,
    reached: bool,
) -> None:
    goal, _ = work
    goal.test_settings = {"network": repository_says}
    _environment(monkeypatch, test_network=environment_says)
    server, port = _listener()
    accepting = threading.Thread(target=_accept_one, args=(server,), daemon=True)
    accepting.start()
    script = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"

    run = _run(work, f'/usr/bin/python3 -c "{script}"')
    server.close()

    assert run.passed is reached, run.output_tail
    assert ("ConnectionRefusedError" in run.output_tail) is not reached


def _accept_one(server: socket.socket) -> None:
    try:
        server.accept()[0].close()
    except OSError:
        return  # closed: nobody came


def test_other_processes_are_out_of_sight_and_daemons_end_with_it(
    bwrap: str, work: tuple[Task, Integration]
) -> None:
    run = _run(work, "setsid sh -c 'setsid sleep 600 & sleep 600' & ls -d /proc/[0-9]* | wc -l")

    assert run.state == "passed"
    assert int(run.output_tail) < 12
    inside = str(work[1].path)
    assert not [entry for entry in Path("/proc").glob("[0-9]*/cwd") if _leads_to(entry, inside)]


def _leads_to(entry: Path, folder: str) -> bool:
    try:
        return str(entry.readlink()) == folder
    except OSError:
        return False


def test_a_hanging_test_is_ended_at_its_limit(bwrap: str, work: tuple[Task, Integration]) -> None:
    work[0].test_settings = {"time_limit_s": 1}

    run = _run(work, "trap '' TERM; sleep 600")

    assert (run.state, run.sandboxed) == ("timed_out", True)


def test_further_paths_can_be_shown(
    bwrap: str,
    work: tuple[Task, Integration],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "version").write_text("7\n")
    _environment(monkeypatch, test_sandbox_paths=(tools,))

    run = _run(work, f"cat {tools}/version; (echo x > {tools}/x) 2>/dev/null; exit 0")

    assert run.output_tail == "7\n"
    assert not (tools / "x").exists()


def test_what_stands_on_a_strangers_commit_is_a_strangers_work(
    work: tuple[Task, Integration], remote: GitRemote, stranger: set[object]
) -> None:
    goal, integration = work
    commit = integration.head
    later = remote.push("task/two", {"two": "2\n"}, start=commit)
    beside = remote.push("task/three", {"three": "3\n"}, start=goal.base_commit)
    integration.repo.fetch()

    assert [
        holds_strangers_work(goal, each) for each in (goal.base_commit, commit, later, beside)
    ] == [False, True, True, False]
    stranger.clear()
    assert not holds_strangers_work(goal, commit)


def test_own_work_is_tested_without_it(
    work: tuple[Task, Integration], stranger: set[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "PROGRAM", "no-such-bwrap")
    stranger.clear()

    run = _run(work, "true")

    assert (run.state, run.sandboxed) == ("passed", False)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("no-such-bwrap", "and no-such-bwrap is not installed: install bubblewrap"),
        ("false", "and false cannot be used here (): install bubblewrap"),
    ],
)
def test_without_a_sandbox_nothing_is_tested(
    work: tuple[Task, Integration], monkeypatch: pytest.MonkeyPatch, program: str, why: str
) -> None:
    monkeypatch.setattr(sandboxes, "PROGRAM", program)

    with pytest.raises(NoSandbox) as caught:
        _run(work, "touch tested")

    assert caught.value.code == "no_sandbox"
    assert why in str(caught.value)
    assert "VOIDLUX_UNSAFE_TEST_WITHOUT_SANDBOX=1" in str(caught.value)
    assert not (work[1].path / "tested").exists()
    assert TestRun.objects.count() == 0


def test_the_operator_may_waive_it(
    work: tuple[Task, Integration], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandboxes, "PROGRAM", "no-such-bwrap")
    _environment(monkeypatch, unsafe_test_without_sandbox="1")

    run = _run(work, "true")

    assert (run.state, run.sandboxed) == ("passed", False)


def _gate(goal: Task) -> None:
    jobs.nudge_with(lambda _: None)
    try:
        job = jobs.enqueue("gate", key=goal.id.hex, lane="lane", now=NOW)
        runner.run_job(job.id)
    finally:
        jobs.nudge_with(runner.nudge_worker)


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_tested_fails_with_the_reason(
    work: tuple[Task, Integration], remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal, _ = work
    monkeypatch.setattr(sandboxes, "PROGRAM", "no-such-bwrap")
    task = goal.subtasks.get()
    Task.objects.filter(id=task.id).update(git_branch="task/one", attempt=1)
    Task.objects.filter(id=goal.id).update(test_command="true")
    refs = remote.refs()

    _gate(goal)

    goal.refresh_from_db()
    task.refresh_from_db()
    assert (goal.status, task.status) == (TaskStatus.FAILED, TaskStatus.FAILED)
    assert "no-such-bwrap is not installed" in task.error
    assert "VOIDLUX_UNSAFE_TEST_WITHOUT_SANDBOX=1" in task.error
    assert remote.refs() == refs, "nothing was pushed"


@pytest.mark.django_db(transaction=True)
def test_it_costs_the_strangers_subtask_alone(
    work: tuple[Task, Integration], remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal, _ = work
    monkeypatch.setattr(sandboxes, "PROGRAM", "no-such-bwrap")
    theirs = goal.subtasks.get()
    Task.objects.filter(id=theirs.id).update(git_branch="task/one", attempt=1)
    Task.objects.filter(id=goal.id).update(test_command="true")
    commit = remote.push("task/two", {"two": "2\n"}, start=goal.base_commit)
    columns = {"commit": commit, "git_branch": "task/two", "attempt": 1}
    own = make_subtask(goal, 2, "Two", TaskStatus.MERGING, NOW, **columns)

    _gate(goal)

    own.refresh_from_db()
    theirs.refresh_from_db()
    assert (theirs.status, own.status) == (TaskStatus.FAILED, TaskStatus.COMPLETED)
    run = TestRun.objects.get()
    assert (run.commit, run.sandboxed) == (own.merged_commit, False)
    assert remote.text(own.merged_commit, "two") == "2\n"
