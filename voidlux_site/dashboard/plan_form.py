"""A plan as a form: one row of fields for each subtask, read and checked as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.http import QueryDict
from pydantic import ValidationError

from p2p.protocol.errors import DomainError
from swarm.outline import ITEMS_MAX
from swarm.plan import PlanError, PlannedSubtask, items_of_plan
from swarm.states import Complexity
from voidlux_site.dashboard.forms import listed

FIELDS = (
    *("id", "title", "instructions", "criteria", "capabilities", "complexity", "after"),
    *("test", "shell"),
)
_NAME_OF = {"acceptance_criteria": "criteria", "depends_on": "after"}


@dataclass
class PlanRow:
    """The fields of one subtask as text, and what is wrong with each."""

    id: str
    title: str = ""
    instructions: str = ""
    criteria: str = ""
    capabilities: str = ""
    complexity: str = Complexity.MEDIUM
    after: str = ""
    test: str = ""
    shell: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    is_new: bool = False

    @classmethod
    def of(cls, subtask: PlannedSubtask) -> PlanRow:
        """Return the row of a planned subtask."""
        return cls(
            id=subtask.id,
            title=subtask.title,
            instructions=subtask.instructions,
            criteria="\n".join(subtask.acceptance_criteria),
            capabilities=", ".join(subtask.capabilities),
            complexity=subtask.complexity,
            after=", ".join(subtask.depends_on),
            test=subtask.test,
            shell=subtask.shell,
        )

    def subtask(self) -> PlannedSubtask | None:
        """Return the subtask; None where fields are wrong, which `errors` then names."""
        lines = [line.strip() for line in self.criteria.splitlines()]
        try:
            return PlannedSubtask.model_validate(
                {
                    "id": self.id.strip(),
                    "title": self.title.strip(),
                    "instructions": self.instructions.strip(),
                    "acceptance_criteria": [line for line in lines if line],
                    "capabilities": listed(self.capabilities),
                    "complexity": self.complexity,
                    "depends_on": listed(self.after),
                    "test": self.test.strip(),
                    "shell": self.shell,
                }
            )
        except ValidationError as error:
            for each in error.errors(include_url=False):
                name = str(each["loc"][0])
                words = "It is empty." if each["type"] == "string_too_short" else each["msg"]
                self.errors.setdefault(_NAME_OF.get(name, name), words)
            return None


@dataclass
class PlanForm:
    """A whole plan as it is edited."""

    rows: list[PlanRow]
    notes: str = ""
    error: str = ""

    @classmethod
    def of(cls, subtasks: Sequence[PlannedSubtask], notes: str) -> PlanForm:
        """Return the form of a plan; an empty one has a first row to be filled."""
        return cls([PlanRow.of(each) for each in subtasks] or [PlanRow("s1")], notes)

    @classmethod
    def read(cls, posted: QueryDict) -> PlanForm:
        """Return the form as it was sent; DomainError for one with fields missing."""
        columns = [posted.getlist(name) for name in FIELDS]
        if len(set(map(len, columns))) != 1 or len(columns[0]) > ITEMS_MAX:
            raise DomainError("bad_plan", "the form was sent in parts: open it again", status=422)
        rows = [
            PlanRow(**{name: text.replace("\r\n", "\n") for name, text in values.items()})
            for values in (
                dict(zip(FIELDS, row, strict=True)) for row in zip(*columns, strict=True)
            )
        ]
        return cls(rows, posted.get("notes", "").replace("\r\n", "\n"))

    @property
    def may_grow(self) -> bool:
        """Whether another subtask may be added."""
        return len(self.rows) < ITEMS_MAX

    def add(self) -> None:
        """Add an empty subtask, with an id that no other has."""
        taken = {row.id for row in self.rows}
        free = next(each for n in range(1, ITEMS_MAX + 2) if (each := f"s{n}") not in taken)
        if self.may_grow:
            self.rows.append(PlanRow(free, is_new=True))

    def remove(self, number: int) -> None:
        """Take a subtask out, counted from 1; none waits for it any more."""
        if not 1 <= number <= len(self.rows):
            return
        gone = self.rows.pop(number - 1).id
        for row in self.rows:
            row.after = ", ".join(each for each in listed(row.after) if each != gone)

    def subtasks(self) -> list[PlannedSubtask] | None:
        """Return the plan; None where it is wrong, and `error` and the rows say how."""
        read = [row.subtask() for row in self.rows]
        right = [each for each in read if each is not None]
        wrong = [number for number, each in enumerate(read, 1) if each is None]
        if wrong:
            named = ", ".join(map(str, wrong))
            self.error = f"Look at subtask{'' if len(wrong) == 1 else 's'} {named}."
            return None
        try:
            items_of_plan(right)
        except PlanError as error:
            self.error = error.message
            return None
        return right
