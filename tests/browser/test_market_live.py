"""The market of two real nodes in a real browser: a request, a decision, work and its payment."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.deals import small_repository
from tests.support.nodes import ROOT, RealNode, start_all

pytestmark = [pytest.mark.browser, pytest.mark.processes]

PAID_MS = 90_000
PRICE = 7
OUTLINE = "# Buy a greeting\n- [ ] Say hello\n  ```sh\n  echo hello > hello.txt\n  ```\n"


@pytest.fixture
def seller(tmp_path: Path) -> Iterator[RealNode]:
    node = RealNode(tmp_path / "seller", swarm="orion", agents="1", allow_nodes="")
    yield node
    node.end()


@pytest.fixture
def buyer(tmp_path: Path, seller: RealNode) -> Iterator[RealNode]:
    node = RealNode(tmp_path / "buyer", swarm="lyra", agents="0", seeds=seller.address)
    yield node
    node.end()


def _opened(browser: Browser, node: RealNode, complaints: list[str]) -> Page:
    """Return the dashboard of a node, logged in with a link from its shell."""
    asked = [sys.executable, "manage.py", "loginlink"]
    done = subprocess.run(
        asked, cwd=ROOT, env=node.environment(), capture_output=True, text=True, check=True
    )
    link = re.search(r"/login/\S+", done.stdout)
    assert link is not None, done.stdout
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    url = f"http://{node.host}:{node.http_port}"
    page.goto(url + link[0])
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


def test_a_stranger_asks_is_accepted_and_pays_before_ones_eyes(
    browser: Browser, tmp_path: Path, seller: RealNode, buyer: RealNode
) -> None:
    start_all(seller, buyer)
    repository = str(small_repository(tmp_path).path)
    body = {"description": OUTLINE, "repository": repository, "test_command": ""}
    buyer.post("/tasks", body)
    complaints: list[str] = []
    selling, buying = (_opened(browser, node, complaints) for node in (seller, buyer))
    goal = buying.locator("article", has_text="Buy a greeting")
    expect(goal.locator(".goal-head .badge")).to_have_text("in progress")
    for page in (selling, buying):
        page.get_by_role("link", name="Market").click()
        expect(page.locator("#live")).to_have_attribute("data-state", "live")

    # Announced: the policy is set in its dialog, both pages show the offering.
    selling.get_by_role("button", name="Change the selling policy").click()
    selling.get_by_label("Sell idle agents").check()
    selling.get_by_label("Price per task (VOID)").fill(str(PRICE))
    selling.get_by_role("button", name="Save").click()
    expect(selling.locator("#part-market-selling")).to_contain_text("1 of 1 agent is offered now")
    expect(selling.locator("#part-market-offerings .mark")).to_have_text("yours")
    offer = buying.locator("#part-market-offerings .card", has_text="orion")
    expect(offer).to_contain_text("7 VOID/task")

    # Requested: the seller's queue says who asks for what, and counts down.
    offer.get_by_role("button", name=re.compile("^Request tribute")).click()
    buying.get_by_role("button", name="Request tribute", exact=True).click()
    expect(buying.locator("#part-wallet")).to_contain_text(re.compile(r"Held\s*7"))
    waiting = selling.locator("#queue .card")
    expect(waiting).to_contain_text("1 task for 7 VOID")
    expect(selling.locator("#part-waiting")).to_have_text("1 needs you")
    clock = waiting.locator("time")
    first = clock.text_content() or ""
    expect(clock).not_to_have_text(first)
    for width in (390, 1440):
        selling.set_viewport_size({"width": width, "height": 900})
        assert selling.evaluate("document.documentElement.scrollWidth") == width

    # Accepted, at work, completed and paid, each without a reload.
    waiting.get_by_role("button", name=re.compile("^Accept the request.*once$")).focus()
    selling.keyboard.press("Enter")
    expect(selling.locator("#queue")).to_have_count(0)
    for page, words in ((selling, "Selling to"), (buying, "Buying from")):
        deal = page.locator("#part-market-tributes .card", has_text=words)
        expect(deal.locator(".row-head .badge")).to_have_text("completed", timeout=PAID_MS)
        expect(deal.locator(".executions")).to_contain_text(re.compile("7 VOID (voted|committed)"))
        expect(deal).to_contain_text("VOID: 7 paid · 0 given back · 0 open")
    credit = selling.locator("#part-market-ledger [data-kind=credit]")
    expect(credit).to_contain_text("+7")
    expect(selling.locator("#part-market-ledger .totals")).to_contain_text("1,007")
    expect(buying.locator("#part-market-ledger .totals")).to_contain_text("993")
    expect(selling.locator("#part-market-partners")).to_contain_text("owes 7 of at most 1,000")

    # Filtered, the log stays so when it is drawn anew.
    selling.get_by_label("Kind").select_option("grant")
    expect(credit).to_have_count(0)
    selling.evaluate("htmx.trigger('#part-market-ledger', 'voidlux:refresh')")
    expect(selling.locator("#part-market-ledger tbody tr")).to_have_count(1)

    # Withdrawn: it leaves the buyer's list and is remembered with its reason.
    selling.on("dialog", lambda dialog: dialog.accept())
    selling.get_by_role("button", name="Stop selling").click()
    expect(selling.locator("#part-market-ended")).to_contain_text("selling was switched off")
    expect(buying.locator("#part-market-offerings")).to_contain_text("Nobody sells agents now.")
    assert complaints == []
    selling.context.close()
    buying.context.close()
