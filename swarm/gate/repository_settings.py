"""What a repository says of its own tests, in `.voidlux.toml` at the commit a goal starts from."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from p2p.protocol.errors import DomainError
from swarm.git.repository import Repository

SETTINGS_FILE = ".voidlux.toml"
SETTINGS_BYTES_MAX = 65_536
COMMAND_CHARS_MAX = 1000
JUNIT_CHARS_MAX = 300
TIME_LIMIT_MIN_S, TIME_LIMIT_MAX_S = 1, 86_400
REGULAR_FILES = frozenset({"100644", "100755"})
TYPE_NAMES = {str: "a text", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class TestSettings:
    """The table `[test]`: what is not said is empty, None (the node's limit) or False."""

    __test__ = False  # keeps pytest from collecting it

    command: str = ""
    time_limit_s: int | None = None
    junit: str = ""
    network: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a goal keeps them."""
        return asdict(self)

    @classmethod
    def of_goal(cls, kept: dict[str, Any]) -> TestSettings:
        """Return the settings that a goal keeps; the defaults where it keeps none."""
        return cls(**kept)


_KINDS: dict[str, type] = {"command": str, "time_limit_s": int, "junit": str, "network": bool}


def read_settings(repository: Repository, commit: str) -> TestSettings:
    """Return the settings at `commit`, which the clone holds; the defaults without a file.

    DomainError `bad_settings` names the value and the limit of the first mistake.
    """
    listed = repository.git("ls-tree", "-l", commit, "--", SETTINGS_FILE).stdout.split()
    if not listed:
        return TestSettings()
    mode, _, blob, size = listed[:4]
    if mode not in REGULAR_FILES:
        raise _bad("is not a regular file")
    if int(size) > SETTINGS_BYTES_MAX:
        raise _bad(f"has {size} bytes, at most {SETTINGS_BYTES_MAX}")
    return parse_settings(repository.git("cat-file", "blob", blob).stdout)


def parse_settings(text: str) -> TestSettings:
    """Return the settings in a file's text; DomainError as `read_settings`."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _bad(f"is not TOML: {error or 'nested too deeply'}") from None
    unknown = sorted(set(tables) - {"test"})
    if unknown:
        raise _bad(f"has {_shown(unknown[0])}: only the table [test] is known")
    table = tables.get("test", {})
    if not isinstance(table, dict):
        raise _bad(f"has test = {_shown(table)}: it must be a table")
    for name, value in table.items():
        _check_type(name, value)
    settings = TestSettings(**table)
    _check_command(settings.command)
    _check_time_limit(settings.time_limit_s)
    _check_junit(settings.junit)
    return settings


def _check_type(name: str, value: object) -> None:
    kind = _KINDS.get(name)
    if kind is None:
        raise _bad(f"has {_shown(name)} in [test]: known are {', '.join(_KINDS)}")
    if type(value) is not kind:
        raise _bad(f"has test.{name} = {_shown(value)}: it must be {TYPE_NAMES[kind]}")


def _check_command(command: str) -> None:
    if len(command) > COMMAND_CHARS_MAX:
        raise _bad(f"has a test.command of {len(command)} characters, at most {COMMAND_CHARS_MAX}")
    if "\0" in command:
        raise _bad("has a zero character in test.command")


def _check_time_limit(limit_s: int | None) -> None:
    if limit_s is not None and not TIME_LIMIT_MIN_S <= limit_s <= TIME_LIMIT_MAX_S:
        allowed = f"{TIME_LIMIT_MIN_S} to {TIME_LIMIT_MAX_S} seconds are allowed"
        raise _bad(f"has test.time_limit_s = {limit_s}: {allowed}")


def _check_junit(junit: str) -> None:
    path = PurePosixPath(junit)
    if len(junit) > JUNIT_CHARS_MAX:
        raise _bad(f"has a test.junit of {len(junit)} characters, at most {JUNIT_CHARS_MAX}")
    if path.is_absolute() or ".." in path.parts or "\0" in junit:
        raise _bad(f"has test.junit = {_shown(junit)}: it must be a path below the repository")
    if junit:
        try:
            next(Path("/dev/null").glob(junit), None)
        except (ValueError, NotImplementedError) as error:
            raise _bad(f"has test.junit = {_shown(junit)}: {error}") from None


def _shown(value: object) -> str:
    return repr(value)[:100]


def _bad(what: str) -> DomainError:
    return DomainError("bad_settings", f"{SETTINGS_FILE} {what}", 422)
