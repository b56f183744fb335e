"""The page of contributions in a real browser: a goal becomes a pull request at a local forge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser_node import running_node
from tests.support.forge_server import ForgeServer, running_forge
from tests.support.forge_server.state import PROJECT, TOKEN, ForgeState
from tests.support.git_remote import GitRemote

pytestmark = [pytest.mark.browser, pytest.mark.processes]

GOAL_DONE_MS = 90_000
OUTLINE = "# Greet the forge\n- [ ] Say hello\n  ```sh\n  env > hello.txt\n  ```\n"


@pytest.fixture
def remote(tmp_path: Path) -> GitRemote:
    made = GitRemote(tmp_path)
    made.push("main", {"README": "greetings\n"})
    return made


@pytest.fixture
def forge(remote: GitRemote) -> Iterator[ForgeServer]:
    with running_forge(ForgeState(remote.refs)) as server:
        yield server


@pytest.fixture
def forge_page(
    browser: Browser, tmp_path: Path, remote: GitRemote, forge: ForgeServer
) -> Iterator[Page]:
    """The dashboard of a node of its own whose GitHub is the local forge."""
    config = tmp_path / "gitconfig"
    config.write_text(f'[url "{remote.path}"]\n\tinsteadOf = git@127.0.0.1:{PROJECT}.git\n')
    variables = {
        "GIT_CONFIG_GLOBAL": str(config),
        "VOIDLUX_AGENTS": "1",
        "VOIDLUX_GITHUB_URL": forge.url,
        "VOIDLUX_GITHUB_TOKEN": TOKEN,
        "VOIDLUX_PULL_REQUEST_LOOK_S": "5",
    }
    with running_node(tmp_path / "home", **variables) as node:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        opened = context.new_page()
        opened.goto(node.url + node.login_path)
        opened.goto(node.url)
        expect(opened.locator("#live")).to_have_attribute("data-state", "live")
        yield opened
        context.close()
    home = tmp_path / "home"
    leaks = [path for path in home.rglob("*") if path.is_file() and _holds_token(path)]
    assert leaks == []


def _holds_token(path: Path) -> bool:
    return TOKEN.encode() in path.read_bytes()


def test_a_goal_becomes_a_pull_request_that_is_followed_live(
    forge_page: Page, forge: ForgeServer, remote: GitRemote
) -> None:
    forge.state.fail("POST", r"/pulls$", 403, {"message": "this token may not"})
    forge_page.get_by_role("button", name="New goal").click()
    forge_page.get_by_label("Outline").fill(OUTLINE)
    forge_page.get_by_label("Repository").fill(f"git@127.0.0.1:{PROJECT}.git")
    forge_page.get_by_label("Test command").fill("env; test -s hello.txt")
    forge_page.get_by_role("button", name="Submit goal").click()
    failed = forge_page.locator("#attention li", has_text="Pull request failed")
    expect(failed).to_contain_text("this token may not", timeout=GOAL_DONE_MS)

    forge_page.get_by_role("link", name="Contributions").click()
    entry = forge_page.locator(".contribution", has_text="Greet the forge")
    expect(entry.locator(".badge")).to_have_text("failed")
    expect(entry).to_contain_text("1 of 1 subtasks merged (100 %)")
    expect(forge_page.locator("#live")).to_have_attribute("data-state", "live")
    entry.get_by_role("button", name=re.compile("^Try the pull request")).click()

    expect(entry.locator(".badge")).to_have_text("open")
    link = entry.get_by_role("link", name="Greet the forge")
    expect(link).to_have_attribute("href", f"{forge.url}/{PROJECT}/pull/7")
    agents_environment = remote.text(forge.state.pulls[0].head, "hello.txt")
    assert "PATH=" in agents_environment and TOKEN not in agents_environment
    forge.state.runs = [("completed", "success")]
    expect(entry).to_contain_text("checks: green")
    for width in (390, 1440):
        forge_page.set_viewport_size({"width": width, "height": 844})
        assert forge_page.evaluate("document.documentElement.scrollWidth") == width
    entry.get_by_role("button", name=re.compile("^Look at the goal")).click()
    expect(forge_page.locator("#dialog")).to_contain_text(f"{forge.url}/{PROJECT}/pull/7")
    forge_page.keyboard.press("Escape")
    forge.state.pulls[0].state = "merged"
    entry.get_by_role("button", name=re.compile("^Look at the pull request")).click()
    expect(entry.locator(".badge")).to_have_text("merged")
