from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.protocol.errors import DomainError, ProtocolError
from p2p.protocol.frames import FrameDecoder, encode_frame
from p2p.protocol.limits import FRAME_BYTES_MAX


def frames_of(chunks: list[bytes]) -> tuple[list[bytes], str]:
    """Return every payload and the reason of the failure that ended the stream, if any."""
    decoder = FrameDecoder()
    payloads: list[bytes] = []
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            while (payload := decoder.next_frame()) is not None:
                payloads.append(payload)
    except ProtocolError as error:
        return payloads, error.reason
    return payloads, ""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def test_a_frame_is_its_length_and_its_payload() -> None:
    assert encode_frame(b'{"type":6}') == b'\x00\x00\x00\x0a{"type":6}'


def test_the_largest_frame_passes_and_one_byte_more_is_refused_on_both_sides() -> None:
    largest = b"x" * FRAME_BYTES_MAX

    assert frames_of([encode_frame(largest)]) == ([largest], "")
    with pytest.raises(DomainError, match="frame of 1048577 bytes exceeds 1048576") as refusal:
        encode_frame(largest + b"x")
    assert refusal.value.code == "frame_too_large"
    assert frames_of([(FRAME_BYTES_MAX + 1).to_bytes(4, "big")]) == ([], "frame_too_large")


def test_an_oversized_length_lets_go_of_the_buffer() -> None:
    decoder = FrameDecoder(frame_bytes_max=16)
    decoder.feed((17).to_bytes(4, "big") + b"x" * 1000)

    with pytest.raises(ProtocolError, match="frame of 17 bytes exceeds 16"):
        decoder.next_frame()

    assert decoder.buffered_bytes == 0


def test_an_empty_frame_is_refused() -> None:
    assert frames_of([b"\0\0\0\0"]) == ([], "empty_frame")


@given(st.lists(st.binary(min_size=1, max_size=300)), st.lists(st.integers(0, 10_000)))
def test_frames_survive_any_cut(payloads: list[bytes], places: list[int]) -> None:
    stream = b"".join(encode_frame(payload) for payload in payloads)

    assert frames_of(cut(stream, places)) == (payloads, "")


@given(st.binary(max_size=600), st.lists(st.integers(0, 10_000)))
def test_any_bytes_cut_anywhere_give_the_same_frames(data: bytes, places: list[int]) -> None:
    assert frames_of(cut(data, places)) == frames_of([data])
