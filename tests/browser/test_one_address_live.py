"""A page that stays on one address while another member answers there: it goes on, logged in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.processes.test_any_member import OUTLINE, SECRET, login_link
from tests.support.nodes import RealNode, start_all
from tests.support.one_address import OneAddress, one_address

pytestmark = [pytest.mark.browser, pytest.mark.processes]


@pytest.fixture
def members(tmp_path: Path) -> Iterator[tuple[RealNode, RealNode]]:
    """An emperor and a worker of one swarm."""
    shared = {"swarm": "helios", "auth_secret": SECRET}
    emperor = RealNode(tmp_path / "emperor", worker=False, role="emperor", **shared)
    worker = RealNode(
        tmp_path / "worker", worker=False, role="worker", seeds=emperor.address, **shared
    )
    start_all(emperor, worker)
    yield emperor, worker
    for node in (emperor, worker):
        node.end()


@pytest.fixture
def address(members: tuple[RealNode, RealNode]) -> Iterator[OneAddress]:
    with one_address(members[1]) as made:
        yield made


@pytest.fixture
def page(
    members: tuple[RealNode, RealNode], address: OneAddress, browser: Browser
) -> Iterator[Page]:
    """A page that was logged in at the worker; it must never be sent to the login page."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    opened.goto(login_link(members[1], address.url))
    expect(opened.locator("#live")).to_have_attribute("data-state", "live")
    yield opened
    assert opened.url == f"{address.url}/"
    context.close()


def test_the_page_goes_on_with_whichever_member_answers(
    page: Page, members: tuple[RealNode, RealNode], address: OneAddress, tmp_path: Path
) -> None:
    emperor, worker = members
    followers = []
    page.on("websocket", lambda socket: followers.append(socket.url))

    # The worker passes the goal on, and shows its copy of what the emperor made of it.
    page.get_by_role("button", name="New goal").click()
    page.get_by_label("Outline").fill(OUTLINE)
    page.get_by_label("Repository").fill(str(tmp_path / "nowhere.git"))
    page.get_by_role("button", name="Submit goal").click()
    expect(page.locator("#dialog")).to_be_hidden()
    copy = page.locator("article.foreign", has_text="Wait")
    expect(copy).to_be_visible()

    # Another member answers: the parts are drawn anew from what that one knows.
    address.lead_to(emperor)
    expect(page.locator("article", has_text="Wait")).to_be_visible()
    expect(copy).to_have_count(0)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    expect(page.locator(".node-id")).to_have_text(emperor.node_id[:8])
    assert followers[0].split("&node=")[1] == worker.node_id

    # The form of a page that the worker made is taken by the emperor, whose events arrive.
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Wait", exact=True).click()
    page.locator("#dialog").get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("article", has_text="Wait").locator(".goal-head .badge")).to_have_text(
        "cancelled"
    )

    # And back again, where it is a copy that has heard of it.
    address.lead_to(worker)
    page.keyboard.press("Escape")
    expect(copy.locator(".badge").first).to_have_text("cancelled")
    copy.get_by_role("button", name="Wait").click()
    page.locator("#dialog").get_by_role("button", name="Archive").click()
    expect(copy).to_have_count(0)
    assert emperor.items("/tasks") == []
