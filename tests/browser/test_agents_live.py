"""Agents, questions and tasks on the dashboard of a real node, each step seen without a reload."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.fake_tool import FakeTool
from tests.support.git_remote import GitRemote

pytestmark = [pytest.mark.browser, pytest.mark.processes]

SOON_MS = 20_000
OUTLINE = """# {title}
- [ ] Tune the receiver
  needs: radio
  ```sh
  true
  ```
"""
COMMIT = (
    "echo tuned > receiver.txt && git add receiver.txt && "
    "git -c user.name=a -c user.email=a@b.invalid commit -qm tune"
)
HOSTILE = "\x1b[1;32mFake\x1b[0m <img src=x onerror=alert(1)> \x1b]0;<b>title</b>\x07"


def _submit(page: Page, folder: Path, title: str) -> Locator:
    remote = GitRemote(folder)
    remote.push("main", {"README": "receivers\n"})
    page.get_by_role("button", name="New goal").click()
    page.get_by_label("Outline").fill(OUTLINE.format(title=title))
    page.get_by_label("Repository").fill(str(remote.path))
    page.get_by_label("Test command").fill("true")
    page.get_by_role("button", name="Submit goal").click()
    goal = page.locator("article", has_text=title)
    expect(goal.get_by_role("button", name="Tune the receiver")).to_be_visible(timeout=SOON_MS)
    return goal


def _subtask_badge(goal: Locator) -> Locator:
    return goal.locator(".subtask .badge")


def test_several_agents_are_registered_at_once(page: Page, fake: FakeTool) -> None:
    page.get_by_role("button", name="Add agents").click()
    page.get_by_label("Name").fill("vega")
    page.get_by_label("How many").fill("2")
    page.get_by_label("Tool").select_option("fake")
    page.get_by_label("Capabilities").fill("radio")
    page.get_by_role("button", name="Add", exact=True).click()

    cards = page.locator("#agents .card", has_text="vega-")
    expect(cards).to_have_count(2)
    for number in (0, 1):
        expect(cards.nth(number).locator(".badge")).to_have_text("ready", timeout=SOON_MS)


def test_a_dialog_and_a_question_are_answered_and_the_goal_gets_done(
    page: Page, fake: FakeTool, tmp_path: Path
) -> None:
    question = {"question": "Which band is it?", "choices": ["L band", "X band"]}
    fake.behave(
        banner=HOSTILE,
        dialog_at_start=True,
        asks=question,
        work_s=0.3,
        commands=[COMMIT],
        claim=True,
    )
    goal = _submit(page, tmp_path, "Hear the pulsar")

    asked = page.locator("#attention .ask", has_text="Is this folder trusted?")
    expect(asked.locator(".screen")).to_contain_text("Do you trust this folder?", timeout=SOON_MS)
    expect(page.locator(".waiting b")).to_have_text("1")
    asked.get_by_role("button", name=re.compile("Look at")).click()
    screen = page.locator("#dialog .screen")
    expect(page.locator("#dialog [data-terminal-state]")).to_have_text("live")
    page.locator("#dialog").get_by_role("button", name="Trust it").click()

    # The terminal moves on by itself, its colours are drawn, and its markup stays text.
    expect(screen).to_contain_text("Asked.", timeout=SOON_MS)
    expect(screen).to_contain_text("Fake <img src=x onerror=alert(1)>")
    expect(screen.locator("span.t-bold.ink-2")).to_have_text("Fake")
    assert screen.locator("img, b, script").count() == 0
    page.keyboard.press("Escape")

    expect(_subtask_badge(goal)).to_have_text("waiting for input")
    asked = page.locator("#attention .ask", has_text="Which band is it?")
    expect(asked.get_by_role("button", name="X band")).to_be_visible()
    field = asked.get_by_label("Your answer")
    field.fill("Neither: the S band")
    # A field that a person made larger must not carry its style over: the policy forbids that.
    field.evaluate("each => { each.style.height = '7rem'; each.blur(); }")
    with page.expect_response(re.compile("/parts/attention")):
        page.evaluate("htmx.trigger('#part-attention', 'voidlux:refresh')")
    expect(field).to_have_value("Neither: the S band")
    asked.get_by_role("button", name="Answer").click()

    expect(asked).to_have_count(0)
    expect(goal.locator(".goal-head .badge")).to_have_text("completed", timeout=SOON_MS)
    assert any("Neither: the S band" in prompt for prompt in fake.prompts())


def test_a_task_shows_its_history_with_who_why_and_evidence(page: Page) -> None:
    page.get_by_role("button", name="Tune the receiver").first.click()

    history = page.locator("#dialog .history li")
    expect(history.first).to_contain_text("merging → completed")
    expect(history.filter(has_text="waiting for input → in progress")).to_have_count(1)
    expect(page.locator("#dialog")).to_contain_text("Neither: the S band")
    expect(page.locator("#dialog")).to_contain_text("vega-")


def test_an_agent_is_paused_and_resumed_in_its_dialog(page: Page) -> None:
    page.get_by_role("button", name="Terminal of vega-1").click()
    dialog = page.locator("#dialog")

    dialog.get_by_role("button", name="Pause for 1 h").click()

    expect(dialog).to_contain_text("by the operator", timeout=SOON_MS)
    card = page.locator("#agents .card", has_text="vega-1")
    expect(card).to_contain_text("paused,", timeout=SOON_MS)
    expect(dialog.get_by_role("button", name="Pause for 1 h")).to_have_count(0)
    dialog.get_by_role("button", name="Resume").click()
    expect(dialog.get_by_role("button", name="Pause for 1 h")).to_be_visible(timeout=SOON_MS)
    expect(card).not_to_contain_text("paused,", timeout=SOON_MS)


def test_a_text_is_sent_and_an_agent_is_interrupted(
    page: Page, fake: FakeTool, tmp_path: Path
) -> None:
    fake.behave(work_s=60)
    goal = _submit(page, tmp_path, "Hear the quasar")
    expect(_subtask_badge(goal)).to_have_text("in progress", timeout=SOON_MS)
    busy = page.locator("#agents .card", has_text="Tune the receiver")
    busy.get_by_role("button", name=re.compile("^Terminal of")).click()
    dialog = page.locator("#dialog")
    expect(dialog.locator(".screen")).to_contain_text("Working", timeout=SOON_MS)

    dialog.get_by_role("button", name="Interrupt").click()

    expect(dialog.locator(".screen")).to_contain_text("Interrupted", timeout=SOON_MS)
    fake.behave(work_s=0)
    dialog.get_by_label(re.compile("Text for vega")).fill("Listen once more.")
    dialog.get_by_role("button", name="Send").click()
    expect(dialog.get_by_label(re.compile("Text for vega"))).to_have_value("")
    expect(dialog.locator(".screen")).to_contain_text("Done.", timeout=SOON_MS)
    assert fake.prompts()[-1] == "Listen once more."


def test_a_task_is_requeued_then_its_goal_cancelled_and_archived(
    page: Page, fake: FakeTool
) -> None:
    fake.behave(work_s=60)
    page.on("dialog", lambda dialog: dialog.accept())
    goal = page.locator("article", has_text="Hear the quasar")
    goal.get_by_role("button", name="Tune the receiver").click()
    dialog = page.locator("#dialog")

    dialog.get_by_role("button", name="Requeue").click()

    again = dialog.locator(".history li", has_text="queued anew on the dashboard")
    expect(again).to_have_count(1)
    expect(dialog.locator(".figures")).to_contain_text("2 of 3", timeout=SOON_MS)
    page.keyboard.press("Escape")
    goal.get_by_role("button", name="Cancel").click()
    expect(goal.locator(".goal-head .badge")).to_have_text("cancelled")
    goal.get_by_role("button", name=re.compile("Archive")).click()
    expect(goal).to_have_count(0)


def test_agents_are_deregistered_from_their_dialogs(page: Page) -> None:
    page.on("dialog", lambda dialog: dialog.accept())

    for name in ("vega-1", "vega-2"):
        page.get_by_role("button", name=f"Terminal of {name}").click()
        page.locator("#dialog").get_by_role("button", name="Deregister").click()
        expect(page.locator("#dialog")).to_be_hidden()
        expect(page.locator("#agents .card", has_text=name)).to_have_count(0)
