"""A network in memory: machines, and TCP between them with cuts, delays and stalled readers.

Within a connection bytes come whole and in order or not at all, as TCP promises. A cut holds
them back until it heals or one end gives up; a machine whose power is gone answers nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.tampering import Tamper
from tests.simulation.virtual_time import PROCESS, Process, VirtualLoop

SOCKET_BYTES = 65_536  # what the two kernels hold without the writer noticing
LATENCY_S = (0.001, 0.06)  # one way, drawn for each pair of machines


@dataclass
class Machine:
    """A machine with one address."""

    address: str
    powered: bool = True
    stalled: bool = False  # it reads nothing
    slowness: float = 1.0  # multiplies the latency
    listeners: dict[int, tuple[Callable[[], Any], Process]] = field(default_factory=dict)
    ends: dict[End, None] = field(default_factory=dict)


class Network:
    """All machines and everything that is on its way between them."""

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        """Take the loop, which from now on connects here, and the source of chance."""
        self.machines: dict[str, Machine] = {}
        self.trace = hashlib.blake2b(digest_size=16)
        self.chunks = 0
        self.loop = loop
        self.chance = chance
        self.tampers: dict[tuple[str, str], Tamper] = {}
        self._sides: dict[str, int] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._latencies: dict[tuple[str, str], float] = {}
        loop.wires = self

    def machine(self, address: str) -> Machine:
        """Return the machine of an address, made at the first time."""
        return self.machines.setdefault(address, Machine(address))

    def listen(self, factory: Callable[[], Any], host: str, port: int) -> Listener:
        """Listen; OSError when the port is taken."""
        machine = self.machine(host)
        if port in machine.listeners:
            raise OSError(98, f"{host}:{port} is in use")
        machine.listeners[port] = (factory, PROCESS.get())
        return Listener(machine, port)

    async def connect(self, factory: Callable[[], Any], host: str, port: int) -> tuple[End, Any]:
        """Connect after one round trip; never, over a cut; OSError when nobody listens."""
        process = PROCESS.get()
        here, there = self.machine(process.host), self.machine(host)
        await asyncio.sleep(2 * self.latency_s(here.address, host))
        if not there.powered or self.is_cut(here.address, host) or self.is_cut(host, here.address):
            await self.loop.create_future()
        if port not in there.listeners:
            raise ConnectionRefusedError(111, f"nobody listens at {host}:{port}")
        accept, server = there.listeners[port]
        near, far = End(self, here, process), End(self, there, server)
        near.join(far, (host, port))
        far.join(near, (here.address, 40_000))
        server.context.run(far.open, accept)
        protocol = factory()
        near.attach(protocol)
        return near, protocol

    def latency_s(self, here: str, there: str) -> float:
        """Return how long the next bytes take from one machine to another."""
        pair = (min(here, there), max(here, there))
        if pair not in self._latencies:
            self._latencies[pair] = self.chance.uniform(*LATENCY_S)
        slowness = self.machines[here].slowness * self.machines[there].slowness
        return self._latencies[pair] * slowness * (1 + 0.2 * self.chance.random())

    def is_cut(self, here: str, there: str) -> bool:
        """Tell whether nothing passes from one machine to another."""
        apart = self._sides.get(here, 0) != self._sides.get(there, 0)
        return apart or (here, there) in self._cuts

    def part(self, sides: dict[str, int]) -> None:
        """Part the machines; who is not named is on side 0."""
        self._sides = dict(sides)
        self._move_on()

    def cut(self, here: str, there: str) -> None:
        """Let nothing pass in this direction."""
        self._cuts.add((here, there))

    def mend(self, here: str, there: str) -> None:
        """Let pass again what was cut."""
        self._cuts.discard((here, there))
        self._move_on()

    def heal(self) -> None:
        """Let everything pass again, quickly, read by everybody and touched by nobody."""
        self._sides, self._cuts = {}, set()
        self.tampers.clear()
        for machine in self.machines.values():
            machine.stalled, machine.slowness = False, 1.0
        self._move_on()

    def stall(self, address: str, stalled: bool) -> None:
        """Let a machine stop or resume to read."""
        self.machine(address).stalled = stalled
        self._move_on()

    def crash(self, process: Process, *, power: bool) -> None:
        """End a process; its peers learn of it at once, unless its machine's power goes too."""
        machine = self.machine(process.host)
        machine.listeners.clear()
        machine.powered = not power
        process.kill()
        for end in list(machine.ends):
            end.die(tell=not power)

    def note(self, here: str, there: str, data: bytes) -> None:
        """Write what arrives into the trace."""
        self.chunks += 1
        self.trace.update(f"{self.loop.time():.9f} {here} {there} {len(data)} ".encode())
        self.trace.update(data)

    def _move_on(self) -> None:
        for machine in self.machines.values():
            for end in list(machine.ends):
                end.move_on()


