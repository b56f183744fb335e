"""Which event loop a node runs on: uvloop where it is installed, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import contextlib


def prefer_uvloop() -> None:
    """Let event loops be uvloop's; must come before `django.setup()`.

    Daphne makes the loop of the whole process when it is imported, which that does.
    """
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
