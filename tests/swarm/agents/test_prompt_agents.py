"""An agent CLI in a real terminal, driven by the agent loop: delivery, states and ends."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from p2p.clock import now_utc
from p2p.protocol.errors import DomainError
from swarm.agents import delivery as typing
from swarm.agents import looking, prompt_run, prompt_runner, steps, typing_rules
from swarm.git.command import run_git
from swarm.mcp.access import McpAccess
from swarm.services import attempts
from swarm.services.agents import watch_agent
from swarm.services.deliveries import try_again
from tests.support.agent_bench import Bench
from tests.support.mcp_endpoint import mcp_endpoint
from tests.support.terminals import end_terminals
from tests.support.waiting import is_alive, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


COMMIT = (
    "echo hello > hello.txt && git add hello.txt && "
    "git -c user.name=a -c user.email=a@b.invalid commit -qm hello"
)


async def test_a_task_from_prompt_to_verified_commit(bench: Bench) -> None:
    bench.fake.behave(commands=[COMMIT])
    await bench.assign()

    delivery = await bench.until_delivery("acknowledged")
    await bench.until_agent("waiting_input", "prompt_box")
    await bench.claim()
    attempt = await bench.until_attempt("succeeded")

    assert bench.fake.prompts() == [delivery.text]
    assert "Write hello.txt." in delivery.text and delivery.tries == 1
    assert bench.remote.refs()[f"refs/heads/{attempt.branch}"] == attempt.commit
    assert attempt.acknowledged_at is not None
    await bench.until_agent("ready")
    await wait_for(lambda: bench.session not in steps.live_sessions())


async def test_a_claimed_commit_that_the_branch_does_not_hold_is_no_completion(
    bench: Bench,
) -> None:
    bench.fake.behave(commands=[COMMIT])
    await bench.assign()
    await bench.until_delivery("acknowledged")
    await bench.until_agent("waiting_input", "prompt_box")

    await bench.claim(commit="c0ffee" + "0" * 34)

    attempt = await bench.until_attempt("failed")
    assert attempt.error.startswith("the agent named c0ffee")


@pytest.mark.parametrize(("moment", "code"), [("at_start", 3), ("on_paste", 9), ("at_work", 9)])
async def test_a_crash_fails_the_attempt_with_its_evidence(
    bench: Bench, moment: str, code: int
) -> None:
    bench.fake.behave(crash=moment)
    await bench.assign()

    attempt = await bench.until_attempt("failed")

    assert attempt.error.splitlines()[0] == f"fake ended without a claim: it ended with {code}"
    assert attempt.exit_code == code
    assert (await bench.delivery()).status in ("failed", "acknowledged")  # type: ignore[union-attr]


async def test_a_crash_before_any_work_puts_off_the_agents_next_start(bench: Bench) -> None:
    bench.fake.behave(crash="at_start")
    await bench.assign()

    # First, because it lasts two seconds only; saving what the run left may take longer.
    agent = await bench.until_agent("exited", "crashed")
    assert agent.crashes == 1 and agent.restart_at is not None
    await bench.until_attempt("failed")
    await bench.until_agent("ready", "tool_installed")


async def test_a_slow_boot_is_waited_for(bench: Bench) -> None:
    bench.fake.behave(boot_s=1.5)
    await bench.assign()

    starting = await bench.until_agent("starting", "booting")
    assert starting.source == "silence"
    delivery = await bench.until_delivery("acknowledged")
    assert delivery.tries == 1


async def test_defect_19_a_blank_screen_is_unknown_and_kills_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "BOOT_S", 0.3)
    bench.fake.behave(blank=True)
    await bench.assign()

    agent = await bench.until_agent("unknown", "nothing_read")

    delivery = await bench.until_delivery("queued", "the agent is unknown")
    assert (agent.source, agent.evidence) == ("silence", "its screen is blank")
    assert (delivery.tries, bench.fake.pressed()) == (0, b"")
    assert is_alive(steps.tmux_server().pane_pid(bench.session))
    assert (await bench.attempt()).status == "working"


async def test_control_characters_of_a_prompt_never_act_as_keys(bench: Bench) -> None:
    await bench.assign("One\x1b[201~\x03 two\x00 three\x1b[31m red\x07\r\nfour\x9b2J")

    delivery = await bench.until_delivery("acknowledged")

    assert "\nOne two three red\nfour2J\n" in delivery.text
    assert delivery.removed_chars == 15
    assert (bench.fake.prompts(), bench.fake.pressed()) == ([delivery.text], b"\r")


async def test_a_prompt_of_100_kb_arrives_byte_for_byte(bench: Bench) -> None:
    line = "Grüße, 你好 — \t tab, 'quotes' \"double\" $(no) `no` \\ | ; end\n"
    await bench.assign(line * (100_000 // len(line.encode()) + 1))

    delivery = await bench.until_delivery("acknowledged")

    assert len(delivery.text.encode()) > 100_000
    assert bench.fake.prompts() == [delivery.text]


async def test_a_tool_that_is_not_installed_is_said_and_not_tried_again_and_again(
    bench: Bench,
) -> None:
    path = bench.home / "tools" / "fake.toml"
    missing = 'start = ["no-such-agent-cli"]\n'
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(missing if line.startswith("start") else line for line in lines))

    await bench.register()

    agent = await bench.until_agent("exited", "tool_missing")
    assert agent.evidence == "no-such-agent-cli is not in PATH: install fake on this node"
    assert agent.crashes == 0
    assert steps.live_sessions() == set()


async def test_a_killed_tmux_server_fails_the_attempt_as_lost(bench: Bench) -> None:
    await bench.assign()
    await bench.until_delivery("acknowledged")

    end_terminals(steps.tmux_server())

    attempt = await bench.until_attempt("failed")
    assert attempt.error.startswith("fake ended without a claim: its session is gone")
    await bench.until_agent("ready")


async def test_a_killed_agent_fails_the_attempt_with_its_signal(bench: Bench) -> None:
    await bench.assign()
    await bench.until_delivery("acknowledged")

    os.kill(steps.tmux_server().pane_pid(bench.session), signal.SIGKILL)

    attempt = await bench.until_attempt("failed")
    assert attempt.exit_code == 128 + signal.SIGKILL


async def test_defect_18_a_lost_prompt_is_typed_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typing, "PASTE_SEEN_S", 0.4)
    bench.fake.behave(swallow_pastes=1)
    await bench.assign()

    delivery = await bench.until_delivery("acknowledged")

    assert (delivery.tries, bench.fake.prompts()) == (2, [delivery.text])


async def test_defect_18_a_prompt_that_never_arrives_is_shown_as_stalled_and_can_be_retried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typing, "PASTE_SEEN_S", 0.2)
    bench.fake.behave(swallow_pastes=3)
    await bench.assign()

    stalled = await bench.until_delivery("queued", "typed 3 times", stalled=True)

    assert (await bench.attempt()).status == "working"
    assert is_alive(steps.tmux_server().pane_pid(bench.session))
    assert "not seen in the input box" in stalled.reason
    await bench.db(try_again, stalled.id, now=now_utc())
    delivery = await bench.until_delivery("acknowledged")
    assert bench.fake.prompts() == [delivery.text]


async def test_a_submit_key_that_is_ignored_is_pressed_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typing_rules, "ACKNOWLEDGE_WAIT_S", 0.3)
    bench.fake.behave(ignore_submits=1, work_s=1)
    await bench.assign()

    delivery = await bench.until_delivery("acknowledged")

    assert bench.fake.prompts() == [delivery.text]
    assert bench.fake.pressed() == b"\r\r"


async def test_a_cancelled_run_is_interrupted_and_its_session_ended(bench: Bench) -> None:
    bench.fake.behave(work_s=60)
    await bench.assign()
    await bench.until_agent("working", "spinner")
    pid = steps.tmux_server().pane_pid(bench.session)

    await bench.db(attempts.cancel, bench.attempt_id, reason="not wanted", now=now_utc())
    bench.ring()

    await wait_for(lambda: not is_alive(pid))
    await wait_for(lambda: bench.session not in steps.live_sessions())
    assert b"\x03" in bench.fake.pressed()


async def test_a_run_outlives_the_node_and_is_followed_by_the_next(bench: Bench) -> None:
    bench.fake.behave(commands=[COMMIT])
    await bench.assign()
    await bench.until_delivery("acknowledged")
    await bench.until_agent("waiting_input", "prompt_box")
    pid = steps.tmux_server().pane_pid(bench.session)
    await bench.loop.stop()
    bench.loop = bench.new_loop()
    again = asyncio.create_task(bench.loop.run())

    assert is_alive(pid)
    await bench.claim()

    attempt = await bench.until_attempt("succeeded")
    assert bench.remote.refs()[f"refs/heads/{attempt.branch}"] == attempt.commit
    assert len(bench.fake.prompts()) == 1
    await bench.loop.stop()
    again.cancel()


async def test_a_screen_is_shown_only_to_who_watches_it(bench: Bench) -> None:
    bench.fake.behave(work_s=1)
    await bench.assign()
    await bench.until_delivery("acknowledged")
    assert bench.screens == []

    await bench.db(watch_agent, bench.agent_id, now=now_utc())
    bench.ring()

    await wait_for(lambda: any("Done." in each["screen"] for each in bench.screens))
    assert {each["agent_id"] for each in bench.screens} == {bench.agent_id.hex}


async def test_a_watched_screen_comes_with_its_colours_and_plain(bench: Bench) -> None:
    bench.fake.behave(banner="\x1b[1;32mgreen\x1b[0m and \x1b[38;2;250;100;0morange\x1b[0m")
    await bench.assign()
    await bench.db(watch_agent, bench.agent_id, now=now_utc())
    bench.ring()

    await wait_for(lambda: any("Done." in each["screen"] for each in bench.screens))

    last = bench.screens[-1]
    assert "green and orange" in last["screen"] and "\x1b" not in last["screen"]
    assert "\x1b[38;2;250;100;0morange" in last["coloured"]


async def test_an_interrupt_presses_the_keys_of_the_tool(bench: Bench) -> None:
    bench.fake.behave(work_s=60)
    await bench.assign()
    await bench.until_delivery("acknowledged")

    prompt_run.interrupt(await bench.agent())

    await bench.until_agent("waiting_input", "prompt_box")
    assert b"\x03" in bench.fake.pressed()
    assert (await bench.attempt()).status == "working"


async def test_what_has_no_program_cannot_be_interrupted(bench: Bench) -> None:
    await bench.register()
    agent = await bench.until_agent("ready")

    with pytest.raises(DomainError) as refused:
        prompt_run.interrupt(agent)

    assert refused.value.code == "no_session"


async def test_the_tool_gets_its_access_and_calls_with_its_token(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mcp = '\n[mcp]\nenvironment = { FAKE_MCP_URL = "{url}", FAKE_MCP_TOKEN = "{token}" }\n'
    bench.fake.install(bench.home, mcp)
    bench.fake.behave(commands=[COMMIT], claim=True)
    with mcp_endpoint() as (url, calls):
        monkeypatch.setattr(prompt_runner, "config_for", lambda _: McpAccess(url, "t0ken"))
        await bench.assign()
        await wait_for(lambda: calls)
        attempt = await bench.attempt()

    called = {"task_id": attempt.task_id.hex, "summary": "did it", "commit": ""}
    assert calls == [("Bearer t0ken", {"name": "task_complete", "arguments": called})]


async def test_a_config_file_in_the_worktree_stays_out_of_commits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mcp = '\n[mcp]\nfile = "{worktree}/.fake/mcp.json"\ncontent = "{url} {token}"\nexclude = true\n'
    bench.fake.install(bench.home, mcp)
    monkeypatch.setattr(prompt_runner, "config_for", lambda _: McpAccess("http://h/mcp", "t0ken"))
    bench.fake.behave(commands=["cat .fake/mcp.json > seen", COMMIT])
    await bench.assign()
    await bench.until_delivery("acknowledged")
    await bench.until_agent("waiting_input", "prompt_box")
    await bench.claim()

    attempt = await bench.until_attempt("succeeded")

    listed = run_git(["ls-tree", "-r", "--name-only", attempt.commit], cwd=bench.remote.path)
    assert listed.stdout.split() == ["README", "hello.txt", "seen"]
