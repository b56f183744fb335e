"""One tmux client in control mode: many questions over one pipe instead of a process each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil

from p2p.protocol.errors import ExternalError
from swarm.agents.tmux import COMMAND_TIMEOUT_S
from swarm.clean_env import clean_environment

LINE_BYTES_MAX = 1024 * 1024


class ControlClient:
    """Attached to any session of a server; it sees no output and resizes nothing."""

    def __init__(self, socket_name: str) -> None:
        """Name the server's socket; nothing is started yet."""
        self._socket_name = socket_name
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def ask(self, *command: str) -> list[str]:
        """Return the lines that tmux answers; ExternalError (retryable) where it refuses.

        The words of a command must need no quoting beyond single quotes.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(COMMAND_TIMEOUT_S):
                    process = await self._connected()
                    assert process.stdin is not None
                    process.stdin.write((" ".join(map(_quoted, command)) + "\n").encode())
                    await process.stdin.drain()
                    return await self._answer(process)
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
                await self._drop()
                message = f"tmux {command[0]} over control mode: {error or 'no answer'}"
                raise ExternalError(message, retryable=True) from error
            except asyncio.CancelledError:
                await self._drop()  # its answer would be taken for that of the next question
                raise

    async def close(self) -> None:
        """Detach and end the client."""
        async with self._turn:
            await self._drop()

    async def _connected(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._process = await asyncio.create_subprocess_exec(
            *(shutil.which("tmux") or "tmux", "-u", "-L", self._socket_name, "-f", "/dev/null"),
            *("-C", "attach-session", "-f", "no-output,ignore-size"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=clean_environment(
                {name: os.environ[name] for name in ("TMUX_TMPDIR",) if name in os.environ}
            ),
            limit=LINE_BYTES_MAX,
            start_new_session=True,
        )
        await self._answer(self._process)  # to the attaching itself
        return self._process

    async def _answer(self, process: asyncio.subprocess.Process) -> list[str]:
        assert process.stdout is not None
        lines: list[str] | None = None
        while True:
            raw = await process.stdout.readuntil(b"\n")
            word = raw.split(b" ", 1)[0].rstrip()
            if lines is None:
                lines = [] if word == b"%begin" else None  # news between answers are passed over
            elif word in (b"%end", b"%error"):
                if word == b"%error":
                    raise ValueError(" ".join(lines) or "refused")
                return lines
            else:
                lines.append(raw.rstrip(b"\n").decode("utf-8", "replace"))

    async def _drop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _quoted(word: str) -> str:
    assert "'" not in word and "\n" not in word
    return f"'{word}'"
