"""A clone's settings are as they must be, however an agent changed them, and are read seldom."""

from __future__ import annotations

import os

from swarm.git.clone_settings import apply_settings
from swarm.git.repository import Repository


def test_what_an_agent_changed_is_set_again(repo: Repository) -> None:
    apply_settings(repo.path, repo.url)
    repo.git("config", "gc.auto", "1")
    repo.git("config", "--unset", "extensions.preciousobjects")

    apply_settings(repo.path, repo.url)

    assert repo.git("config", "gc.auto").stdout == "0\n"
    assert repo.git("config", "extensions.preciousobjects").stdout == "true\n"


def test_settings_that_nobody_wrote_to_are_not_read_again(
    repo: Repository, git_commands: list[str]
) -> None:
    apply_settings(repo.path, repo.url)
    git_commands.clear()

    apply_settings(repo.path, repo.url)

    assert git_commands == []


def test_a_change_is_seen_though_its_time_and_size_are_those_of_before(repo: Repository) -> None:
    config = repo.path / "config"
    apply_settings(repo.path, repo.url)
    before = config.stat()
    changed = config.read_bytes().replace(b"auto = 0", b"auto = 1")
    with config.open("r+b") as file:
        file.write(changed)
    os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert config.stat().st_size == before.st_size

    apply_settings(repo.path, repo.url)

    assert repo.git("config", "gc.auto").stdout == "0\n"
