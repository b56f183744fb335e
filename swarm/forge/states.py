"""Where a pull request is, what its checks say, and who speaks to the forge."""

from __future__ import annotations

from django.db.models import TextChoices


class ForgeKind(TextChoices):
    """Through what a forge is spoken to."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GH = "gh"


class PullState(TextChoices):
    """Where a pull request is."""

    WAITING = "waiting"
    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"
    FAILED = "failed"


class Checks(TextChoices):
    """What the forge's checks say of the head."""

    UNKNOWN = "unknown"
    NONE = "none"
    PENDING = "pending"
    GREEN = "green"
    RED = "red"


PULL_ENDED = frozenset({PullState.MERGED, PullState.CLOSED})
