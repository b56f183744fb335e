"""Prerequisites of a plan: no subtask may wait for itself, however far around."""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

from p2p.protocol.errors import DomainError

K = TypeVar("K", bound=Hashable)


def check_acyclic(after: Mapping[K, Collection[K]]) -> None:
    """Raise DomainError `bad_plan` (422) for a circle, or a prerequisite that the plan lacks.

    `after` holds the prerequisites of every subtask of the plan, under any kind of name.
    """
    for name, prerequisites in after.items():
        for each in prerequisites:
            if each not in after:
                raise DomainError("bad_plan", f"{name} waits for {each}, which is not there", 422)
    try:
        graphlib.TopologicalSorter(after).prepare()
    except graphlib.CycleError as error:
        # graphlib lists each item before the one that waits for it.
        circle = " after ".join(str(each) for each in reversed(error.args[1]))
        raise DomainError("bad_plan", f"subtasks wait for each other: {circle}", 422) from None
