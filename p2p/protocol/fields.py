"""Annotated types from which every message is declared: no field without a bound."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from p2p.protocol import limits

# Text holds no NUL because PostgreSQL cannot store one.
_NO_NUL = "^[^\\x00]*$"
# `$` alone would let one line end pass at the end of the text.
_END = "$(?!\\n)"


def about(meaning: str) -> Meta:
    """Return the annotation that says in one phrase what a field means."""
    return Meta(description=meaning)


NodeId = Annotated[str, Meta(pattern="^[0-9a-f]{32}" + _END, min_length=32, max_length=32)]
OptionalNodeId = Annotated[str, Meta(pattern="^([0-9a-f]{32})?" + _END, max_length=32)]
Uuid = Annotated[str, Meta(pattern="^[0-9a-f]{32}" + _END, min_length=32, max_length=32)]
PublicKey = Annotated[
    str, Meta(pattern="^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=" + _END, min_length=44, max_length=44)
]
SignatureText = Annotated[
    str, Meta(pattern="^[A-Za-z0-9+/]{85}[AQgw]==" + _END, min_length=88, max_length=88)
]
Nonce = Annotated[str, Meta(pattern="^[0-9a-f]{64}" + _END, min_length=64, max_length=64)]
ConnectionNonce = Annotated[str, Meta(pattern="^[0-9a-f]{16}" + _END, min_length=16, max_length=16)]
Proof = Annotated[str, Meta(pattern="^([0-9a-f]{64})?" + _END, max_length=64)]
Sha = Annotated[
    str, Meta(pattern="^([0-9a-f]{40}|[0-9a-f]{64})" + _END, min_length=40, max_length=64)
]
TxHash = Annotated[str, Meta(pattern="^0x[0-9a-f]{64}" + _END, min_length=66, max_length=66)]
Timestamp = Annotated[
    str,
    Meta(
        pattern=(
            "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
            "T([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\\.[0-9]{1,6})?Z" + _END
        ),
        min_length=20,
        max_length=27,
    ),
]

Name = Annotated[
    str,
    Meta(pattern="^[a-z0-9][a-z0-9._+-]*" + _END, min_length=1, max_length=limits.NAME_CHARS_MAX),
]
OptionalName = Annotated[
    str, Meta(pattern="^([a-z0-9][a-z0-9._+-]*)?" + _END, max_length=limits.NAME_CHARS_MAX)
]
GitRef = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9_][A-Za-z0-9._/-]*" + _END,
        min_length=1,
        max_length=limits.GIT_REF_CHARS_MAX,
    ),
]
Title = Annotated[
    str,
    Meta(pattern="^[^\\x00-\\x1f\\x7f]*" + _END, min_length=1, max_length=limits.TITLE_CHARS_MAX),
]
Detail = Annotated[str, Meta(pattern=_NO_NUL, max_length=limits.DETAIL_CHARS_MAX)]
Summary = Annotated[str, Meta(pattern=_NO_NUL, max_length=limits.SUMMARY_CHARS_MAX)]
Body = Annotated[str, Meta(pattern=_NO_NUL, max_length=limits.BODY_CHARS_MAX)]
Url = Annotated[
    str,
    Meta(pattern="^[^\\x00-\\x20\\x7f-]\\S*" + _END, min_length=1, max_length=limits.URL_CHARS_MAX),
]
Host = Annotated[
    str,
    Meta(
        pattern="^[0-9A-Za-z:][0-9A-Za-z.:_%-]*" + _END,
        min_length=1,
        max_length=limits.HOST_CHARS_MAX,
    ),
]

Port = Annotated[int, Meta(ge=1, le=limits.PORT_MAX)]
OptionalPort = Annotated[int, Meta(ge=0, le=limits.PORT_MAX)]
Count = Annotated[int, Meta(ge=0, le=limits.COUNT_MAX)]
SmallCount = Annotated[int, Meta(ge=0, le=limits.SMALL_COUNT_MAX)]
Amount = Annotated[int, Meta(ge=0, le=limits.AMOUNT_MAX)]
Sequence = Annotated[int, Meta(ge=1, le=limits.INTEGER_MAX)]
Milliseconds = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]
Whole = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]
Position = Annotated[int, Meta(ge=0, le=limits.POSITION_END)]
Digest = Annotated[str, Meta(pattern="^([0-9a-f]{32})?" + _END, max_length=32)]

Role = Literal["emperor", "worker", "seneschal"]
Scope = Literal["network", "swarm"]
Currency = Literal["VOID"]
TaskIds = Annotated[list[Uuid], Meta(max_length=limits.TASK_IDS_MAX)]
Capabilities = Annotated[list[Name], Meta(max_length=limits.CAPABILITIES_MAX)]


class Address(Struct, frozen=True):
    """A place where a node listens for other nodes."""

    host: Annotated[Host, about("host name, IPv4 or IPv6 address, without brackets")]
    port: Annotated[Port, about("TCP port")]


RecordSeqs = Annotated[list[Sequence], Meta(min_length=1, max_length=limits.GOSSIP_IDS_MAX)]
Addresses = Annotated[list[Address], Meta(max_length=limits.ADDRESSES_MAX)]
