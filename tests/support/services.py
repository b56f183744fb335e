"""What tests need of the machine beyond Python: skipped with the reason, or failed where asked.

PostgreSQL and Redis are started for the tests alone, on ports of their own, and end with them.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from psycopg import sql

from tests.support.nodes import HOST, free_ports

REQUIRED = "required"
START_S = 30.0
STOP_S = 15.0
OWNER = "voidlux"
POSTGRES_PLACES = "/usr/lib/postgresql"
# Nothing of a test's database has to outlive the test.
POSTGRES_OPTIONS = (
    *("-c", f"listen_addresses={HOST}", "-c", "max_connections=60", "-c", "shared_buffers=32MB"),
    *("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"),
)


def need_program(path: str) -> None:
    """Skip the test where `path` is no program; with VOIDLUX_TEST_SERVICES=required fail it."""
    if not (os.access(path, os.X_OK) and Path(path).is_file()):
        is_lacking(f"{path} is not installed")


def find_program(name: str, places: Sequence[Path] = ()) -> str:
    """Return where a program is, on PATH or in one of `places`; skips or fails as need_program."""
    for place in places:
        if os.access(place / name, os.X_OK):
            return str(place / name)
    return shutil.which(name) or is_lacking(f"{name} is not installed")


@dataclass(frozen=True)
class Postgres:
    """A running cluster of the tests' own."""

    port: int

    def url(self, name: str) -> str:
        """Return the DATABASE_URL of one of its databases."""
        return f"postgresql://{OWNER}@{HOST}:{self.port}/{name}"

    def answers(self) -> bool:
        """Tell whether the cluster takes connections yet."""
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            return True
        return False

    def create(self, name: str) -> str:
        """Create an empty database and return its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a fresh PostgreSQL cluster until the block ends."""
    places = sorted(Path(POSTGRES_PLACES).glob("*/bin"), reverse=True)
    initdb, postgres = find_program("initdb", places), find_program("postgres", places)
    account = _unprivileged_account()
    with _private_folder("voidlux-postgres-", account) as folder:
        data, log = folder / "data", folder / "log"
        _run_as(
            account,
            (initdb, "-D", data, "-U", OWNER, "--auth=trust", "--no-sync", "-E", "UTF8"),
            log,
        ).wait(START_S)
        [port] = free_ports(1)
        command = (postgres, "-D", data, "-k", folder, "-p", port, *POSTGRES_OPTIONS)
        cluster = Postgres(port)
        with _server(_run_as(account, command, log), log, signal.SIGINT, cluster.answers):
            yield cluster


@contextlib.contextmanager
def running_redis() -> Iterator[str]:
    """Run a fresh Redis that keeps nothing until the block ends; its REDIS_URL."""
    program = find_program("redis-server")
    with _private_folder("voidlux-redis-", None) as folder:
        [port] = free_ports(1)
        log = folder / "log"
        kept_nowhere = ("--save", "", "--appendonly", "no", "--dir", folder)
        process = _run_as(None, (program, "--port", port, "--bind", HOST, *kept_nowhere), log)
        with _server(process, log, signal.SIGTERM, lambda: _listens(port)):
            yield f"redis://{HOST}:{port}/0"


def is_lacking(reason: str) -> NoReturn:
    """Skip the test with this reason; with VOIDLUX_TEST_SERVICES=required fail it."""
    if os.environ.get("VOIDLUX_TEST_SERVICES") == REQUIRED:
        pytest.fail(f"{reason}, and VOIDLUX_TEST_SERVICES is {REQUIRED}", pytrace=False)
    pytest.skip(reason)


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Return who runs PostgreSQL, which refuses to be run by root; None for ourselves."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name: account for account in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


@contextlib.contextmanager
def _private_folder(prefix: str, account: pwd.struct_passwd | None) -> Iterator[Path]:
    # Not pytest's tmp_path: its parents are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_as(
    account: pwd.struct_passwd | None, command: Sequence[object], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=log.parent,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


@contextlib.contextmanager
def _server(
    process: subprocess.Popen[bytes],
    log: Path,
    end_signal: signal.Signals,
    answers: Callable[[], bool],
) -> Iterator[None]:
    """Wait until a server answers, and end it when the block ends."""
    try:
        deadline = time.monotonic() + START_S
        while not answers():
            ended = process.poll() is not None or time.monotonic() > deadline
            assert not ended, f"{process.args!r}:\n{log.read_text(errors='replace')}"
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(end_signal)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
