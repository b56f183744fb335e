from __future__ import annotations

from functools import lru_cache

import pytest

from p2p.gossip import plumtree
from p2p.protocol.signatures import verify_sealed


@pytest.fixture
def verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify the same frame once for all nodes of a net: it is the same arithmetic each time."""
    monkeypatch.setattr(plumtree, "verify_sealed", lru_cache(maxsize=100_000)(verify_sealed))
