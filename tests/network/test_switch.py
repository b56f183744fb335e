"""The network of these tests leaves nothing behind."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.namespaces import switched_hosts


def namespaces() -> str:
    return subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=True
    ).stdout


def test_hosts_are_removed_when_a_test_fails() -> None:
    with pytest.raises(RuntimeError, match="of the test"), switched_hosts(2) as switch:
        assert all(host.namespace in namespaces() for host in switch.hosts)
        raise RuntimeError("of the test")

    assert not any(host.namespace in namespaces() for host in switch.hosts)
