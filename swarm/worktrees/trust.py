"""Which hooks of a repository the operator trusts: a decision per text, kept in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from p2p.protocol.errors import DomainError, ExternalError
from swarm.git.locking import clone_lock
from swarm.git.repository import Repository
from swarm.worktrees.hooks import Hook

SEEN_MAX = 50  # per repository; the oldest that nobody trusted are forgotten
LOCK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Decision:
    """A hook that a repository asked for, and since when it is trusted, if it is."""

    digest: str
    kind: str
    text: str
    seen_at: str
    trusted_at: str | None = None


def decisions(repo: Repository) -> list[Decision]:
    """Return all hooks seen in a repository, the one seen last first."""
    try:
        stored = json.loads(_file(repo).read_text("utf-8"))
        return [Decision(**each) for each in stored["hooks"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"the decisions about hooks cannot be read: {error}"
        raise ExternalError(message, retryable=False) from error


def is_trusted(repo: Repository, hook: Hook) -> bool:
    """Tell whether the operator trusts exactly this text as this kind of hook."""
    return any(each.digest == hook.digest and each.trusted_at for each in decisions(repo))


def note_seen(repo: Repository, hooks: Iterable[Hook], *, now: datetime) -> None:
    """Remember hooks that a repository asks for, so that the operator can decide on them."""
    with _changing(repo) as known:
        for hook in hooks:
            old = next((each for each in known if each.digest == hook.digest), None)
            if old is not None:
                known.remove(old)
            seen = Decision(hook.digest, hook.kind, hook.text, now.isoformat())
            known.insert(0, seen if old is None else replace(old, seen_at=seen.seen_at))


def trust(repo: Repository, digest: str = "", *, now: datetime) -> list[Decision]:
    """Trust the hook whose digest begins so, or the latest of each kind; returns what is trusted.

    DomainError `unknown_hook` where no hook was seen, or several begin so.
    """
    with _changing(repo) as known:
        chosen = _chosen(known, digest)
        made = {each.digest: replace(each, trusted_at=now.isoformat()) for each in chosen}
        known[:] = [made.get(each.digest, each) for each in known]
    return list(made.values())


def distrust(repo: Repository, digest: str = "") -> list[Decision]:
    """Take trust back from the hook whose digest begins so, or from all of them."""
    with _changing(repo) as known:
        chosen = _chosen(known, digest) if digest else [each for each in known if each.trusted_at]
        gone = {each.digest for each in chosen}
        known[:] = [replace(e, trusted_at=None) if e.digest in gone else e for e in known]
    return chosen


def _chosen(known: list[Decision], digest: str) -> list[Decision]:
    if digest:
        found = [each for each in known if each.digest.startswith(digest)]
        if len(found) != 1:
            message = f"{len(found)} hooks of this repository begin with {digest!r}, 1 is needed"
            raise DomainError("unknown_hook", message, status=404)
        return found
    latest = {each.kind: each for each in reversed(known)}
    if not latest:
        raise DomainError("unknown_hook", "no hook of this repository was seen yet", status=404)
    return list(latest.values())


@contextmanager
def _changing(repo: Repository) -> Iterator[list[Decision]]:
    path = _file(repo)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with clone_lock(path, LOCK_TIMEOUT_S):
        known = decisions(repo)
        yield known
        trusted = [each for each in known if each.trusted_at]
        others = [each for each in known if not each.trusted_at][:SEEN_MAX]
        kept = [each for each in known if each in trusted or each in others]
        _write(path, {"repository": repo.url, "hooks": [asdict(each) for each in kept]})


def _write(path: Path, content: dict[str, object]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _file(repo: Repository) -> Path:
    return repo.own_dir / "hooks.json"
