"""Bytes that this process received over TCP, as the kernel counted them for each socket."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

# struct tcp_info of Linux: 8 bytes, 24 numbers of 4 bytes, two pacing rates, bytes acknowledged.
_BYTES_RECEIVED_AT = 8 + 24 * 4 + 2 * 8 + 8
_TCP_INFO_BYTES = 192


def received_bytes() -> int:
    """Return the sum over the open TCP sockets of this process; Linux only."""
    return sum(_received(int(each.name)) for each in Path("/proc/self/fd").iterdir())


def _received(descriptor: int) -> int:
    try:
        # A copy, because closing a socket object closes its descriptor.
        with socket.socket(fileno=os.dup(descriptor)) as each:
            info = each.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return 0  # no socket, or not of TCP
    if len(info) < _BYTES_RECEIVED_AT + 8:
        return 0
    return int(struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)[0])
