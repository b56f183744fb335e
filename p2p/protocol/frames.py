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
        # Frames are cut from the bytes as they came; only what is not whole yet is copied.
        self._chunk = b""
        self._at = 0
        self._buffer = bytearray()

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._buffer) + len(self._chunk) - self._at

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        if self._buffer or self._chunk:
            self._keep_rest()
            self._buffer += data
        else:
            self._chunk = data

    def next_frame(self) -> bytes | None:
        """Return the next payload, or None when more bytes are needed.

        Raises ProtocolError `frame_too_large` or `empty_frame` as soon as the length is known;
        what was buffered is let go, because the stream cannot be understood any more.
        """
        source, start = (self._chunk, self._at) if self._chunk else (self._buffer, 0)
        at = start + FRAME_PREFIX_BYTES
        frame_bytes = int.from_bytes(source[start:at], "big")
        end = at + frame_bytes
        if len(source) >= at and not 0 < frame_bytes <= self.frame_bytes_max:
            raise self._refused(frame_bytes)
        if len(source) < end:
            self._keep_rest()
            return None
        if source is self._buffer:
            payload = bytes(memoryview(source)[at:end])
            del self._buffer[:end]
            return payload
        self._at = end
        if end == len(source):
            self._chunk, self._at = b"", 0
        return bytes(source[at:end])

    def _keep_rest(self) -> None:
        if self._chunk:
            self._buffer += memoryview(self._chunk)[self._at :]
            self._chunk, self._at = b"", 0

    def _refused(self, frame_bytes: int) -> ProtocolError:
        self._chunk, self._at = b"", 0
        self._buffer.clear()
        if not frame_bytes:
            return ProtocolError("empty_frame", "frame of 0 bytes")
        detail = f"frame of {frame_bytes} bytes exceeds {self.frame_bytes_max}"
        return ProtocolError("frame_too_large", detail)
