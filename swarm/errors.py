"""Expected refusals of the swarm, with stable codes."""

from __future__ import annotations

from p2p.protocol.errors import DomainError


class WrongState(DomainError):
    """A move that the table of allowed moves does not have, or that somebody else made first."""

    def __init__(self, what: str, status: str, target: str) -> None:
        super().__init__("wrong_state", f"{what} is {status} and cannot become {target}")


class StaleGeneration(DomainError):
    """A report of an older dispatch than the one that counts."""

    def __init__(self, task: str, reported: int, current: int) -> None:
        super().__init__(
            "stale_generation",
            f"task {task}: report of generation {reported}, the current one is {current}",
        )


class NotFound(DomainError):
    """Something that the request names does not exist."""

    def __init__(self, what: str, identity: object) -> None:
        super().__init__("not_found", f"no {what} {identity}", status=404)
