"""Run as `python -I -S bound_exec.py PARENT_PID PROGRAM ARGUMENT...`: a child that dies with us.

Asks the kernel (Linux) for SIGKILL when the parent's thread that started it ends, then becomes
the program. Done in a process of its own, because code between fork and exec is not safe in a
process with threads. Elsewhere than on Linux it only becomes the program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Bind this process to its parent and become the program; ends at once if that is gone."""
    parent_pid, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have ended before the request was made; nobody would send the signal then.
    if os.getppid() != parent_pid:
        raise SystemExit(1)
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
