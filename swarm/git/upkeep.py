"""Upkeep of a clone in which agents work: fewer files, and never an object less."""

from __future__ import annotations

from pathlib import Path

from swarm.git.command import LOCAL_TIMEOUT_S
from swarm.git.repository import Repository
from swarm.git.rescue.commits import loose_objects

LOOSE_MAX = 5_000
PACKS_MAX = 50
UPKEEP_TIMEOUT_S = 5 * LOCAL_TIMEOUT_S


def clones_of(home: Path) -> list[Repository]:
    """Return the clones below `home`, each with the URL that it was made for."""
    found = []
    for path in sorted((home / "repositories").glob("*.git")):
        config = Repository.url_of(path)
        if config:
            found.append(Repository(config, home))
    return [repo for repo in found if repo.path.is_dir()]


def tidy(repo: Repository) -> bool:
    """Pack what lies about in many files; True where anything was done.

    Everything that refs and reflogs reach is packed, all else stays as it is: nothing is pruned.
    """
    packs = len(list((repo.path / "objects" / "pack").glob("*.pack")))
    loose = len(loose_objects(repo.path / "objects"))
    if packs <= PACKS_MAX and loose <= LOOSE_MAX:
        return False
    steps = [
        ("repack", "--quiet"),
        ("prune-packed", "--quiet"),  # only copies of what is in a pack
        ("multi-pack-index", "write"),
        ("multi-pack-index", "repack"),
        ("multi-pack-index", "expire"),  # only packs whose objects are all in another
        ("pack-refs", "--all"),
    ]
    with repo.locked():
        for step in steps:
            repo.git(*step, timeout_s=UPKEEP_TIMEOUT_S)
    return True
