"""Which repositories are at a forge, and under which name."""

from __future__ import annotations

import pytest

from swarm.forge.addresses import Place, parse_remote, place_of
from swarm.forge.states import ForgeKind
from tests.swarm.forge.conftest import SetEnvironment

HUB, LAB = "https://github.com", "https://gitlab.com"


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/widgets.git",
        "https://github.com/acme/widgets",
        "https://github.com:443/acme/widgets/",
        "https://user:token@GitHub.com/acme/widgets.git",
        "ssh://git@github.com/acme/widgets.git",
        "ssh://git@github.com:22/acme/widgets.git",
        "ssh://git@ssh.github.com:443/acme/widgets.git",
        "git@github.com:acme/widgets.git",
        "git@github.com:/acme/widgets.git",
    ],
)
def test_a_project_at_github_is_found(url: str) -> None:
    assert place_of(url) == Place(ForgeKind.GITHUB, HUB, "acme/widgets")


@pytest.mark.parametrize(
    ("url", "project"),
    [
        ("https://gitlab.com/acme/widgets.git", "acme/widgets"),
        ("git@gitlab.com:acme/tools/deep/widgets.git", "acme/tools/deep/widgets"),
        ("ssh://git@altssh.gitlab.com:443/acme/widgets.git", "acme/widgets"),
    ],
)
def test_a_project_at_gitlab_is_found_in_its_groups(url: str, project: str) -> None:
    assert place_of(url) == Place(ForgeKind.GITLAB, LAB, project)


@pytest.mark.parametrize(
    "url",
    [
        "/srv/git/github.com/acme/widgets.git",
        "file:///github.com/acme/widgets.git",
        "https://github.com.evil.example/acme/widgets",
        "https://evil.example/github.com/acme/widgets",
        "https://github.com:8443/acme/widgets",
        "https://github.com@evil.example/acme/widgets",
        "https://github.com/acme",
        "https://github.com/acme/widgets/tree/main",
        "https://github.com/acme/../widgets",
        "https://github.com/acme/%2e%2e",
        "git@github.com:widgets.git",
        "https://gitlab.com/widgets",
        "https://github.com:99999/acme/widgets",
    ],
)
def test_everything_else_is_a_bare_remote(url: str) -> None:
    assert place_of(url) is None


def test_a_server_of_ones_own_has_a_port_and_a_path(set_environment: SetEnvironment) -> None:
    set_environment(gitlab_url="https://code.example:8443/gitlab")
    place = Place(ForgeKind.GITLAB, "https://code.example:8443/gitlab", "acme/widgets")

    assert place_of("https://code.example:8443/gitlab/acme/widgets.git") == place
    assert place_of("git@code.example:acme/widgets.git") == place
    assert place_of("https://code.example:8443/acme/widgets.git") is None
    assert place_of("https://gitlab.com/acme/widgets.git") is None


def test_the_password_of_a_url_is_not_kept() -> None:
    assert "token" not in repr(parse_remote("https://user:token@github.com/acme/widgets"))
