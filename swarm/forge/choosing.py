"""Who speaks to a forge: its API with the node's token, or `gh`, or nobody."""

from __future__ import annotations

from django.conf import settings

from swarm.forge import gh
from swarm.forge.addresses import Place, place_of
from swarm.forge.contract import Forge
from swarm.forge.failures import ForgeError
from swarm.forge.models import PullRequest
from swarm.forge.states import ForgeKind


def speaker_for(repository: str) -> tuple[ForgeKind, Place] | None:
    """Return how a repository's forge would be spoken to; None where the remote is bare for us.

    Whether `gh` is logged in is not asked here: that takes a process.
    """
    place = place_of(repository)
    if place is None:
        return None
    if _token(place.kind):
        return place.kind, place
    if place.kind == ForgeKind.GITHUB and gh.is_installed():
        return ForgeKind.GH, place
    return None


def forge_for(pull: PullRequest) -> Forge:
    """Return the forge of a pull request; ForgeError where nobody can speak to it any more."""
    found = speaker_for(pull.goal.repository)
    if found is None:
        raise ForgeError(
            f"no token is set for the {pull.kind} of {pull.project}, and no gh is installed",
            retryable=False,
        )
    kind, place = found
    timeout_s = settings.ENVIRONMENT.forge_timeout_s
    if kind == ForgeKind.GH:
        return gh.GhForge(place.base_url, place.project, timeout_s)
    # The libraries take long to import: only where they are used, which is in the worker.
    if kind == ForgeKind.GITHUB:
        from swarm.forge.github import GitHubForge

        return GitHubForge(place.base_url, place.project, _token(kind), timeout_s)
    from swarm.forge.gitlab import GitLabForge

    return GitLabForge(place.base_url, place.project, _token(kind), timeout_s)


def _token(kind: ForgeKind) -> str:
    environment = settings.ENVIRONMENT
    tokens = {
        ForgeKind.GITHUB: environment.github_token,
        ForgeKind.GITLAB: environment.gitlab_token,
    }
    return str(tokens[kind].get_secret_value())
