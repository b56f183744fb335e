"""A plan that an agent hands in: 1 to 8 subtasks, checked as a whole before any is created."""

from __future__ import annotations

import graphlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from p2p.protocol.errors import DomainError
from p2p.protocol.limits import BODY_CHARS_MAX, CAPABILITIES_MAX, TITLE_CHARS_MAX
from swarm.outline import ITEMS_MAX, SHELL_BYTES_MAX, TEST_CHARS_MAX, OutlineItem
from swarm.plain_text import clean_text

CRITERIA_MAX = 20
CRITERION_CHARS_MAX = 500

PlanId = Annotated[str, Field(min_length=1, max_length=64)]
Capability = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]{0,63}$")]
Criterion = Annotated[str, Field(min_length=1, max_length=CRITERION_CHARS_MAX)]


class PlanError(DomainError):
    """A plan that cannot be carried out; the message names the subtask and what is wrong."""

    def __init__(self, message: str) -> None:
        """Take the sentence for the planner."""
        super().__init__("bad_plan", message, status=422)


class DraftedSubtask(BaseModel):
    """One subtask as a language model plans it: words only, no command that anybody would run."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[PlanId, Field(description="A short name, unique in the plan.")]
    title: Annotated[
        str, Field(min_length=1, max_length=TITLE_CHARS_MAX, description="One line: what is done.")
    ]
    instructions: Annotated[
        str,
        Field(
            min_length=1,
            max_length=BODY_CHARS_MAX // 2,
            description="All that its agent must know, in Markdown; it sees nothing else.",
        ),
    ]
    acceptance_criteria: Annotated[
        list[Criterion],
        Field(max_length=CRITERIA_MAX, description="What must hold when it is done."),
    ] = []
    capabilities: Annotated[
        list[Capability],
        Field(max_length=CAPABILITIES_MAX, description="What its agent must be able to do."),
    ] = []
    complexity: Annotated[
        Literal["small", "medium", "large", "xl"], Field(description="How much work it is.")
    ] = "medium"
    depends_on: Annotated[
        list[PlanId],
        Field(max_length=ITEMS_MAX, description="Ids of subtasks that must be merged before it."),
    ] = []


class PlannedSubtask(DraftedSubtask):
    """One subtask of a plan."""

    test: Annotated[
        str,
        Field(max_length=TEST_CHARS_MAX, description="Command that proves it, if there is one."),
    ] = ""
    shell: Annotated[
        str,
        Field(
            max_length=SHELL_BYTES_MAX // 4,
            description="Commands that do it, where a shell and no model is to run it.",
        ),
    ] = ""


def items_of_plan(subtasks: Sequence[PlannedSubtask]) -> list[OutlineItem]:
    """Return a plan's subtasks, numbered from 1 in their order; PlanError says what is wrong."""
    if not 1 <= len(subtasks) <= ITEMS_MAX:
        raise PlanError(f"the plan has {len(subtasks)} subtasks, 1 to {ITEMS_MAX} are allowed")
    numbers = {subtask.id: number for number, subtask in enumerate(subtasks, 1)}
    if len(numbers) < len(subtasks):
        ids = [subtask.id for subtask in subtasks]
        twice = next(each for each in ids if ids.count(each) > 1)
        raise PlanError(f"two subtasks have the id {twice!r}: give each an id of its own")
    for subtask in subtasks:
        _require_known(subtask, numbers)
    _require_order(subtasks)
    return [_item(number, subtask, numbers) for number, subtask in enumerate(subtasks, 1)]


def _require_known(subtask: PlannedSubtask, numbers: dict[str, int]) -> None:
    for needed in subtask.depends_on:
        if needed == subtask.id:
            raise PlanError(f"subtask {subtask.id!r} depends on itself")
        if needed not in numbers:
            known = ", ".join(map(repr, numbers))
            raise PlanError(f"subtask {subtask.id!r} depends on {needed!r}, none of {known}")


def _require_order(subtasks: Sequence[PlannedSubtask]) -> None:
    try:
        graphlib.TopologicalSorter({each.id: each.depends_on for each in subtasks}).prepare()
    except graphlib.CycleError as error:
        circle = " after ".join(map(repr, reversed(error.args[1])))
        raise PlanError(f"subtasks wait for each other: {circle}") from None


def _item(number: int, subtask: PlannedSubtask, numbers: dict[str, int]) -> OutlineItem:
    title = " ".join(clean_text("title", subtask.title, TITLE_CHARS_MAX).split())
    if not title:
        raise PlanError(f"subtask {subtask.id!r} has no title that can be read")
    return OutlineItem(
        number=number,
        title=title,
        instructions=clean_text("instructions", subtask.instructions, BODY_CHARS_MAX),
        shell=subtask.shell.replace("\0", ""),
        after=sorted({numbers[needed] for needed in subtask.depends_on}),
        test=" ".join(clean_text("test", subtask.test, TEST_CHARS_MAX).split("\n")),
        capabilities=list(dict.fromkeys(subtask.capabilities)),
        acceptance_criteria=_criteria(subtask),
        complexity=subtask.complexity,
    )


def _criteria(subtask: PlannedSubtask) -> str:
    criteria = [
        " ".join(clean_text("criterion", each, CRITERION_CHARS_MAX).split())
        for each in subtask.acceptance_criteria
    ]
    return "\n".join(f"- {each}" for each in criteria if each)


def is_draft(value: object) -> bool:
    """Tell whether a value is a plan that waits for approval, as it is stored with its goal."""
    if not isinstance(value, dict):
        return False
    try:
        items_of_plan([PlannedSubtask.model_validate(each) for each in value.get("subtasks", ())])
    except (DomainError, ValidationError, TypeError):
        return False
    return all(isinstance(value.get(name, ""), str) for name in ("notes", "by"))
