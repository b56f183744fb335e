"""Remembers results of pure functions for all nodes of a run: what each would compute by itself.

A signature is checked and a frame is decoded once for all simulated nodes and not once for each.
Both depend on nothing but the exact bytes, so that no run can tell the difference but by its time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from unittest import mock

from p2p.protocol import codec, identity

REMEMBERED = 50_000


@contextlib.contextmanager
def shared_results() -> Iterator[None]:
    """Share the checks of signatures and the decoding of frames while this is entered."""
    verify = lru_cache(REMEMBERED)(identity.verify)
    decode = lru_cache(REMEMBERED)(codec.decode_payload)
    with (
        mock.patch("p2p.protocol.identity.verify", verify),
        mock.patch("p2p.mesh.connection.decode_payload", decode),
        mock.patch("p2p.protocol.signing.decode_payload", decode),
    ):
        yield
