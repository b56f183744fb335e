"""The settings that follow from the environment, read in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DUMP = """
import json, sys
from voidlux_site import settings
print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}, default=str))
"""


def run_python(arguments: list[str], home: Path, **variables: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "VOIDLUX_HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def read_settings(names: list[str], home: Path, **variables: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(run_python(["-c", DUMP, *names], home, **variables))
    return values


def test_looking_at_the_code_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"

    run_python(["manage.py", "check"], home)
    run_python(["manage.py", "makemigrations", "--check", "--dry-run", "admin"], home)
    run_python(["manage.py", "migrate", "--help"], home)

    assert list(tmp_path.iterdir()) == []


def test_embedded_defaults_need_no_server(tmp_path: Path) -> None:
    names = ["DATABASES", "CHANNEL_LAYERS", "CELERY_BROKER_URL", "CELERY_BROKER_TRANSPORT_OPTIONS"]

    values = read_settings([*names, "DEBUG"], tmp_path)

    database = values["DATABASES"]["default"]
    assert database["NAME"] == str(tmp_path / "voidlux.sqlite3")
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert database["OPTIONS"]["timeout"] == 20
    assert values["CHANNEL_LAYERS"]["default"]["BACKEND"].endswith("InMemoryChannelLayer")
    assert values["CELERY_BROKER_URL"] == "filesystem://localhost//"
    options = values["CELERY_BROKER_TRANSPORT_OPTIONS"]
    assert options["data_folder_in"] == options["data_folder_out"]
    assert options["data_folder_in"] == str(tmp_path / "broker" / "queue")
    assert values["DEBUG"] is False


def test_servers_are_used_when_named(tmp_path: Path) -> None:
    values = read_settings(
        ["DATABASES", "CHANNEL_LAYERS", "CELERY_BROKER_URL", "CELERY_TASK_ACKS_LATE"],
        tmp_path,
        DATABASE_URL="postgresql://user:word@db.example:5433/voidlux",
        REDIS_URL="redis://cache.example:6380/1",
    )

    database = values["DATABASES"]["default"]
    assert database["ENGINE"] == "p2p.postgresql"
    assert (database["HOST"], database["PORT"]) == ("db.example", 5433)
    layer = values["CHANNEL_LAYERS"]["default"]
    assert layer["CONFIG"]["hosts"] == ["redis://cache.example:6380/1"]
    assert values["CELERY_BROKER_URL"] == "redis://cache.example:6380/1"
    assert values["CELERY_TASK_ACKS_LATE"] is True


def test_two_nodes_on_one_machine_share_neither_cookies_nor_queue(tmp_path: Path) -> None:
    names = ["SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "CELERY_TASK_DEFAULT_QUEUE"]

    first = read_settings(names, tmp_path / "a", VOIDLUX_HTTP_PORT="9091")
    second = read_settings(names, tmp_path / "b", VOIDLUX_HTTP_PORT="9092")

    assert first["SESSION_COOKIE_NAME"] == "voidlux_session_9091"
    assert second["CSRF_COOKIE_NAME"] == "voidlux_csrf_9092"
    assert first["CELERY_TASK_DEFAULT_QUEUE"] != second["CELERY_TASK_DEFAULT_QUEUE"]


def test_nodes_on_one_redis_do_not_hear_each_other(tmp_path: Path) -> None:
    def prefix(home: str, database: str) -> str:
        values = read_settings(
            ["CHANNEL_LAYERS"],
            tmp_path / home,
            DATABASE_URL=f"postgresql://db.example/{database}",
            REDIS_URL="redis://cache.example",
        )
        found: str = values["CHANNEL_LAYERS"]["default"]["CONFIG"]["prefix"]
        return found

    assert prefix("node", "one") == prefix("web", "one") != prefix("node", "two")


def test_hosts_are_loopback_own_host_and_those_named(tmp_path: Path) -> None:
    values = read_settings(
        ["ALLOWED_HOSTS"], tmp_path, VOIDLUX_HOST="fd00::1", VOIDLUX_ALLOWED_HOSTS=".example.org"
    )

    assert values["ALLOWED_HOSTS"] == [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[fd00::1]",
        ".example.org",
    ]


def test_migrate_makes_a_private_home_with_a_wal_database(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"

    run_python(["manage.py", "migrate", "--verbosity", "0"], home)

    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "voidlux.sqlite3").read_bytes()[18:20] == b"\x02\x02"
    assert not (home / "secret-key").exists()
