"""The home of a node, and a topic of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p.local import LocalNode, acting_as
from p2p.protocol.identity import Identity
from tests.p2p.synced_layer import Layer
from tests.support.sync_stores import REGISTRY, TOPIC
from tests.support.wire import NETWORK


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalNode]:
    node = LocalNode(tmp_path, Identity.generate(), NETWORK, "home")
    with acting_as(node):
        yield node


@pytest.fixture
def layer(local: LocalNode, monkeypatch: pytest.MonkeyPatch) -> Layer:
    above = Layer()
    monkeypatch.setattr("p2p.registration._topics", {TOPIC: above.topic})
    monkeypatch.setattr("p2p.parking.registry", REGISTRY)
    monkeypatch.setattr("p2p.record_rows.registry", REGISTRY)
    return above
