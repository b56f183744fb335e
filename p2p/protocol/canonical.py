"""The canonical form: what a payload must look like before anything of it is decoded.

`{"type":N,` opens it and `}` closes it, no white space around; no object has a key twice,
and no key is written with escapes: two readers can then never understand it differently.
"""

from __future__ import annotations

import re

from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import NESTING_MAX, OBJECT_KEYS_MAX, TOKENS_MAX

_HEAD = re.compile(rb'\{"type":(0|[1-9][0-9]{0,4}),')
# Possessive throughout: linear on any input. A quote that never closes matches with group 2
# empty. Group 3 marks a key, whose text is group 1.
_TOKEN = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)("?+)([ \t\r\n]*+:)?+|[\[\]{}]', re.DOTALL)
_OPENING = frozenset((b"{", b"["))


def peek_number(payload: bytes) -> int:
    """Return the message number of a payload; ProtocolError when its outside is not canonical."""
    head = _HEAD.match(payload)
    if head is None or payload[-1:] != b"}":
        raise ProtocolError("not_canonical", f'frame begins {payload[:24]!r}, not {{"type":N,')
    return int(head[1])


def check_keys(payload: bytes) -> None:
    """Refuse duplicate or escaped keys and unreasonable nesting with a ProtocolError."""
    open_objects: list[set[bytes] | None] = []
    for tokens, token in enumerate(_TOKEN.finditer(payload)):
        if tokens >= TOKENS_MAX:
            raise ProtocolError("not_canonical", f"frame has more than {TOKENS_MAX} tokens")
        if token[2] is None:
            _nest(open_objects, token[0])
        elif not token[2]:
            raise ProtocolError("malformed", f"string at byte {token.start()} never ends")
        elif token[3] is not None:
            _note_key(open_objects, token[1])


def _nest(open_objects: list[set[bytes] | None], bracket: bytes) -> None:
    if bracket not in _OPENING:
        if not open_objects:
            raise ProtocolError("malformed", "a bracket closes that never opened")
        open_objects.pop()
        return
    if len(open_objects) >= NESTING_MAX:
        raise ProtocolError("not_canonical", f"frame is nested deeper than {NESTING_MAX}")
    open_objects.append(set() if bracket == b"{" else None)


def _note_key(open_objects: list[set[bytes] | None], key: bytes) -> None:
    keys = open_objects[-1] if open_objects else None
    if keys is None:
        raise ProtocolError("malformed", f"key {key[:64]!r} stands in no object")
    if b"\\" in key:
        raise ProtocolError("not_canonical", f"key {key[:64]!r} is escaped")
    if key in keys:
        raise ProtocolError("not_canonical", f"key {key[:64]!r} stands twice")
    if len(keys) >= OBJECT_KEYS_MAX:
        raise ProtocolError("not_canonical", f"object has more than {OBJECT_KEYS_MAX} keys")
    keys.add(key)
