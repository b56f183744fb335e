"""A run of a tool that takes prompts: its session, its end, and what it left on the screen.

Blocking calls of git and tmux without any database, as in `swarm.agents.steps`.
"""

from __future__ import annotations

import time

from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents import run_block
from swarm.agents.adapters import ToolAdapter, tool_named
from swarm.agents.places import run_dir_of, worktree_of
from swarm.agents.prompts import prepare_launch
from swarm.agents.steps import publish, tmux_server
from swarm.agents.tmux import TmuxServer
from swarm.mcp.access import McpAccess
from swarm.models import Agent, Attempt

EXIT_WAIT_S = 3.0
INTERRUPT_WAIT_S = 0.5
POLL_S = 0.1
TAIL_LINES = 60


def start(attempt: Attempt, access: McpAccess) -> None:
    """Start the tool in a fresh session in the worktree; what ran in the old one is ended."""
    agent = agent_of(attempt)
    launch = prepare_launch(tool_named(agent.tool), attempt, access)
    tmux = tmux_server()
    tmux.kill_session(agent.session)
    tmux.ensure_session(
        agent.session, cwd=worktree_of(attempt), env=launch.env, command=launch.command
    )


def end_of(attempt: Attempt) -> tuple[str, int | None, str] | None:
    """Return how the tool ended: rule, exit code and its last lines; None while it lives."""
    tmux, session = tmux_server(), agent_of(attempt).session
    try:
        status = tmux.pane_dead(session)
    except ExternalError:
        if tmux.has_session(session):
            raise
        return "lost", None, f"session {session} is gone"
    if status is None:
        return None
    return "exited", status, tmux.capture(session, TAIL_LINES)


def stop(attempt: Attempt) -> None:
    """Interrupt the tool, ask it to exit, then end its session; keeps its last lines as output."""
    agent = agent_of(attempt)
    tmux = tmux_server()
    if not tmux.has_session(agent.session):
        return
    _ask_to_exit(tmux, agent)
    keep_output(attempt, tmux.capture(agent.session, TAIL_LINES))
    tmux.kill_session(agent.session)


def interrupt(agent: Agent) -> None:
    """Press the keys that interrupt the agent's tool; DomainError `no_session` without a session.

    What the agent does with it is its own affair: its run goes on, and is judged as ever.
    """
    tmux = tmux_server()
    if not tmux.has_session(agent.session) or tmux.pane_dead(agent.session) is not None:
        raise DomainError("no_session", f"agent {agent.name} has no program that runs")
    tmux.send_keys(agent.session, tool_named(agent.tool).interrupt)


def end_session(agent: Agent) -> None:
    """End an agent's session as its tool wants it: interrupt, exit command, then the session."""
    tmux = tmux_server()
    if tmux.has_session(agent.session):
        _ask_to_exit(tmux, agent)
        tmux.kill_session(agent.session)


def keep_output(attempt: Attempt, text: str) -> None:
    """Keep the last lines of the terminal where a run's output is looked for."""
    run_dir = run_dir_of(attempt)
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (run_dir / run_block.OUTPUT).write_text(text, encoding="utf-8")


def publish_claimed(attempt: Attempt) -> str:
    """Stop the tool, then do what `swarm.agents.steps.publish` does with what it left."""
    stop(attempt)
    return publish(attempt)


def agent_of(attempt: Attempt) -> Agent:
    """Return the agent of an attempt; DomainError `agent_gone` where it was removed."""
    if attempt.agent is None:
        raise DomainError("agent_gone", f"the agent of attempt {attempt.id} was removed")
    return attempt.agent


def _ask_to_exit(tmux: TmuxServer, agent: Agent) -> None:
    tool: ToolAdapter = tool_named(agent.tool)
    try:
        if tool.deliver != "prompt" or tmux.pane_dead(agent.session) is not None:
            return
        tmux.send_keys(agent.session, tool.interrupt)
        if _ended(tmux, agent.session, INTERRUPT_WAIT_S) or not tool.exit:
            return
        tmux.paste(agent.session, tool.exit, enter=False)
        tmux.send_keys(agent.session, tool.typing.submit)
        _ended(tmux, agent.session, EXIT_WAIT_S)
    except ExternalError:
        return  # it has ended meanwhile; its session is ended next


def _ended(tmux: TmuxServer, session: str, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if tmux.pane_dead(session) is not None:
            return True
        time.sleep(POLL_S)
    return False
