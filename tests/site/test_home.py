"""The home's secret key: private, made once, the same for everybody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from voidlux_site.home import read_or_create_secret_key


def test_secret_key_is_private_and_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"

    key = read_or_create_secret_key(home)

    assert len(key) == 64
    assert (home / "secret-key").stat().st_mode & 0o777 == 0o600
    assert read_or_create_secret_key(home) == key


def test_racing_first_readers_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        keys = set(threads.map(read_or_create_secret_key, [tmp_path] * 64))

    assert len(keys) == 1
    leftovers = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert leftovers == []
