"""The dashboard of a real node in a real browser: runs as a pytest invocation of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser_node import RunningNode
from tests.support.git_remote import GitRemote

pytestmark = [pytest.mark.browser, pytest.mark.processes]

GOAL_DONE_MS = 90_000
OUTLINE = """# Greet the galaxy
- [ ] Say hello
  ```sh
  echo "hello galaxy" > hello.txt
  ```
- [ ] Say it louder (after: 1)
  ```sh
  tr a-z A-Z < hello.txt > loud.txt
  ```
"""


def test_a_goal_becomes_done_before_ones_eyes(page: Page, tmp_path: Path) -> None:
    remote = GitRemote(tmp_path)
    remote.push("main", {"README": "greetings\n"})

    page.get_by_role("button", name="New goal").click()
    expect(page.get_by_label("Outline")).to_be_focused()
    page.get_by_label("Outline").fill(OUTLINE)
    page.get_by_label("Repository").fill(str(remote.path))
    page.get_by_label("Test command").fill("test -s loud.txt")
    page.get_by_role("button", name="Submit goal").click()

    expect(page.locator("#dialog")).to_be_hidden()
    goal = page.locator("article", has_text="Greet the galaxy")
    expect(goal.get_by_role("listitem").filter(has_text="Say it louder")).to_be_visible()
    expect(goal.locator(".goal-head .badge")).to_have_text("completed", timeout=GOAL_DONE_MS)
    expect(goal).to_contain_text("2 of 2 subtasks merged")
    goal.get_by_text(re.compile("Evidence: ")).click()
    expect(goal.locator(".evidence .badge", has_text="green").first).to_be_visible()


def test_a_refused_goal_keeps_the_dialog_with_the_reason(page: Page) -> None:
    page.get_by_role("button", name="New goal").click()
    page.get_by_label("Outline").fill("- [ ] greet (after: 9)")
    page.get_by_label("Repository").fill("/nowhere.git")
    page.get_by_role("button", name="Submit goal").click()

    expect(page.locator(".dialog [role=alert]")).to_be_visible()
    expect(page.get_by_label("Outline")).to_have_value("- [ ] greet (after: 9)")
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()


def test_the_example_fills_the_outline(page: Page) -> None:
    page.get_by_role("button", name="New goal").click()
    page.get_by_text("Show an example outline").click()
    page.get_by_role("button", name="Use the example").click()

    expect(page.get_by_label("Outline")).to_have_value(re.compile("# Greet in two languages"))


def test_an_agent_is_added_and_removed_live(page: Page) -> None:
    page.get_by_role("button", name="Add agents").click()
    page.get_by_label("Name").fill("visitor-1")
    page.get_by_role("button", name="Add", exact=True).click()
    card = page.locator("#agents .card", has_text="visitor-1")
    expect(card.locator(".badge")).to_have_text("ready", timeout=20_000)

    page.on("dialog", lambda dialog: dialog.accept())
    card.get_by_role("button", name="Remove visitor-1").click()

    expect(card).to_have_count(0)


def test_a_post_is_written_and_taken_off_the_wall_live(page: Page) -> None:
    text = "First light over the galaxy.\nWho else is awake?"
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_label("Text")).to_be_focused()
    expect(page.get_by_label("Author")).to_have_value("perseus")
    page.get_by_label("Text").fill(text)
    page.get_by_label("Author").fill("ada" * 21)
    page.get_by_role("button", name="Post", exact=True).click()
    post = page.locator("#wall li", has_text="First light")
    expect(post.locator(".post-text")).to_have_text(text, use_inner_text=True)

    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390

    page.on("dialog", lambda dialog: dialog.accept())
    post.get_by_role("button", name=re.compile("Remove the post")).click()

    expect(post).to_have_count(0)


def test_opened_details_survive_a_refresh(page: Page) -> None:
    plan = page.locator("details.plan").first
    expect(plan).to_have_attribute("open", "")
    plan.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(plan).not_to_have_attribute("open", "")

    with page.expect_response(re.compile("/parts/tasks")):
        page.evaluate("htmx.trigger('#part-tasks', 'voidlux:refresh')")

    expect(page.locator("details.plan").first).not_to_have_attribute("open", "")
    expect(page.locator("details.plan > summary").first).to_be_focused()


def test_no_width_scrolls_sideways_nor_does_a_dialog(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Terminal of")).first.click()
    expect(page.locator("#dialog .screen")).to_be_visible()

    for width in (390, 768, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("dialog.scrollWidth - dialog.clientWidth") == 0


def test_the_theme_is_chosen_and_remembered(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")

    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_keyboard_reaches_the_first_button(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the goals")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(page.get_by_role("button", name="New goal")).to_be_focused()


def test_every_other_page_loads_without_complaints(page: Page, node: RunningNode) -> None:
    for path in ("/api/docs", "/admin/", "/admin/swarm/task/", "/login"):
        page.goto(node.url + path, wait_until="networkidle")
        expect(page.locator("body")).to_contain_text(re.compile("VoidLux|Log in"))


def test_logging_out_ends_the_session(browser: Browser, node: RunningNode) -> None:
    page = browser.new_page()  # with a session of its own: others go on with theirs
    page.goto(node.url + node.new_login_path())
    page.goto(node.url)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in to this node")).to_be_visible()

    page.goto(node.url)

    expect(page).to_have_url(f"{node.url}/login")
