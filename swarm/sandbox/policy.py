"""What this machine can promise: how sold work is isolated, and whether it may be sold at all."""

from __future__ import annotations

from typing import Literal

from django.conf import settings

from swarm.sandbox import bwrap
from swarm.sandbox.bwrap import NoSandbox

Isolation = Literal["sandbox", "worktree"]


def isolation_of_sold_work() -> Isolation:
    """Return what work for other swarms runs in on this machine, as offerings state it.

    `worktree` is a worktree of its own and an environment without secrets, and nothing more.
    """
    return "worktree" if bwrap.obstacle() else "sandbox"


def may_sell() -> bool:
    """Tell whether this node may sell: in a sandbox, or without one where its owner allows it."""
    if settings.ENVIRONMENT.sell_without_sandbox == "1":
        return True
    return isolation_of_sold_work() == "sandbox"


def can_test_strangers() -> NoSandbox | None:
    """Return why work of a seller outside VOIDLUX_ALLOW_NODES could not be tested here.

    None where it can be, in a sandbox or because the operator waived it.
    """
    if settings.ENVIRONMENT.unsafe_test_without_sandbox == "1":
        return None
    why = bwrap.obstacle()
    return NoSandbox(why) if why else None
