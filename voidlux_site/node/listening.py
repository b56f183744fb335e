"""Says which variable to change where a port cannot be listened at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from p2p.protocol.errors import DomainError


@contextlib.contextmanager
def naming(variable: str, port: int, host: str) -> Iterator[None]:
    """Turn the failure to listen into one line that names the variable to change."""
    try:
        yield
    except OSError as error:
        # asyncio words the reason itself; numbers below zero are those of a name that is unknown.
        number = error.errno or 0
        reason = os.strerror(number).lower() if number > 0 else str(error.strerror or error)
        message = f"{variable} is {port}: cannot listen on {host}: {reason}"
        raise DomainError("cannot_listen", message) from error
