"""What a tool's process sees: nothing of the node's secrets, and what the operator gives it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.agents.adapters import ToolAdapter
from swarm.clean_env import clean_environment

FILE_BYTES_MAX = 64 * 1024
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63})=(.*)")


def environment_of(tool: ToolAdapter) -> dict[str, str]:
    """Return the variables of a tool's process; the later of these wins.

    The allow-list, what the adapter passes on and sets, and the lines of `tools/<tool>.env` in the
    node's home. DomainError `bad_tool_env` names the file and the line that is wrong.
    """
    passed = {name: os.environ[name] for name in tool.pass_variables if name in os.environ}
    return clean_environment({**passed, **tool.environment, **own_variables(tool.name)})


def own_variables(tool: str) -> dict[str, str]:
    """Return what the operator's `tools/<tool>.env` sets, a `NAME=value` a line, taken as it is.

    Empty lines and those that begin with # are skipped. None without the file.
    """
    path = local_node().home / "tools" / f"{tool}.env"
    try:
        text = _read_private(path)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _refusal(path, str(error)) from error
    variables = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None or "\0" in line:
            raise _refusal(path, f"line {number} is no NAME=value")  # it may hold a secret
        variables[found[1]] = found[2]
    return variables


def _read_private(path: Path) -> str:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise _refusal(path, f"others may read it (mode {mode:o}): chmod 600 it")
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise _refusal(path, f"more than {FILE_BYTES_MAX} bytes")
    return data.decode("utf-8")


def _refusal(path: Path, why: str) -> DomainError:
    return DomainError("bad_tool_env", f"tools/{path.name}: {why}", status=422)