class Listener:
    """What asyncio calls a server."""

    def __init__(self, machine: Machine, port: int) -> None:
        self._machine = machine
        self._port = port
        self.sockets = (self,)

    def getsockname(self) -> tuple[str, int]:
        """Return the bound address."""
        return (self._machine.address, self._port)

    def close(self) -> None:
        """Listen no more."""
        self._machine.listeners.pop(self._port, None)


class End(asyncio.Transport):
    """One end of a connection, with everything that it sent and that has not arrived."""

    def __init__(self, network: Network, machine: Machine, process: Process) -> None:
        super().__init__()
        self.process = process
        self.protocol: Any = None
        self._net = network
        self._machine = machine
        self._peer: End
        self._way: deque[tuple[float, bytes | None]] = deque()  # None: the end of the stream
        self._way_bytes = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._reading = True
        self._closing = False
        self._gone = False
        machine.ends[self] = None

    def join(self, peer: End, peername: tuple[str, int]) -> None:
        """Learn the other end."""
        self._peer = peer
        self._extra["peername"] = peername

    def open(self, accept: Callable[[], Any]) -> None:
        """Begin the accepting side."""
        self.attach(accept())

    def attach(self, protocol: Any) -> None:
        """Begin."""
        self.protocol = protocol
        protocol.connection_made(self)

    def write(self, data: Any) -> None:
        if data and not self._closing and not self._gone:
            self._way_bytes += len(data)
            self._send(bytes(data))

    def get_write_buffer_size(self) -> int:
        return max(0, self._way_bytes - SOCKET_BYTES)

    def is_closing(self) -> bool:
        return self._closing or self._gone

    def close(self) -> None:
        if self.is_closing():
            return
        self._closing = True
        self._send(None)
        if not self.get_write_buffer_size():
            self._lose(None)

    def abort(self) -> None:
        if self._gone:
            return
        self._closing = True
        self._reset()
        self._lose(None)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._peer.move_on()

    def is_reading(self) -> bool:
        return self._reading

    def die(self, *, tell: bool) -> None:
        """End without a word to the own side, whose process is gone."""
        self._gone = True
        self._machine.ends.pop(self, None)
        if tell:
            self._reset()
        else:
            self._way.clear()

    def move_on(self) -> None:
        """Try again to carry what waits."""
        if self._way and self._timer is None:
            due = max(self._way[0][0], self._net.loop.time() + self._net.chance.random())
            self._arm(due)

    def _send(self, data: bytes | None) -> None:
        here, there = self._machine.address, self._peer._machine.address
        due = self._net.loop.time() + self._net.latency_s(here, there)
        self._last_due = max(self._last_due, due)
        self._way.append((self._last_due, data))
        if len(self._way) == 1:
            self._arm(self._last_due)

    def _arm(self, due: float) -> None:
        # Not a timer of any process: what was sent arrives also when its sender is gone.
        self._timer = self._net.loop.call_at(due, self._carry, context=_NOBODY)

    def _carry(self) -> None:
        self._timer = None
        here, there = self._machine.address, self._peer._machine.address
        if self._net.is_cut(here, there) or self._peer._is_blocked():
            return
        now, arrived, ended = self._net.loop.time(), [], False
        while self._way and self._way[0][0] <= now + 1e-9:
            data = self._way.popleft()[1]
            if data is None:
                ended = True
            else:
                self._way_bytes -= len(data)
                arrived.append(data)
        if arrived:
            self._deliver(b"".join(arrived))
        if ended:
            self._peer._ended()
        if self._way and self._timer is None:
            self._arm(self._way[0][0])
        if self._closing and not self._gone and not self.get_write_buffer_size():
            self._lose(None)

    def _deliver(self, data: bytes) -> None:
        here, there = self._machine.address, self._peer._machine.address
        if self._peer._gone:
            if not self._peer.process.alive and self._peer._machine.powered:
                self._lose(ConnectionResetError(104, "the other process is gone"))
            return
        self._net.note(here, there, data)
        tamper = self._net.tampers.get((here, there))
        if tamper is None:
            self._peer._receive(data)
            return
        for delay_s, changed in tamper.feed(self, data):
            if delay_s:
                later = self._net.loop.time() + delay_s
                self._net.loop.call_at(later, self._peer._receive, changed, context=_NOBODY)
            else:
                self._peer._receive(changed)

    def _is_blocked(self) -> bool:
        return not self._gone and (self._machine.stalled or not self._reading)

    def _receive(self, data: bytes) -> None:
        if not self._gone:
            self.process.context.run(self.protocol.data_received, data)

    def _ended(self) -> None:
        if not self._gone:
            self._closing = True
            self._lose(None)

    def _reset(self) -> None:
        self._way.clear()
        self._way_bytes = 0
        self._send(None)

    def _lose(self, error: Exception | None) -> None:
        """Tell the own side, soon, that the connection is over."""
        if self._gone:
            return
        self._gone = True
        self._machine.ends.pop(self, None)
        if self.process.alive:
            self._net.loop.call_soon(
                self.protocol.connection_lost, error, context=self.process.context
            )


_NOBODY = contextvars.Context()
