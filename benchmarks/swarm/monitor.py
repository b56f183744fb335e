"""What it costs to follow 20 working agents: CPU of the monitor's process as a share of a core.

Run as `python -m benchmarks.swarm.monitor [agents] [seconds]`; needs tmux. Every agent redraws a
spinner ten times a second, as agent CLIs do, and nobody watches.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.swarm.result import print_rounds

SPINNER = r"""
import itertools, sys, time
for turn in itertools.count():
    line = "=" * 60 + "\r\n> \r\n" + "=" * 60
    spin = "|/-"[turn % 3] + " Working (ctrl+c to interrupt)"
    sys.stdout.write(f"\x1b[2J\x1b[HTask {turn // 50}\r\n{spin}\r\n{line}")
    sys.stdout.flush()
    time.sleep(0.1)
"""
TOOL = """
name = "spinner"
start = [{python}, "-c", {program}]
deliver = "prompt"
[[screen]]
name = "spinner"
state = "working"
match = 'ctrl\\+c to interrupt'
[[screen]]
name = "box"
state = "ready"
match = '^>'
"""


def main(agents: int, seconds: float) -> None:
    """Measure and print; the home and the tmux server are the program's own."""
    with tempfile.TemporaryDirectory(prefix="vlbench-") as folder:
        os.environ["VOIDLUX_HOME"] = folder
        os.environ["TMUX_TMPDIR"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "voidlux_site.settings"
        import django

        django.setup()
        asyncio.run(_measure(Path(folder), agents, seconds))


async def _measure(home: Path, count: int, seconds: float) -> None:
    from p2p.database_thread import DatabaseThread
    from swarm.agents.monitor import Monitor
    from swarm.agents.steps import tmux_server
    from swarm.models import Agent
    from voidlux_site.node.start_up import migrate

    (home / "tools").mkdir()
    text = TOOL.format(python=json.dumps(sys.executable), program=json.dumps(SPINNER))
    (home / "tools" / "spinner.toml").write_text(text)
    database = DatabaseThread()
    await database.run(migrate)
    await database.run(_make_agents, count)
    monitor = asyncio.create_task(Monitor(database, asyncio.Event()).run())
    try:
        await wait_for_all(database, Agent.objects.filter(rule="spinner"), count)
        before, began = _cpu_s(), time.monotonic()
        await asyncio.sleep(seconds)
        share = (_cpu_s() - before) / (time.monotonic() - began)
        print_rounds("% of a core", {"monitor": [100 * share]})
    finally:
        monitor.cancel()
        await asyncio.gather(monitor, return_exceptions=True)
        terminals = tmux_server()
        for session in terminals.list_sessions():
            terminals.kill_session(session)
        database.stop()


async def wait_for_all(database: Any, rows: Any, count: int) -> None:
    """Return when there are `count` rows; TimeoutError after a minute."""
    async with asyncio.timeout(60):
        while await database.run(rows.count) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def _make_agents(count: int) -> None:
    from p2p.clock import now_utc
    from p2p.local import local_node
    from swarm.agents.adapters import tool_named
    from swarm.agents.models import Delivery
    from swarm.agents.steps import tmux_server
    from swarm.clean_env import clean_environment
    from swarm.models import Agent, Attempt
    from swarm.services.agents import register_agents

    tool, now = tool_named("spinner"), now_utc()
    made = register_agents(count=count, prefix="a", tool="spinner", capabilities=[], now=now)
    for number, agent in enumerate(made):
        attempt = Attempt.objects.create(
            task_id=uuid4(),
            assigner_node_id="0" * 32,
            title="t",
            number=1,
            generation=number,
            repository="none",
            base_commit="0" * 40,
            branch="b",
            status="working",
            created_at=now,
        )
        Agent.objects.filter(id=agent.id).update(attempt=attempt)
        Delivery.objects.create(
            agent=agent,
            attempt=attempt,
            kind="prompt",
            text="t",
            status="acknowledged",
            queued_at=now,
        )
        tmux_server().ensure_session(
            agent.session, cwd=local_node().home, env=clean_environment(), command=tool.start
        )


def _cpu_s() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


if __name__ == "__main__":
    numbers = [float(word) for word in sys.argv[1:]]
    main(int(numbers[0]) if numbers else 20, numbers[1] if len(numbers) > 1 else 20.0)
