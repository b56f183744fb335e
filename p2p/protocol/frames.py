"""Framing: a 4-byte big-endian length, then that many bytes of payload."""

from __future__ import annotations

from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.limits import FRAME_BYTES_MAX, FRAME_PREFIX_BYTES


def encode_frame(payload: bytes) -> bytes:
    """Return the frame of a payload; DomainError `frame_too_large` beyond 1 MiB."""
    if len(payload) > FRAME_BYTES_MAX:
        raise DomainError(
            "frame_too_large", f"frame of {len(payload)} bytes exceeds {FRAME_BYTES_MAX}", 413
        )
    return len(payload).to_bytes(FRAME_PREFIX_BYTES, "big") + payload


class FrameDecoder:
    """Turns a byte stream, cut anywhere, into payloads.

    `feed` takes bytes, `next_frame` gives payloads until it returns None; asking one by one
    lets the caller act on a frame (and lift the limit) before the next one is looked at.
    """

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Take the largest payload in bytes that is accepted."""
        self.frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """Return the next payload, or None when more bytes are needed.

        Raises ProtocolError `frame_too_large` or `empty_frame` as soon as the length is known;
        what was buffered is let go, because the stream cannot be understood any more.
        """
        if len(self._buffer) < FRAME_PREFIX_BYTES:
            return None
        frame_bytes = int.from_bytes(self._buffer[:FRAME_PREFIX_BYTES], "big")
        if frame_bytes > self.frame_bytes_max:
            self._buffer.clear()
            detail = f"frame of {frame_bytes} bytes exceeds {self.frame_bytes_max}"
            raise ProtocolError("frame_too_large", detail)
        if frame_bytes == 0:
            self._buffer.clear()
            raise ProtocolError("empty_frame", "frame of 0 bytes")
        end = FRAME_PREFIX_BYTES + frame_bytes
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[FRAME_PREFIX_BYTES:end])
        del self._buffer[:end]
        return payload
