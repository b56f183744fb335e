"""A plan that a language model made: looked at, changed by hand, approved, and carried out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser_node import running_node
from tests.support.git_remote import GitRemote
from tests.support.llm_server import KEY, answer, running_llm
from tests.support.nodes import HOST
from tests.support.planning import plan, subtask

pytestmark = [pytest.mark.browser, pytest.mark.processes]

SOON_MS = 90_000
FITS = "each => each.scrollWidth <= each.clientWidth"
NOTES = "Distances are metres, as float. `focus()` returns them; nobody else computes any."
PLAN = plan(
    subtask("lens", title="Grind a larger lens", capabilities=[], complexity="small"),
    subtask("mount", "lens", title="Balance the mount for the heavier lens"),
    subtask("docs", "lens", "mount", title="Tell how far it sees now", complexity="large"),
)


@pytest.fixture
def plan_page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The dashboard of a node of its own, whose plans are made by a model and wait."""
    replies = [answer(PLAN), answer({"notes": NOTES})]
    with (
        running_llm("anthropic", replies) as llm,
        running_node(
            tmp_path / "home",
            VOIDLUX_LLM_PROVIDER="anthropic",
            VOIDLUX_LLM_MODEL="test-model",
            VOIDLUX_LLM_HOST=HOST,
            VOIDLUX_LLM_PORT=str(llm.port),
            ANTHROPIC_API_KEY=KEY,
            VOIDLUX_PLAN_APPROVAL="approve",
        ) as node,
    ):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        opened = context.new_page()
        opened.goto(node.url + node.login_path)
        opened.goto(node.url)
        expect(opened.locator("#live")).to_have_attribute("data-state", "live")
        yield opened
        context.close()


def test_a_plan_is_changed_and_approved(
    plan_page: Page, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page, shots = plan_page, tmp_path_factory.mktemp("shots")
    remote = GitRemote(tmp_path)
    remote.push("main", {"README": "optics\n"})
    page.get_by_role("button", name="New goal").click()
    page.get_by_label("Outline").fill("Make the telescope see further.")
    page.get_by_label("Repository").fill(str(remote.path))
    page.get_by_role("button", name="Submit goal").click()
    attention, dialog = page.locator("#attention"), page.locator("#dialog")

    expect(attention).to_contain_text("Plan waits for approval", timeout=SOON_MS)
    expect(attention).to_contain_text("by llm:test-model")
    page.screenshot(path=shots / "attention-1440.png")
    attention.get_by_role("button", name="Look at the plan").click()
    rows = dialog.locator(".plan-row")
    expect(rows).to_have_count(3)
    expect(dialog.get_by_label("Notes for all of its agents")).to_have_value(NOTES)
    page.screenshot(path=shots / "plan-1440.png")

    # By keyboard: the summary opens its subtask, and Enter in a field saves and removes nothing.
    rows.first.locator("summary").focus()
    page.keyboard.press("Enter")
    title = dialog.get_by_label("Title of 1")
    title.fill("Grind a much larger lens")
    page.screenshot(path=shots / "opened-1440.png")
    title.press("Enter")
    expect(dialog.locator(".notice")).to_contain_text("is saved", timeout=SOON_MS)
    page.screenshot(path=shots / "saved-1440.png")
    expect(rows).to_have_count(3)

    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=shots / "plan-390.png")
    assert page.locator("body").evaluate(FITS)
    assert dialog.evaluate(FITS)
    dialog.get_by_role("button", name="Add a subtask").click()
    expect(dialog.get_by_label("Title of 4")).to_be_focused()
    page.screenshot(path=shots / "added-390.png")
    assert dialog.evaluate(FITS)
    dialog.get_by_role("button", name="Approve", exact=True).click()
    expect(dialog.get_by_role("alert").first).to_contain_text("Look at subtask 4.")
    page.screenshot(path=shots / "wrong-390.png")
    dialog.get_by_role("button", name="Remove subtask 4").click()
    expect(rows).to_have_count(3)
    dialog.get_by_role("button", name="Approve", exact=True).click()

    expect(dialog).to_be_hidden()
    expect(page.locator("#announcer")).to_contain_text("is carried out", timeout=SOON_MS)
    card = page.locator("article", has_text="Make the telescope see further.")
    expect(card).to_contain_text("0 of 3 subtasks merged", timeout=SOON_MS)
    expect(card).to_contain_text("Grind a much larger lens")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.screenshot(path=shots / "approved-1440.png")
