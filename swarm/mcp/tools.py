"""The tools that agents call over MCP; their docstrings are what a model reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from p2p.database_thread import DatabaseThread
from p2p.protocol.errors import DomainError
from p2p.protocol.limits import CHOICES_MAX, SUMMARY_CHARS_MAX
from swarm.mcp import calls
from swarm.mcp.results import Answered, Asked, AssignedTask, Noted, Planned
from swarm.outline import ITEMS_MAX
from swarm.plan import PlannedSubtask

R = TypeVar("R")

WAIT_S_MAX = 50.0  # below the shortest time limit of the CLIs, which is a minute
LOOK_EVERY_S = 0.5

TaskId = Annotated[
    str, Field(description="Your task's id, as agent_ready and your prompt name it.")
]
Summary = Annotated[str, Field(description=f"At most {SUMMARY_CHARS_MAX} characters.")]
Tokens = Annotated[int, Field(ge=0, le=10**12)]


class AgentTools:
    """The tools of one server; `caller` tells for which attempt the current call's token is."""

    def __init__(self, database: DatabaseThread, caller: Callable[[], UUID]) -> None:
        self._database = database
        self._caller = caller

    def add_to(self, server: MCPServer[Any]) -> None:
        """Register every tool."""
        for tool in self.all():
            server.tool()(tool)

    def all(self) -> list[Callable[..., Any]]:
        """Return the tools in the order in which an agent meets them."""
        return [
            self.agent_ready,
            self.task_progress,
            self.task_needs_input,
            self.task_answer,
            self.task_complete,
            self.task_failed,
            self.task_plan,
        ]

    async def agent_ready(self) -> AssignedTask:
        """Say that you have started, and get your task.

        Call this first, once, before you do anything else. It returns the task's id, which all
        other tools want, its instructions, and why an earlier attempt was not accepted.
        """
        return await self._call(calls.ready)

    async def task_progress(
        self,
        task_id: TaskId,
        note: Annotated[str, Field(description="One line: what you are doing now.")],
        percent: Annotated[
            int | None, Field(ge=0, le=100, description="How much is done, if you can tell.")
        ] = None,
        tokens_in: Annotated[Tokens, Field(description="Read since your last report.")] = 0,
        tokens_out: Annotated[Tokens, Field(description="Written since your last report.")] = 0,
        cost_usd: Annotated[
            float, Field(ge=0, le=10**6, description="US dollars since your last report.")
        ] = 0.0,
    ) -> Noted:
        """Say what you are doing, so that people can follow. Go on working afterwards.

        Call it at every milestone, and at least every few minutes during long work. Report the
        tokens and the cost that you used since your last report if you know them.
        """
        return await self._call(
            calls.progress,
            task_id,
            note=note,
            percent=percent,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost_usd=cost_usd,
        )

    async def task_needs_input(
        self,
        task_id: TaskId,
        question: Annotated[
            str,
            Field(description=f"The whole question; at most {SUMMARY_CHARS_MAX} characters."),
        ],
        choices: Annotated[
            list[str],
            Field(max_length=CHOICES_MAX, description="Answers to choose from, one line each."),
        ] = [],  # noqa: B006 - read only, and a part of the schema
    ) -> Asked:
        """Ask a person a question that you cannot answer yourself. Returns at once.

        Ask only what blocks you: a missing decision, a permission. Never ask for a secret: the
        answer is stored and shown. The task waits, as long as it takes. Then either end your
        turn, and the answer is typed into your terminal; or, if your program ends with your turn,
        call task_answer until it returns the answer. One question at a time.
        """
        return await self._call(calls.needs_input, task_id, question=question, choices=choices)

    async def task_answer(
        self,
        task_id: TaskId,
        wait_s: Annotated[
            float, Field(ge=0, le=WAIT_S_MAX, description="Seconds to wait for the answer.")
        ] = 0.0,
    ) -> Answered:
        """Get the answer to your last question, waiting for it up to `wait_s` seconds.

        Call it again while `answered` is false. Getting the answer counts as having read it.
        """
        ends_at = time.monotonic() + wait_s
        while True:
            result = await self._call(calls.answer, task_id)
            left_s = ends_at - time.monotonic()
            if result.answered or left_s <= 0:
                return result
            await asyncio.sleep(min(LOOK_EVERY_S, left_s))

    async def task_complete(
        self,
        task_id: TaskId,
        summary: Summary,
        commit: Annotated[
            str, Field(description="The commit with your work; everything else is committed too.")
        ] = "",
    ) -> Noted:
        """Say that the task is done. Call it once, last, then end your turn.

        What you have not committed is committed for you, your branch is pushed, merged with the
        others' work and tested. Only a commit that passes completes the task; otherwise somebody
        is given it again with the output of the tests. So run the tests before you call this.
        """
        return await self._call(calls.complete, task_id, summary=summary, commit=commit)

    async def task_failed(
        self,
        task_id: TaskId,
        reason: Annotated[str, Field(description="What stops you, and what you tried.")],
    ) -> Noted:
        """Give the task up. Call it once, last, then end your turn.

        Call it when the task cannot be done as it is written. If a person's answer would help,
        call task_needs_input instead. Your work so far is saved on the branch, and the next
        attempt is told your reason.
        """
        return await self._call(calls.failed, task_id, reason=reason)

    async def task_plan(
        self,
        task_id: TaskId,
        subtasks: Annotated[
            list[PlannedSubtask],
            Field(description=f"1 to {ITEMS_MAX} subtasks that together reach the goal."),
        ],
    ) -> Planned:
        """Hand in the plan of a goal. Only for a task that agent_ready calls `planning`.

        Cut the goal into parts that can be done apart, in worktrees of their own, and merged:
        touch different files where you can, and let a part depend on another only where it needs
        its result. The plan is checked as a whole: if anything is wrong, nothing is stored and
        the error says what to change. When it is stored your work is over: end your turn.
        """
        return await self._call(calls.plan, task_id, subtasks=subtasks)

    async def _call(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Run a call on the database thread; a refusal becomes an error that the agent reads."""
        attempt_id = self._caller()
        try:
            return await self._database.run(function, attempt_id, *args, **kwargs)
        except DomainError as refusal:
            raise ToolError(f"{refusal.code}: {refusal}") from refusal
