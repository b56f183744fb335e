"""Which forge a repository's URL leads to, and how the project is called there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from django.conf import settings

from swarm.forge.states import ForgeKind

_SCP = re.compile(r"(?:[^@/\s]+@)?(?P<host>\[[^\]]+\]|[^:/\s]+):(?P<path>[^\s]+)")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_PORTS = {"http": 80, "https": 443}
# Under other names, so that ssh passes where only the port of https is open.
_SSH_ALIASES = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}


@dataclass(frozen=True, slots=True)
class Remote:
    """A git remote at a host: `port` counts for HTTP only, None for ssh."""

    host: str
    port: int | None
    path: str


@dataclass(frozen=True, slots=True)
class Place:
    """A project at a forge: the forge's base URL and the path `owner/project`."""

    kind: ForgeKind
    base_url: str
    project: str


def parse_remote(url: str) -> Remote | None:
    """Return where an http(s), ssh or scp-like URL leads; None for files and what is no URL."""
    if url.startswith(("http://", "https://", "ssh://")):
        try:
            parts = urlsplit(url)
            port, host = parts.port, (parts.hostname or "").lower()
        except ValueError:
            return None
        over_ssh = parts.scheme == "ssh"
        path = unquote(parts.path)
        return _remote(host, None if over_ssh else port or _PORTS[parts.scheme], path)
    match = None if url.startswith("/") or "://" in url else _SCP.fullmatch(url)
    return _remote(match["host"].strip("[]").lower(), None, match["path"]) if match else None


def place_of(url: str) -> Place | None:
    """Return the project that a repository's URL names at a configured forge, or None."""
    remote = parse_remote(url)
    if remote is None:
        return None
    environment = settings.ENVIRONMENT
    forges = (
        (ForgeKind.GITHUB, environment.github_url),
        (ForgeKind.GITLAB, environment.gitlab_url),
    )
    for kind, base_url in forges:
        project = _project_at(base_url, remote)
        if project and _is_project(kind, project):
            return Place(kind, base_url, project)
    return None


def _remote(host: str, port: int | None, path: str) -> Remote | None:
    cleaned = path.strip("/").removesuffix(".git")
    return Remote(_SSH_ALIASES.get(host, host), port, cleaned) if host and cleaned else None


def _project_at(base_url: str, remote: Remote) -> str | None:
    base = urlsplit(base_url)
    if remote.host != base.hostname:
        return None
    if remote.port is None:
        return remote.path
    if remote.port != (base.port or _PORTS[base.scheme]):
        return None
    prefix = base.path.strip("/")
    if not prefix:
        return remote.path
    below = remote.path.removeprefix(f"{prefix}/")
    return below if below != remote.path else None


def _is_project(kind: ForgeKind, project: str) -> bool:
    names = project.split("/")
    depth_fits = len(names) == 2 if kind == ForgeKind.GITHUB else 2 <= len(names) <= 20
    return depth_fits and all(map(_NAME.fullmatch, names))
