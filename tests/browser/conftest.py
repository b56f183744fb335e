"""One node with a fake agent CLI as a tool, and one Chromium, for the whole browser suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from tests.support.browser_node import RunningNode, running_node
from tests.support.fake_tool import FakeTool
from tests.support.services import need_program

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
expect.set_options(timeout=20_000)  # a busy machine draws a part anew after many seconds
MCP = '\n[mcp]\nenvironment = { FAKE_MCP_URL = "{url}", FAKE_MCP_TOKEN = "{token}" }\n'


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser-node")


@pytest.fixture(scope="session")
def fake(home: Path, tmp_path_factory: pytest.TempPathFactory) -> FakeTool:
    """The tool `fake` of the node."""
    tool = FakeTool(tmp_path_factory.mktemp("fake"))
    tool.install(home, MCP)
    return tool


@pytest.fixture(scope="session")
def node(home: Path, fake: FakeTool) -> Iterator[RunningNode]:
    need_program(CHROMIUM)
    with running_node(home, VOIDLUX_AGENTS="2", VOIDLUX_SWARM="perseus") as running:
        yield running


@pytest.fixture(scope="session")
def browser(node: RunningNode) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def session(node: RunningNode, browser: Browser) -> StorageState:
    """The cookies of a browser that used the link which the node printed at its start."""
    context = browser.new_context()
    context.new_page().goto(node.url + node.login_path)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(node: RunningNode, browser: Browser, session: StorageState) -> Iterator[Page]:
    """A logged-in page; the test fails on console errors and on requests to other hosts."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, storage_state=session)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "request",
        lambda request: (
            None if request.url.startswith(node.url) else complaints.append(request.url)
        ),
    )
    opened.goto(node.url)
    expect(opened.locator("#live")).to_have_attribute("data-state", "live")
    yield opened
    context.close()
    # A refused form is answered with 422, which Chromium always reports.
    assert [each for each in complaints if "status of 422" not in each] == []
