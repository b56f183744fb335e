"""Names of agreements and of their parts: in hashes, reservations and the ledger."""

from __future__ import annotations

import hashlib
from uuid import UUID

from marketplace.models import Execution


def request_hash(request_frame: bytes) -> str:
    """Return 0x and the SHA-256 of a TRIBUTE_REQUEST's payload: what the seller agrees to."""
    return "0x" + hashlib.sha256(request_frame).hexdigest()


def deal_hash(request_frame: bytes, accept_frame: bytes) -> str:
    """Return 0x and the SHA-256 of both signed frames: the agreement's own name."""
    return "0x" + hashlib.sha256(request_frame + accept_frame).hexdigest()


def reservation_of(tribute_id: UUID) -> str:
    """Return the name under which a tribute reserves agents."""
    return f"tribute:{tribute_id.hex}"


def execution_reference(execution: Execution) -> str:
    """Return the ledger reference of one execution's price: tribute, task, and run from 2 on."""
    run = f":{execution.run}" if execution.run > 1 else ""
    return f"{execution.tribute_id.hex}:{execution.task_id.hex}{run}"


def executions(count: int) -> str:
    """Return a count of executions in words."""
    return "1 execution" if count == 1 else f"{count} executions"
