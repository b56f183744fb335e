"""How much memory a node takes with everything that it started."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from voidlux_site.node.processes import descendants

PROC = Path("/proc")
KB_A_MB = 1024


def memory_mb(pid: int) -> int:
    """Return the MB of a process and its descendants; shared pages count in parts (PSS).

    0 where the system does not tell.
    """
    return round(sum(_pss_kb(each) for each in (pid, *descendants(pid))) / KB_A_MB)


def _pss_kb(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
