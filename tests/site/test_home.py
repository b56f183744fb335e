"""The home's secrets: private, made once, or following the secret of the swarm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from pydantic import SecretStr

from voidlux_site.home import keep_secrets, own_api_token, secret_key
from voidlux_site.swarm_keys import (
    API_TOKEN,
    COOKIE_NAMES,
    SESSIONS,
    SWARM_PREFIX,
    cookie_suffix,
    key_of,
    swarm_key,
)

SECRET = "sixteen or more characters"


def environment(home: Path, **changed: Any) -> Any:
    return settings.ENVIRONMENT.model_copy(update={"home": home, **changed})


def member(home: Path, **changed: Any) -> Any:
    return environment(home, auth_secret=SecretStr(SECRET), **changed)


def held(home: Path) -> list[str]:
    return [(home / name).read_text("ascii") for name in ("secret-key", "api-token")]


def test_secret_key_is_private_and_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"

    key = secret_key(environment(home))

    assert len(key) == 64
    assert (home / "secret-key").stat().st_mode & 0o777 == 0o600
    assert secret_key(environment(home)) == key


def test_racing_first_readers_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        keys = set(threads.map(secret_key, [environment(tmp_path)] * 64))

    assert len(keys) == 1
    leftovers = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert leftovers == []


def test_the_swarms_key_is_what_it_was_in_earlier_versions() -> None:
    key = swarm_key(SESSIONS, secret=SECRET, network="galaxy", swarm="home")

    assert key == "swarm.pPj4vz3L5JoE8zSXdmSN_TpGW-1adpn-gaWPHYKr3SI"


def test_each_purpose_secret_network_and_swarm_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = [
        *(key_of(member(tmp_path), purpose) for purpose in (SESSIONS, API_TOKEN, COOKIE_NAMES)),
        key_of(member(tmp_path, swarm="other"), SESSIONS),
        key_of(member(tmp_path, network="other"), SESSIONS),
        key_of(environment(tmp_path, auth_secret=SecretStr(SECRET + "!")), SESSIONS),
    ]

    assert len(set(keys)) == 6
    assert all(key.startswith(SWARM_PREFIX) and len(key) == 49 for key in keys)
    assert key_of(environment(tmp_path), SESSIONS) == ""


def test_a_members_key_needs_no_file(tmp_path: Path) -> None:
    home = tmp_path / "home"

    assert secret_key(member(home)) == key_of(member(home), SESSIONS)
    assert not home.exists()


def test_the_files_follow_the_secret_of_the_swarm(tmp_path: Path) -> None:
    keep_secrets(tmp_path, environment(tmp_path))
    drawn = held(tmp_path)
    keep_secrets(tmp_path, environment(tmp_path))
    assert held(tmp_path) == drawn

    keep_secrets(tmp_path, member(tmp_path))

    assert held(tmp_path) == [key_of(member(tmp_path), each) for each in (SESSIONS, API_TOKEN)]
    for name in ("secret-key", "api-token"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_command_that_is_not_told_the_secret_reads_it_from_the_home(tmp_path: Path) -> None:
    keep_secrets(tmp_path, member(tmp_path))

    untold = environment(tmp_path)

    assert secret_key(untold) == secret_key(member(tmp_path))
    assert own_api_token(tmp_path, untold) == own_api_token(tmp_path, member(tmp_path))


@pytest.mark.parametrize("left_over", ["", "swarm.of-the-swarm-that-was-left"])
def test_a_node_that_left_its_swarm_draws_secrets_that_members_do_not_know(
    tmp_path: Path, left_over: str
) -> None:
    for name in ("secret-key", "api-token"):
        (tmp_path / name).write_text(left_over, "ascii")

    keep_secrets(tmp_path, environment(tmp_path))

    assert [len(each) for each in held(tmp_path)] == [64, 43]
    assert not any(each.startswith(SWARM_PREFIX) for each in held(tmp_path))


def test_cookies_are_named_after_the_swarm_or_else_the_port(tmp_path: Path) -> None:
    first, second = (member(tmp_path, http_port=port) for port in (9091, 9092))

    assert cookie_suffix(first) == cookie_suffix(second) != ""
    assert cookie_suffix(member(tmp_path, swarm="other")) != cookie_suffix(first)
    assert cookie_suffix(environment(tmp_path, http_port=9092)) == "9092"
