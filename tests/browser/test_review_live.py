"""A person reviews what agents made: one attempt is sent back with reasons, the next accepted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser_node import running_node
from tests.support.git_remote import GitRemote

pytestmark = [pytest.mark.browser, pytest.mark.processes]

SOON_MS = 90_000
TITLE = "Grind the lens"
OUTLINE = f"""# Mend the telescope
- [ ] {TITLE}
  ```sh
  echo "ground ${{VOIDLUX_FEEDBACK:-roughly}}" > lens.txt
  ```
"""
FITS = "each => each.scrollWidth <= each.clientWidth"


@pytest.fixture
def review_page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The dashboard of a node of its own on which a person reviews."""
    with running_node(tmp_path / "home", VOIDLUX_AGENTS="1", VOIDLUX_REVIEWER="human") as node:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        opened = context.new_page()
        opened.goto(node.url + node.login_path)
        opened.goto(node.url)
        expect(opened.locator("#live")).to_have_attribute("data-state", "live")
        yield opened
        context.close()


def test_a_commit_is_sent_back_with_reasons_and_the_next_one_accepted(
    review_page: Page, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page, shots = review_page, tmp_path_factory.mktemp("shots")
    remote = GitRemote(tmp_path)
    remote.push("main", {"README": "optics\n"})
    page.get_by_role("button", name="New goal").click()
    page.get_by_label("Outline").fill(OUTLINE)
    page.get_by_label("Repository").fill(str(remote.path))
    page.get_by_label("Test command").fill("test -s lens.txt && echo clear")
    page.get_by_role("button", name="Submit goal").click()
    attention, dialog = page.locator("#attention"), page.locator("#dialog")

    look = attention.get_by_role("button", name=f"Review \u201c{TITLE}\u201d")
    expect(look).to_be_visible(timeout=SOON_MS)
    expect(attention).to_contain_text("1 file changed")
    page.screenshot(path=shots / "attention-1440.png")
    look.click()
    expect(dialog.get_by_label("Diff", exact=True)).to_contain_text("+ground roughly")
    expect(dialog.locator(".tests")).to_contain_text("passed")
    page.screenshot(path=shots / "review-1440.png")
    page.set_viewport_size({"width": 390, "height": 844})
    page.screenshot(path=shots / "review-390.png")
    assert page.locator("body").evaluate(FITS)
    assert dialog.evaluate(FITS)
    dialog.get_by_label("Reasons, to reject it").fill("Finer, please.")
    page.screenshot(path=shots / "reasons-390.png")
    dialog.get_by_role("button", name="Reject with these reasons").click()
    expect(dialog).to_be_hidden()

    expect(attention).to_contain_text("attempt 2", timeout=SOON_MS)
    page.screenshot(path=shots / "attention-390.png")
    look.click()
    expect(dialog.get_by_label("Diff", exact=True)).to_contain_text("Finer, please.")
    dialog.get_by_role("button", name="Accept", exact=True).click()

    expect(dialog).to_be_hidden()
    expect(attention).to_have_count(0)
    card = page.locator("article", has_text="Mend the telescope")
    expect(card).to_contain_text("1 of 1 subtasks merged", timeout=SOON_MS)
    card.get_by_role("button", name=TITLE).click()
    expect(dialog).to_contain_text("by human:operator")
