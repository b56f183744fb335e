"""Dialogs of an agent CLI in a real terminal: they block, and each is answered once."""

from __future__ import annotations

import asyncio
import time

import pytest

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.agents import dialogs
from swarm.agents.places import run_dir_of
from swarm.agents.signals import SIGNALS
from swarm.models import Agent
from swarm.services.deliveries import queue_delivery
from tests.support.agent_bench import Bench
from tests.support.waiting import wait_for

HOOKS = """
[hooks]
file = "{run_dir}/hooks.json"
content = "{}"
states = { tool_used = "working" }
"""

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_dialog_at_the_start_blocks_the_delivery_until_it_is_answered(
    bench: Bench,
) -> None:
    bench.fake.behave(dialog_at_start=True)
    await bench.assign()

    agent = await bench.until_agent("blocked", "trust")
    waiting = await bench.until_delivery(
        "queued", "the agent is blocked: Do you trust this folder?"
    )
    assert (waiting.tries, bench.fake.pressed()) == (0, b"")
    assert agent.dialog is not None and len(agent.dialog["id"]) == 16
    assert {name: value for name, value in agent.dialog.items() if name != "id"} == {
        "name": "trust",
        "asks": "Is this folder trusted?",
        "choices": [{"name": "yes", "label": "Trust it"}, {"name": "no", "label": "Exit"}],
    }

    bench.press("1")

    await bench.until_delivery("acknowledged")
    assert len(bench.fake.prompts()) == 1


async def test_of_two_answers_at_once_to_a_dialog_one_is_given(bench: Bench) -> None:
    bench.fake.behave(dialog_at_start=True)
    await bench.assign()
    agent = await bench.until_agent("blocked", "trust")

    def say_yes() -> bool | str:
        try:
            shown = agent.dialog["id"]
            return dialogs.answer(agent, dialog_name="trust", dialog_id=shown, choice_name="yes")
        except DomainError as refusal:
            return refusal.code

    answers = await asyncio.gather(asyncio.to_thread(say_yes), asyncio.to_thread(say_yes))

    assert answers.count(True) == 1
    assert set(answers) <= {True, "being_answered", "no_dialog"}
    await bench.until_delivery("acknowledged")
    assert b"1" not in bench.fake.pressed()  # keys that a dialog takes are not kept


async def test_an_answer_to_a_dialog_never_goes_to_the_next_one_of_its_kind(bench: Bench) -> None:
    bench.fake.behave(ask_permission=["make test", "make clean"])
    await bench.assign()
    first = await bench.until_agent("blocked", "permission")
    assert first.dialog is not None
    shown = first.dialog["id"]
    bench.press("1")  # a person at the terminal

    async def asks_anew() -> Agent | None:
        agent = await bench.agent()
        return agent if agent.dialog and agent.dialog["id"] != shown else None

    second = await bench.until(asks_anew)

    assert (second.status, second.rule) == ("blocked", "permission")
    with pytest.raises(DomainError, match="asks something else") as refused:
        await asyncio.to_thread(
            dialogs.answer, first, dialog_name="permission", dialog_id=shown, choice_name="yes"
        )
    assert refused.value.code == "dialog_changed"
    assert (await bench.agent()).dialog == second.dialog
    assert second.dialog is not None
    assert await asyncio.to_thread(
        dialogs.answer,
        second,
        dialog_name="permission",
        dialog_id=second.dialog["id"],
        choice_name="yes",
    )
    await bench.until_agent("waiting_input", "prompt_box")


async def test_a_signal_hides_no_open_dialog(bench: Bench) -> None:
    bench.fake.install(bench.home, more=HOOKS)
    bench.fake.behave(ask_permission=["make test"])
    await bench.assign()
    agent = await bench.until_agent("blocked", "permission")

    with (run_dir_of(await bench.attempt()) / SIGNALS).open("a") as signals:
        signals.write(f"tool_used {time.time()}\n")  # of another call at the same time

    async def heard() -> Agent | None:
        looked_at = await bench.agent()
        rules = {each["rule"] for each in looked_at.considered}
        return looked_at if looked_at.status == "blocked" and "tool_used" in rules else None

    assert (await bench.until(heard)).dialog == agent.dialog


async def test_a_dialog_that_swallows_the_paste_gets_no_submit_key(bench: Bench) -> None:
    bench.fake.behave(dialog_on_paste=True)
    await bench.assign()

    await bench.until_delivery("queued", "the agent is blocked: Do you trust this folder?")
    assert (bench.fake.prompts(), bench.fake.pressed()) == ([], b"")
    bench.press("1")

    delivery = await bench.until_delivery("acknowledged")
    assert (delivery.tries, bench.fake.prompts()) == (2, [delivery.text])
    assert bench.fake.pressed() == b"\x15\r"


async def test_a_permission_dialog_is_a_block_with_a_way_to_answer(bench: Bench) -> None:
    bench.fake.behave(ask_permission=["make test"], work_s=0.5)
    await bench.assign()

    agent = await bench.until_agent("blocked", "permission")

    assert agent.dialog is not None
    assert agent.dialog["choices"] == [{"name": "yes", "label": "Run it"}]
    message = await bench.db(queue_delivery, agent, "send", "go on", now_utc())
    bench.press("1")
    await bench.until_agent("waiting_input")
    await wait_for(lambda: bench.fake.prompts()[1:] == ["go on"])
    assert message.status == "queued"
