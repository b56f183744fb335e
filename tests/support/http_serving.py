"""A server of `http.server` on a thread of its own, which ends at once when it is told to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from socketserver import BaseServer

# `shutdown` waits for the next look, which by default comes only every half a second.
LOOK_EVERY_S = 0.01


@contextlib.contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Answer requests until the block ends, then close the server."""
    thread = threading.Thread(target=server.serve_forever, args=(LOOK_EVERY_S,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
