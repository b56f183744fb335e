"""What a run keeps on disk: the block and its wrapper, its records, its output."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from p2p.protocol.errors import DomainError, ExternalError
from swarm.agents import run_block, say

SCRIPT_BYTES_MAX = 256 * 1024
WRAPPER = "run.sh"
SAY = "say"

# Imported, for Python keeps what it has compiled of an imported module only; and after all else,
# so that nothing here is taken for a module of the standard library.
_FOLDER, _MODULE = Path(run_block.__file__).parent, Path(run_block.__file__).stem
_PROGRAM = (
    f"import sys; sys.path.append({str(_FOLDER)!r}); "
    f"import {_MODULE}; sys.exit({_MODULE}.main(*sys.argv[1:]))"
)

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_TEXT = re.compile(r"[\x00\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def prepare_run(
    run_dir: Path,
    *,
    script: str,
    worktree: Path,
    env: Mapping[str, str],
    wrap: Sequence[str] = (),
) -> None:
    """Write the block and its wrapper into `run_dir`, mode 0700; a started run is left alone.

    `wrap` is the command line of a sandbox that the block runs in.

    Raises DomainError `bad_script` (empty, over 256 KiB, NUL), `bad_env` or `bad_path`.
    """
    _check_script(script)
    _check_env(env)
    for path in (run_dir, worktree):
        check_path(path)
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (run_dir / run_block.STARTED).exists():
        return
    _write_private(run_dir / run_block.SCRIPT, script if script.endswith("\n") else f"{script}\n")
    _write_private(run_dir / SAY, f'exec {shlex.join(_isolated(say.__file__))} "$@"\n')
    _write_private(run_dir / WRAPPER, _wrapper_text(run_dir, worktree, env, wrap))


def output_tail(run_dir: Path, chars: int = 4000) -> str:
    """Return the last `chars` characters of the run's output; empty when there is none."""
    # No character takes more than four bytes.
    wanted = chars * 4
    data = _last_bytes(run_dir / run_block.OUTPUT, wanted)
    if len(data) < wanted:
        data = _last_bytes(run_dir / run_block.OUTPUT_OLDER, wanted - len(data)) + data
    return data.decode(errors="replace")[-chars:] if chars > 0 else ""


def read_record(path: Path) -> dict[str, Any] | None:
    """Return a JSON record of a run, None when there is none; ExternalError when unreadable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ExternalError(f"cannot read {path}: {error}", retryable=False) from error


def check_path(path: Path) -> None:
    """Refuse (DomainError `bad_path`) what cannot be typed into a terminal as one word."""
    if not path.is_absolute() or _CONTROL.search(str(path)):
        message = f"path {str(path)!r} must be absolute and without control characters"
        raise DomainError("bad_path", message, status=422)


def _last_bytes(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - count))
            return file.read(count)
    except FileNotFoundError:
        return b""


def _wrapper_text(
    run_dir: Path, worktree: Path, env: Mapping[str, str], wrap: Sequence[str]
) -> str:
    told = {**env, "VOIDLUX_SAY": str(run_dir / SAY)}
    exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(told.items())]
    argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(run_dir), str(worktree), *wrap]
    return "\n".join([*exports, f"exec {shlex.join(argv)}", ""])


def _isolated(program: str, *arguments: str) -> list[str]:
    """Return a call of a program of ours that nothing in the worktree can change."""
    return [sys.executable, "-I", program, *arguments]


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        # Not synced to the disk: where a machine died before the start, all of it is written anew.
        file.write(text)
    draft.replace(path)


def _check_script(script: str) -> None:
    size = len(script.encode(errors="surrogatepass"))
    if not script.strip():
        raise DomainError("bad_script", "the shell block is empty", status=422)
    if size > SCRIPT_BYTES_MAX:
        message = f"shell block of {size} bytes exceeds {SCRIPT_BYTES_MAX}"
        raise DomainError("bad_script", message, status=422)
    if _NOT_TEXT.search(script):
        message = "the shell block holds a NUL or half of a surrogate pair"
        raise DomainError("bad_script", message, status=422)


def _check_env(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if _ENV_NAME.fullmatch(name) is None or _NOT_TEXT.search(value):
            message = f"environment variable {name!r} has a bad name or a value that is not text"
            raise DomainError("bad_env", message, status=422)
