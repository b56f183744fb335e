"""The swarm's messages: an assignment, and the reports that answer it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from p2p.protocol.fields import (
    Amount,
    Body,
    Count,
    Detail,
    GitRef,
    Name,
    NodeId,
    OptionalName,
    Sha,
    SmallCount,
    Summary,
    Title,
    Url,
    Uuid,
    about,
)
from p2p.protocol.limits import CHOICES_MAX, REPORT_FRAME_BYTES_MAX, SMALL_COUNT_MAX
from p2p.protocol.messages import Command
from p2p.protocol.numbers import MessageNumber
from swarm.replication.messages import ComplexityName, Term


class TaskSpec(Struct, frozen=True, kw_only=True):
    """The whole task, so that its executor needs nothing else of the assigner."""

    id: Annotated[Uuid, about("task id; branches carry its first 8 digits")]
    title: Annotated[Title, about("one line")]
    instructions: Annotated[Body, about("what to do, Markdown")] = ""
    shell: Annotated[Body, about("what the shell tool runs")] = ""
    feedback: Annotated[Summary, about("why the last attempt was not accepted")] = ""
    repository: Annotated[Url, about("git remote that executor and assigner share")]
    attempt: Annotated[SmallCount, about("attempt number, from 1")]
    previous_branch: Annotated[GitRef | None, about("branch of the attempt before, if any")] = None
    acceptance_criteria: Annotated[Body, about("when it is done")] = ""
    complexity: Annotated[ComplexityName, about("how much work it is")] = "medium"
    time_limit_s: Annotated[Count | None, about("how long the run may take, seconds")] = None
    token_limit: Annotated[Amount | None, about("tokens that the run may use")] = None
    cost_limit_micros: Annotated[
        Amount | None, about("what the run may cost, millionths of a US dollar")
    ] = None


class TaskAssign(Command, frozen=True, kw_only=True, tag=MessageNumber.TASK_ASSIGN.value):
    """Give a task to an agent of the receiver; answered by CLAIM or FAIL.

    Across swarms it names the tribute that pays and the receiver picks the agent; within a swarm
    it names the agent and the emperor's term.
    """

    task: Annotated[TaskSpec, about("the whole task")]
    base_commit: Annotated[Sha, about("where the work starts; the remote has it")]
    generation: Annotated[Count, about("the dispatch's number; reports repeat it")]
    tribute_id: Annotated[Uuid | None, about("the tribute that pays for it")] = None
    agent_id: Annotated[Uuid | None, about("the agent, within a swarm")] = None
    term: Annotated[Term | None, about("the emperor's term, within a swarm")] = None


class Report(Command, frozen=True, kw_only=True):
    """What every report of an executor to its assigner carries."""

    task_id: Annotated[Uuid, about("the task")]
    agent_id: Annotated[Uuid, about("the agent that the executor picked")]
    generation: Annotated[Count, about("as in the TASK_ASSIGN; an older one is refused")]


class TaskClaim(Report, frozen=True, kw_only=True, tag=MessageNumber.TASK_CLAIM.value):
    """The executor took the task and will work on it."""

    node_id: Annotated[NodeId, about("the executor's node id")]
    agent_name: Annotated[Title, about("name of the agent, for people")]
    git_branch: Annotated[GitRef, about("branch that the work will be pushed to")]


class TaskProgress(Report, frozen=True, kw_only=True, tag=MessageNumber.TASK_PROGRESS.value):
    """A sign of life across swarms: renews the task's lease and shows its progress."""

    status: Annotated[Name, about("`in_progress`")]
    progress: Annotated[Detail, about("last line of the agent's output")]
    git_branch: Annotated[GitRef, about("branch that the work will be pushed to")]


class TaskComplete(Report, frozen=True, kw_only=True, tag=MessageNumber.TASK_COMPLETE.value):
    """The work is pushed; it counts when the remote shows `commit` on `git_branch`."""

    git_branch: Annotated[GitRef, about("the pushed branch")]
    commit: Annotated[Sha, about("head of the pushed branch")]
    result: Annotated[Summary, about("tail of the agent's output")]


class TaskFail(Command, frozen=True, kw_only=True, tag=MessageNumber.TASK_FAIL.value):
    """The executor cannot do it: refused at once, or failed while working."""

    task_id: Annotated[Uuid, about("the task")]
    agent_id: Annotated[Uuid | None, about("the agent that failed; none when refused")]
    generation: Annotated[Count, about("as in the TASK_ASSIGN")]
    code: Annotated[OptionalName, about("`lapsed`, `no_idle_agents`, `exit_code`, …")]
    error: Annotated[Summary, about("what happened, with the tail of the output")]
    git_branch: Annotated[GitRef | None, about("branch with what was done, if pushed")] = None


Choices = Annotated[list[Title], Meta(max_length=CHOICES_MAX)]
QuestionNumber = Annotated[int, Meta(ge=1, le=SMALL_COUNT_MAX)]


class TaskQuestion(Report, frozen=True, kw_only=True, tag=MessageNumber.TASK_QUESTION.value):
    """The agent needs a person's answer; the task waits, its lease is kept by signs of life."""

    number: Annotated[QuestionNumber, about("the question's number within the generation")]
    question: Annotated[Summary, about("what the agent asks")]
    choices: Annotated[Choices, about("answers that the agent offers; any other is fine")]


class TaskAnswer(Command, frozen=True, kw_only=True, tag=MessageNumber.TASK_ANSWER.value):
    """A person's answer, for the agent; its ACK says that the executor stored it."""

    task_id: Annotated[Uuid, about("the task")]
    generation: Annotated[Count, about("as in the question")]
    number: Annotated[QuestionNumber, about("the question that is answered")]
    answer: Annotated[Summary, about("what the person wrote")]


class TaskResume(Report, frozen=True, kw_only=True, tag=MessageNumber.TASK_RESUME.value):
    """The agent was seen to go on after the answer was handed to it."""

    number: Annotated[QuestionNumber, about("the question whose answer it has")]


class TaskWithdraw(Command, frozen=True, kw_only=True, tag=MessageNumber.TASK_WITHDRAW.value):
    """The assigner takes a dispatch back: its run stops, and what it did is kept on its branch."""

    task_id: Annotated[Uuid, about("the task")]
    generation: Annotated[Count, about("dispatches up to this one are over")]
    reason: Annotated[Detail, about("why, for people")]


class TaskHandOn(Command, frozen=True, kw_only=True, tag=MessageNumber.TASK_HAND_ON.value):
    """A seller's report to who pays it, handed on to the emperor that moves the task now."""

    report: Annotated[
        Annotated[str, Meta(max_length=REPORT_FRAME_BYTES_MAX)],
        about("the seller's signed TASK_CLAIM, _PROGRESS, _COMPLETE or _FAIL, as text"),
    ]


COMMANDS = (
    TaskAssign,
    TaskClaim,
    TaskProgress,
    TaskComplete,
    TaskFail,
    TaskQuestion,
    TaskAnswer,
    TaskResume,
    TaskWithdraw,
    TaskHandOn,
)
