"""Expected refusals of the swarm, with stable codes."""

from __future__ import annotations

from p2p.protocol.errors import DomainError


class WrongState(DomainError):
    """A move that the table of allowed moves does not have, or that somebody else made first."""

    def __init__(self, what: str, status: str, target: str) -> None:
        super().__init__("wrong_state", f"{what} is {status} and cannot become {target}")


class StaleGeneration(DomainError):
    """A word about an older dispatch than the one that counts."""

    def __init__(self, task: str, reported: int, current: int) -> None:
        super().__init__(
            "stale_generation",
            f"task {task}: report of generation {reported}, the current one is {current}",
        )


class NotFound(DomainError):
    """Something that the request names does not exist."""

    def __init__(self, what: str, identity: object) -> None:
        super().__init__("not_found", f"no {what} {identity}", status=404)


class NotEmperor(DomainError):
    """A task write at a member that does not move tasks; says who does, and where."""

    def __init__(self, emperor_node_id: str, address: str) -> None:
        """Take the emperor's node id and base URL; each is empty when it is not known."""
        who = f"the emperor is {emperor_node_id}" if emperor_node_id else "no emperor is known"
        where = f" at {address}" if address else ""
        super().__init__("not_emperor", f"this node moves no tasks: {who}{where}")
        self.emperor_node_id = emperor_node_id
        self.address = address


class Fenced(DomainError):
    """What this node would do on a remote is the matter of a higher term; nothing is to blame."""

    def __init__(self, ref: str, *, own: str, found: str) -> None:
        """Take the fence's ref, our term and the one that it names, in words."""
        super().__init__("fenced", f"{ref} says {found}, which outranks {own}: left to that one")
