"""The second act's parts without nodes: its goal, its browser, its table and its remote."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web
from rich.console import Console

from p2p.protocol.errors import ExternalError
from swarm.outline import parse_outline
from tests.support.succession_facts import NEW, OLD, flawless_succession
from voidlux_site.demo.browser import Browser
from voidlux_site.demo.names import Names
from voidlux_site.demo.repository import create_remote
from voidlux_site.demo.story import SECOND_GOAL_FILE, is_middle
from voidlux_site.demo.succession_report import print_succession, succession_verdict
from voidlux_site.demo.tab import LiveTab

HOST = "127.0.0.1"
DEADLINE_S = 20.0


def test_the_second_goal_waits_where_it_is_killed() -> None:
    items = parse_outline(SECOND_GOAL_FILE.read_text("utf-8")).items

    assert [tuple(item.after) for item in items] == [(), (), (), (1, 2, 3)]
    assert ["GO_FILE" in item.shell for item in items] == [False, True, True, False]


def test_the_middle_has_something_merged_and_something_at_work_at_the_emperor() -> None:
    done = {"status": "completed", "assigned_node": OLD}
    there = {"status": "in_progress", "assigned_node": OLD}
    elsewhere = {"status": "in_progress", "assigned_node": NEW}

    assert is_middle([done, there], OLD)
    assert not is_middle([done, elsewhere], OLD)
    assert not is_middle([there, there], OLD)


def test_the_table_tells_what_died_and_who_did_it_again() -> None:
    out = io.StringIO()
    facts = flawless_succession()

    print_succession(
        Console(file=out, width=140), facts, Names({OLD: "andromeda", NEW: "andromeda-2"})
    )

    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert lines[3].endswith("1.5  merged before the kill")
    assert lines[4].endswith("9.0  died with its node; given out again when its lease had run out")
    assert lines[5].endswith("1.5  merged")
    assert lines[-1] == (
        "Timings: another emperor 3.5 s after the kill; the goal took 22.1 s with all that; "
        "andromeda followed 6.5 s after it was started again."
    )
    assert succession_verdict(facts).startswith("The emperor of swarm andromeda was killed")


def test_what_the_old_emperor_began_on_its_return_is_told_as_that() -> None:
    out = io.StringIO()
    facts = flawless_succession()
    runs = facts["goals"][0]["subtasks"][1]["runs"]
    runs.insert(1, {**runs[0], "status": "cancelled", "attempt": 2})

    print_succession(Console(file=out, width=140), facts, Names())

    assert "begun on its return, before it heard of the new term" in out.getvalue().splitlines()[5]


def test_the_remote_tells_what_it_keeps_and_what_it_does_not(tmp_path: Path) -> None:
    remote = create_remote(tmp_path)

    assert remote.is_kept(remote.base_commit)
    assert not remote.is_kept("1" * 40)
    assert remote.merges(remote.base_commit) == []
    assert remote.message_at("main") == "Describe a reading"
    assert remote.message_at("refs/voidlux/gate/00000000") == ""


class Site:
    """Stands for the address: a dashboard behind a cookie, and live events of two nodes."""

    def __init__(self) -> None:
        self.status = 200
        self.sockets: list[str] = []
        self.queries: list[str] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/ws":
            return await self._follow(request)
        if request.path.startswith("/login/"):
            found = web.Response(status=302, headers={"Location": "/"})
            found.set_cookie("voidlux_session_x", "signed")
            return found
        if "voidlux_session_x" not in request.cookies:
            return web.Response(status=401)
        return web.Response(status=self.status, text='X-CSRFToken": "abc"')

    async def _follow(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        node_id = NEW if self.sockets else OLD
        self.sockets.append(node_id)
        self.queries.append(request.query_string)
        await socket.send_json({"event": "hello", "node_id": node_id, "seq": 7})
        if node_id == OLD:
            await socket.send_json({"event": "task_update", "seq": 8})
            await socket.close(code=1012)
            return socket
        await socket.send_json({"event": "resync", "seq": 3})
        async for message in socket:
            assert message.type is WSMsgType.TEXT
        return socket


@asynccontextmanager
async def _serving(site: Site) -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(site.answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextmanager
def serving(site: Site) -> Iterator[str]:
    """Serve the site on a thread of its own; yields its URL."""
    ready, leave, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with _serving(site) as port:
            found.append(port)
            ready.set()
            await asyncio.to_thread(leave.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(DEADLINE_S)
        yield f"http://{HOST}:{found[0]}"
    finally:
        leave.set()
        thread.join(DEADLINE_S)


@pytest.fixture
def site() -> Site:
    return Site()


def until(condition: Callable[[], object]) -> None:
    ends_at = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_a_browser_logs_in_once_and_its_events_come_again(site: Site) -> None:
    with serving(site) as url:
        browser = Browser(url)
        try:
            browser.open(f"{url}/login/once")
            until(
                lambda: len(browser.facts()["live"]) == 2 and browser.facts()["live"][1]["resync"]
            )
            until(lambda: browser.facts()["looks"]["answered"])
            facts = browser.facts()
        finally:
            browser.close()

    first, second = facts["live"]
    assert (facts["logins"], facts["before"]["status"], facts["after"]["status"]) == (1, 200, 200)
    assert facts["before"]["cookie"] == facts["after"]["cookie"] != ""
    assert (first["node_id"], first["close_code"], first["events"]) == (OLD, 1012, 1)
    assert (second["node_id"], second["close_code"], second["resync"]) == (NEW, None, True)
    assert site.queries == ["", f"since=8&node={OLD}"]


def test_a_page_that_is_refused_is_counted(site: Site) -> None:
    with serving(site) as url:
        browser = Browser(url)
        try:
            browser.open(f"{url}/login/once")
            until(lambda: browser.facts()["looks"]["answered"])
            site.status = 404
            until(lambda: browser.facts()["looks"]["refused"])
            facts = browser.facts()
        finally:
            browser.close()

    assert facts["looks"]["otherwise"] == ["404"]
    assert facts["after"]["status"] == 404


def test_an_address_that_fails_may_be_asked_again(site: Site) -> None:
    site.status = 503
    with serving(site) as url:
        browser = Browser(url)
        with pytest.raises(ExternalError, match="answered 503") as caught:
            browser.open(f"{url}/login/once")
        browser.close()

    assert caught.value.retryable


def test_a_tab_that_nobody_answers_is_closed_all_the_same() -> None:
    tab = LiveTab("http://127.0.0.1:1", {})
    tab.start()

    tab.stop()

    assert not tab.is_alive()
    assert tab.facts() == []
