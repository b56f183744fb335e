"""Hosts in network namespaces of their own, joined by a switch that loses what it is told to lose.

The switch is a bridge in a namespace too, so that removing the namespaces removes everything.
Names hold the id of this process: nothing of anybody else is ever touched.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.services import find_program, is_lacking

# 198.18.0.0/15 is reserved for tests of networks (RFC 2544).
_NETWORKS = 512
_PLACES = (Path("/usr/sbin"), Path("/sbin"))  # not on everybody's PATH
_SEES_ALL = 254
_RULES = """
table bridge voidlux
delete table bridge voidlux
table bridge voidlux {
  chain passing {
    type filter hook forward priority 0
    %s
  }
}
"""
_HOST_RULES = """
table inet voidlux
delete table inet voidlux
table inet voidlux {
  chain leaving {
    type filter hook output priority 0
    %s
  }
}
"""


_PER_PROCESS = 8
_BUILT = itertools.count()


@dataclass(frozen=True)
class Host:
    """One machine of the test's network."""

    namespace: str
    address: str
    port: str  # of the switch


class Switch:
    """Joins hosts, and this machine as an onlooker whose traffic is never touched."""

    def __init__(self, hosts_count: int) -> None:
        self._ip, self._nft = find_program("ip", _PLACES), find_program("nft", _PLACES)
        # The kernel takes its time with what is removed: the next one of this process is another.
        built = next(_BUILT)
        number = (os.getpid() * _PER_PROCESS + built % _PER_PROCESS) % _NETWORKS
        prefix = f"198.{18 + number // 256}.{number % 256}"
        self._name = f"vl{os.getpid()}n{built}"
        self._onlooker = f"{prefix}.{_SEES_ALL}"
        self.hosts = [
            Host(f"{self._name}-{n}", f"{prefix}.{n}", f"p{n}") for n in range(1, hosts_count + 1)
        ]
        self._namespaces: list[str] = []

    def command_in(self, host: Host, *command: str) -> list[str]:
        """Return the command line that runs a command on a host, without a process between."""
        return [self._ip, "netns", "exec", host.namespace, *command]

    def build(self) -> None:
        """Make everything; `remove` takes away what was made, also after a failure here."""
        self._add_namespace(self._name)
        self._in_switch("link", "add", "switch", "type", "bridge")
        self._in_switch("link", "set", "switch", "up")
        for host in self.hosts:
            self._add_namespace(host.namespace)
            self._plug(host.port, "eth0", "netns", host.namespace)
            self._set_up(["-n", host.namespace], "eth0", host.address)
        self._plug("watch", self._name, "netns", str(os.getpid()))
        self._set_up([], self._name, self._onlooker)

    def lose(self, percent: int) -> None:
        """Lose that part of all packets between hosts, by chance."""
        ports = _set_of(host.port for host in self.hosts)
        between = f"iifname {ports} oifname {ports}"
        self._rule(f"{between} numgen random mod 100 < {percent} counter drop")

    def lost_packets(self) -> int:
        """Return how many packets the present rules of the switch have lost."""
        listed = _run(self._command_in_switch("-j", "list", "table", "bridge", "voidlux"))
        rules = [each["rule"]["expr"] for each in json.loads(listed)["nftables"] if "rule" in each]
        return sum(
            part["counter"]["packets"] for rule in rules for part in rule if "counter" in part
        )

    def cut(self, senders: Collection[Host], receivers: Collection[Host]) -> None:
        """Lose everything that goes from the ones to the others, broadcasts too."""
        to, by = (_set_of(host.port for host in side) for side in (receivers, senders))
        self._rule(f"iifname {by} oifname {to} counter drop")

    def part(self, left: Collection[Host], right: Collection[Host]) -> None:
        """Cut both ways, and let connections across end at once, as a firewall does."""
        names = _set_of(host.port for host in left), _set_of(host.port for host in right)
        one_way = "iifname {} oifname {} counter drop"
        self._rule(f"{one_way.format(*names)}\n{one_way.format(*reversed(names))}")
        for here, there in ((left, right), (right, left)):
            addresses = _set_of(host.address for host in there)
            for host in here:
                self._rule_of(host, f"ip daddr {addresses} meta l4proto tcp reject with tcp reset")

    def mend(self) -> None:
        """Let everything pass again."""
        self._rule("")
        for host in self.hosts:
            self._rule_of(host, "")

    def remove(self) -> None:
        """Take the namespaces away, and with them bridge, cables and rules."""
        with contextlib.ExitStack() as undo:  # all of them, whatever one of them says
            for name in self._namespaces:
                undo.callback(_run, [self._ip, "netns", "delete", name])
            self._namespaces.clear()

    def _add_namespace(self, name: str) -> None:
        _run([self._ip, "netns", "add", name])
        self._namespaces.append(name)

    def _plug(self, port: str, end: str, *where: str) -> None:
        self._in_switch("link", "add", port, "type", "veth", "peer", "name", end, *where)
        self._in_switch("link", "set", port, "master", "switch", "up")

    def _set_up(self, where: list[str], device: str, address: str) -> None:
        _run([self._ip, *where, "address", "add", f"{address}/24", "dev", device])
        for each in {device, "lo"}:
            _run([self._ip, *where, "link", "set", each, "up"])

    def _in_switch(self, *arguments: str) -> None:
        _run([self._ip, "-n", self._name, *arguments])

    def _rule(self, rule: str) -> None:
        _run(self._command_in_switch("-f", "-"), _RULES % rule)

    def _command_in_switch(self, *arguments: str) -> list[str]:
        return [self._ip, "netns", "exec", self._name, self._nft, *arguments]

    def _rule_of(self, host: Host, rule: str) -> None:
        _run(self.command_in(host, self._nft, "-f", "-"), _HOST_RULES % rule)


@contextlib.contextmanager
def switched_hosts(count: int) -> Iterator[Switch]:
    """Build hosts and their switch, and remove them when the block ends, however it ends.

    Skips (or fails, see `is_lacking`) where this is not root or has no namespaces.
    """
    if os.geteuid() != 0:
        is_lacking("network namespaces need root")
    switch = Switch(count)
    try:
        try:
            switch.build()
        except subprocess.CalledProcessError as error:
            is_lacking(f"no network namespaces: {error.cmd[1:]}: {error.stderr.strip()}")
        yield switch
    finally:
        switch.remove()


def _set_of(names: Iterable[str]) -> str:
    return "{ " + ", ".join(names) + " }"


def _run(command: list[str], typed: str = "") -> str:
    done = subprocess.run(command, input=typed, capture_output=True, text=True, check=True)
    return done.stdout
