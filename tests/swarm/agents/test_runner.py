"""A run's driver: it gives signs of life, leaves no run behind and is taken up again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import QuerySet

from p2p.database_thread import DatabaseThread
from p2p.local import LocalNode, acting_as, local_node
from p2p.protocol.errors import DomainError
from swarm.agents import loop as agent_loop
from swarm.agents import run_block, runner, steps
from swarm.agents.places import run_dir_of
from swarm.agents.shell import RunKind, RunState
from swarm.agents.threads import on_thread
from swarm.agents.tmux import TmuxServer
from swarm.models import Attempt, Task
from swarm.services import attempts
from swarm.services.agents import remove_agent
from swarm.states import AttemptStatus, TaskStatus
from tests.support.factories import make_agent, make_attempt, make_task
from tests.support.terminals import end_terminals
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[DatabaseThread]:
    node = local_node()
    thread = DatabaseThread()
    with acting_as(LocalNode(tmp_path, node.identity, node.network, node.swarm)):
        yield thread
    thread.stop()


def an_attempt(status: AttemptStatus) -> Attempt:
    """Store a claimed task of this node and the open attempt at it."""
    goal = make_task("Goal", TaskStatus.IN_PROGRESS)
    task = make_task(
        "Part",
        TaskStatus.CLAIMED,
        parent=goal,
        number=1,
        attempt=1,
        generation=1,
        assigned_node=local_node().node_id,
        lease_expires_at=NOW,
    )
    return make_attempt(task, make_agent("agent"), status=status)


def _first_of(tasks: QuerySet[Task]) -> Task:
    """Return the first task as soon as there is one, at the latest after 15 s."""
    ends_at = time.monotonic() + 15
    try:
        while (task := tasks.first()) is None:
            assert time.monotonic() < ends_at, "no sign of life within 15 s"
            time.sleep(0.02)
    finally:
        connection.close()
    return task


async def test_a_slow_set_up_renews_the_lease(
    database: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = await database.run(an_attempt, AttemptStatus.PREPARING)
    go_on = threading.Event()
    monkeypatch.setattr(runner, "LIFE_SIGN_EVERY_S", 0.02)
    monkeypatch.setattr(steps, "set_up", lambda _: go_on.wait(20))
    driver = asyncio.create_task(runner.Runner(attempt.id, database).run())
    task = Task.objects.filter(id=attempt.task_id, lease_expires_at__gt=NOW)

    shown = await asyncio.to_thread(_first_of, task)

    assert (shown.status, shown.progress) == ("in_progress", "preparing")
    driver.cancel()
    go_on.set()
    await asyncio.gather(driver, return_exceptions=True)


async def test_a_run_that_is_given_up_can_not_begin_later(
    database: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = await database.run(an_attempt, AttemptStatus.WORKING)
    unstarted = RunState(RunKind.NOT_STARTED, "started file", "no_start_recorded", "nothing")
    monkeypatch.setattr(runner, "DELIVERY_WAIT_S", -1.0)
    monkeypatch.setattr(steps, "observe", lambda _: unstarted)
    monkeypatch.setattr(steps, "deliver", lambda _: None)

    await runner.Runner(attempt.id, database).run()

    ended = await database.run(attempts.get_attempt, attempt.id)
    assert (ended.status, ended.error) == ("failed", "typed 3 times and never seen to start")
    assert run_block.write_exclusive(run_dir_of(attempt) / run_block.STARTED, {}) is False


async def test_a_run_whose_beginning_fails_can_not_begin_later(
    database: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = await database.run(an_attempt, AttemptStatus.QUEUED)
    monkeypatch.setattr(steps, "set_up", lambda _: None)

    def deliver(*_: object) -> None:
        raise DomainError("bad_path", "half of it was typed")

    monkeypatch.setattr(steps, "deliver", deliver)

    await runner.Runner(attempt.id, database).run()

    ended = await database.run(attempts.get_attempt, attempt.id)
    assert (ended.status, ended.error) == ("failed", "half of it was typed")
    assert run_block.write_exclusive(run_dir_of(attempt) / run_block.STARTED, {}) is False


async def test_what_was_cancelled_while_it_was_set_up_is_cleaned_up_after_that(
    database: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = await database.run(an_attempt, AttemptStatus.QUEUED)
    done: list[str] = []
    go_on, begun = threading.Event(), threading.Event()

    def set_up(_: Attempt) -> None:
        begun.set()
        assert go_on.wait(20)
        done.append("set up")

    monkeypatch.setattr(steps, "set_up", set_up)
    monkeypatch.setattr(steps, "salvage", lambda _: True)
    monkeypatch.setattr(steps, "clean_up", lambda _: done.append("cleaned up"))
    monkeypatch.setattr(steps, "deliver", lambda *_: done.append("typed"))
    driver = asyncio.create_task(runner.Runner(attempt.id, database).run())
    assert await asyncio.to_thread(begun.wait, 20)
    await database.run(attempts.cancel, attempt.id, reason="not wanted", now=NOW)
    go_on.set()

    assert await driver is True

    assert done[:1] + done[-1:] == ["set up", "cleaned up"]
    assert run_block.write_exclusive(run_dir_of(attempt) / run_block.STARTED, {}) is False


async def test_the_first_failure_is_told_when_all_have_ended() -> None:
    ended: list[str] = []

    async def slow() -> None:
        await asyncio.sleep(0)
        ended.append("slow")

    async def fails() -> None:
        raise DomainError("gone", "it is gone")

    with pytest.raises(DomainError, match="it is gone"):
        await runner.all_ended(fails(), slow())

    assert ended == ["slow"]


async def test_a_driver_that_dies_is_followed_by_another(
    database: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = await database.run(an_attempt, AttemptStatus.WORKING)
    begun: list[object] = []

    async def run(self: runner.Runner) -> None:
        begun.append(self)
        if len(begun) == 1:
            raise RuntimeError("the database was locked")
        await database.run(attempts.fail, attempt.id, code="lost", error="gone", now=NOW)
        await database.run(attempts.note_worktree_removed, attempt.id, now=NOW)

    monkeypatch.setattr(runner.Runner, "run", run)
    monkeypatch.setattr(agent_loop, "TEND_EVERY_S", 0.05)
    monkeypatch.setattr(steps, "ensure_session", lambda _: None)
    monkeypatch.setattr(steps, "kill_sessions", lambda _: None)
    loop = agent_loop.AgentLoop(database, asyncio.Event())
    looking = asyncio.create_task(loop.run())

    await wait_for(lambda: len(begun) == 2)

    await loop.stop()
    looking.cancel()
    assert (await database.run(attempts.get_attempt, attempt.id)).status == "failed"


async def test_a_worktree_that_has_to_stay_is_looked_at_again(
    database: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = await database.run(an_attempt, AttemptStatus.FAILED)
    looks: list[object] = []

    async def run(self: runner.Runner) -> bool:
        looks.append(self)
        if len(looks) < 3:
            return False
        await database.run(attempts.note_worktree_removed, attempt.id, now=NOW)
        return True

    monkeypatch.setattr(runner.Runner, "run", run)
    monkeypatch.setattr(agent_loop, "TEND_EVERY_S", 0.02)
    monkeypatch.setattr(agent_loop, "KEPT_FIRST_S", 0.01)
    monkeypatch.setattr(steps, "ensure_session", lambda _: None)
    monkeypatch.setattr(steps, "kill_sessions", lambda _: None)
    loop = agent_loop.AgentLoop(database, asyncio.Event())
    looking = asyncio.create_task(loop.run())

    await wait_for(lambda: len(looks) == 3)

    await loop.stop()
    looking.cancel()
    kept = await database.run(attempts.get_attempt, attempt.id)
    assert kept.worktree_removed_at is not None


async def test_steps_that_hang_keep_no_other_from_its_thread() -> None:
    go_on = threading.Event()
    hanging = [asyncio.create_task(on_thread(go_on.wait, 20)) for _ in range(60)]

    async with asyncio.timeout(10):
        assert await on_thread(time.monotonic) > 0

    go_on.set()
    assert await asyncio.gather(*hanging) == [True] * 60


async def test_an_error_of_a_step_reaches_who_waits_for_it() -> None:
    with pytest.raises(ZeroDivisionError):
        await on_thread(lambda: 1 // 0)


async def test_the_session_of_a_removed_agent_is_ended(
    database: DatabaseThread, tmux: TmuxServer
) -> None:
    removed, kept = [await database.run(make_agent, name) for name in ("removed", "kept")]
    own = steps.tmux_server()
    try:
        for agent in (removed, kept):
            steps.ensure_session(agent)
        await database.run(remove_agent, removed.id, now=NOW)
        loop = agent_loop.AgentLoop(database, asyncio.Event())
        looking = asyncio.create_task(loop.run())

        await wait_for(lambda: own.list_sessions() == [kept.session])

        await loop.stop()
        looking.cancel()
    finally:
        end_terminals(own)
