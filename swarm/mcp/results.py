"""What the tools answer: concrete types, so that a client knows their schema."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

TaskIdText = Annotated[str, Field(description="The task's id: 32 hexadecimal digits.")]
Next = Annotated[str, Field(description="What to do now.")]


class AssignedTask(BaseModel):
    """The task of the calling agent."""

    task_id: TaskIdText
    title: Annotated[str, Field(description="One line.")]
    instructions: Annotated[str, Field(description="What to do, in Markdown.")]
    feedback: Annotated[str, Field(description="Why the last attempt was not accepted.")]
    branch: Annotated[str, Field(description="The branch that is checked out in your worktree.")]
    base_commit: Annotated[str, Field(description="Where the branch began.")]
    attempt: Annotated[int, Field(description="Which attempt at the task this is, from 1.")]
    generation: Annotated[int, Field(description="The number of this assignment.")]
    planning: Annotated[bool, Field(description="Whether a plan is wanted: call task_plan.")]
    next: Next


class Noted(BaseModel):
    """What an agent said was stored."""

    task_id: TaskIdText
    generation: Annotated[int, Field(description="The number of this assignment.")]
    next: Next


class Asked(BaseModel):
    """The question was stored and is shown to a person."""

    task_id: TaskIdText
    number: Annotated[int, Field(description="The question's number in this attempt, from 1.")]
    next: Next


class Answered(BaseModel):
    """The answer to the last question, if there is one yet."""

    task_id: TaskIdText
    number: Annotated[int, Field(description="The number of the question.")]
    question: Annotated[str, Field(description="What you asked.")]
    answered: Annotated[bool, Field(description="Whether a person has answered.")]
    answer: Annotated[str, Field(description="What the person wrote; empty while unanswered.")]
    next: Next


class Planned(BaseModel):
    """The plan was stored: its subtasks are given to agents, perhaps after an approval."""

    task_id: TaskIdText
    subtasks: Annotated[int, Field(description="How many subtasks it has.")]
    next: Next
