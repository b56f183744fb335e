"""One TCP address in front of several nodes: bytes go to the node that is named, as they are."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.support.nodes import HOST, RealNode


class OneAddress:
    """Listens on one port; a change of node cuts what is open, as a failover does."""

    def __init__(self, node: RealNode, listener: socket.socket) -> None:
        self._node = node
        self._listener = listener
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.host = f"{HOST}:{listener.getsockname()[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, node: RealNode) -> None:
        """Lead to another node from now on."""
        with self._lock:
            self._node = node
            cut, self._open = self._open, []
        for each in cut:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with self._lock:
                    node = self._node
                    try:
                        far = socket.create_connection((node.host, node.http_port))
                    except OSError:
                        near.close()
                        continue
                    self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=ends, daemon=True).start()


@contextlib.contextmanager
def one_address(node: RealNode) -> Iterator[OneAddress]:
    """Listen until the block ends."""
    with socket.create_server((HOST, 0)) as listener:
        address = OneAddress(node, listener)
        yield address
        listener.shutdown(socket.SHUT_RDWR)
        address.lead_to(node)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
