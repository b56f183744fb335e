"""The rules of the protocol in words, with numbers and docstrings taken from the code."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from p2p.protocol import handshake, limits, signatures
from p2p.protocol.documentation.tables import number_of
from p2p.protocol.messages import Message
from p2p.protocol.numbers import PROTOCOL_VERSION, MessageNumber


def introduction() -> str:
    """Return the head of the page."""
    return f"""# The VoidLux protocol, version {PROTOCOL_VERSION}

This page is generated from the message classes and docstrings in `p2p/protocol`; do not edit
it by hand. A client can be written from this page alone.

Nodes talk over TLS on TCP, in both directions of one connection. A node is an Ed25519 key pair
(RFC 8032); its **node id** is the first {limits.NODE_ID_BYTES} bytes of SHA-256(public key) as
{2 * limits.NODE_ID_BYTES} lower-case hex digits. Whoever presents a node id must present the key
that hashes to it and prove that it holds the private half."""


def transport() -> str:
    """Return TLS: who shows which certificate and who checks what."""
    return f"""## TLS

Everything below travels inside TLS 1.3, no older version, on a TCP connection; nothing is sent
before TLS is finished. The listener shows a certificate that it signed itself with its node key:
its public key is the node's Ed25519 key (RFC 8410), nothing else in it counts, and the dialler
takes any certificate at first. The dialler shows none, and sessions are not resumed. Whose the
channel is the handshake of the nodes decides:

- Both put the SHA-256 of the listener's certificate in DER, as it was sent, into the transcript
  that they sign. Somebody in the middle, who shows a certificate of its own, cannot pass on
  signatures that fit both sides.
- The dialler also refuses (`certificate_mismatch`) when the key in the certificate is not the
  `public_key` of the listener's HELLO.

On loopback a node may be told to go without TLS; then the hash in the transcript is
{limits.CERT_HASH_BYTES} zero bytes. A node finds out at the first byte whether the other side is
of its kind (a record of TLS begins with 0x14 to 0x17, a frame with 0x00) and closes the
connection: `tls_mismatch`, told in an AUTH_REJECT outside TLS, which a peer without TLS can
read. What OpenSSL refuses ends as `tls_failed`."""


def framing() -> str:
    """Return framing, canonical form and signatures."""
    return f"""## Frames

A frame is a length in bytes (unsigned, {limits.FRAME_PREFIX_BYTES} bytes, big-endian) and a
payload of that length: one JSON object in UTF-8. A payload has at most
{limits.FRAME_BYTES_MAX:,} bytes, sent or received; before the handshake is finished at most
{limits.HANDSHAKE_FRAME_BYTES_MAX:,}. A length of 0 or beyond the limit closes the connection as
soon as it is read.

### Canonical form

- The payload begins with the exact bytes `{{"type":N,` (N in decimal, no sign, no leading zero)
  and ends with `}}`; nothing stands before or after, not even white space.
- No object has the same key twice, and no key is written with escapes (`\\u0061`).
- At most {limits.NESTING_MAX} objects and arrays are nested, an object has at most
  {limits.OBJECT_KEYS_MAX} keys, and strings and brackets number at most {limits.TOKENS_MAX:,}.

These rules are checked before anything is decoded. Then every field must fit its table below:
whole numbers never exceed 2^53 - 1, text has no NUL character, base64 is canonical (standard
alphabet, padded, unused bits zero). A payload that breaks any of this closes the connection. A
frame whose number is unknown is ignored once the handshake is finished; unknown fields are
ignored.

### Signed frames

Every frame that changes state is signed by its origin, so that it counts whoever hands it on.

```text
{_body(signatures)}
```

`body` is everything before the ending, taken as bytes, from the opening brace to the last
character before `,"sig"`. The receiver checks that `origin` is the hash of `public_key`, then
the signature. A frame of a signed class without that exact ending, or with a wrong signature,
closes the connection that brought it. Relays forward the original bytes, never a new encoding."""


def handshaking() -> str:
    """Return the handshake, its transcript and the choice between rival connections."""
    return f"""## Handshake

```text
{_body(handshake)}
```

Until it is finished nothing else may be sent, and it must be finished, with TLS before it,
within {limits.HANDSHAKE_TIMEOUT_S:g} seconds of the connection. A node refuses with AUTH_REJECT,
which may come at any point, and one of these reasons:

- `wrong_version`, `wrong_network`: the HELLO is of another version or network
- `identity_mismatch`: the node id is not the hash of the key, or a response does not fit its HELLO
- `certificate_mismatch`: the certificate does not hold the key of the listener's HELLO
- `tls_mismatch`: one side speaks TLS and the other does not
- `self_connection`: the node id is the receiver's own
- `reflected_nonce`: the challenge is the receiver's own, sent back
- `bad_signature`: the response does not sign the transcript
- `unexpected_message`: any other frame, or one out of order
- `handshake_timeout`: not finished in time
- `too_many_connections`: {limits.CONNECTIONS_MAX} other nodes are linked already, or all places
  that are not kept for members of the receiver's swarm are taken
- `banned`: the node, or the host that it dials from, is banned; the detail says for how long

### Transcript

The signature of AUTH_RESPONSE covers these bytes.

{_after_first_line(handshake.transcript)}

The hash of a HELLO is taken over its payload as sent, without the length. Both sides sign the
same fields except the second: a signature reflected to its maker never fits.

### Membership

A swarm's name in HELLO is only a claim. Nodes of one swarm that were given the same secret prove
it to each other in `membership` of AUTH_RESPONSE:

{_after_first_line(handshake.membership)}

The transcript makes the proof count for this connection, this part and these two nodes only. A
dialler sends it to a listener that names the same swarm; the listener, whose response comes last,
sends its own only to a dialler whose proof was right. A peer of the same swarm without a right
proof is not refused: it is a stranger, as nodes of other swarms are. A node without a secret
sends no proof and has no members.

### One connection for each pair of nodes

When two nodes are connected twice, both keep the same connection: the one dialled by the node
with the lower node id (compared as text); among connections dialled by the same node the one
whose dialler sent the higher `nonce` in HELLO, hence the later dial. Nothing new is sent on the
other; it is read until it was silent for {limits.DRAIN_S:g} seconds, {limits.DRAIN_MAX_S:g} at
most, and closed with GOODBYE `duplicate_link`. Of more than {limits.LINKS_PER_NODE_MAX} connections
of one node those that lose are closed at once.

### Room for members, and bans

A node keeps min({limits.MEMBER_LINKS_MIN}, members it knows) of its {limits.CONNECTIONS_MAX}
places for members of its own swarm, and dials members until it has as many links to them. When
all places are taken and such a member comes, a stranger is let go with GOODBYE `make_room`. A
node that was not seen for {limits.ADDRESS_KEPT_S / 86_400:g} days is not dialled any more.

Faults add up, by node id once it is proved and by host before: whoever commits too many in a
short time is banned for {limits.BAN_MIN_S:g} seconds, each time twice as long, up to
{limits.BAN_MAX_S:g} seconds. This is the receiver's own affair: a node that keeps to this page
is never banned, and need not know more.

### Signs of life

Each side sends PING every {limits.PING_INTERVAL_S:g} seconds and answers every PING with a PONG
that repeats its `timestamp`. A connection on which nothing was heard for
{limits.IDLE_TIMEOUT_S:g} seconds is closed. GOODBYE is the last frame before a node closes on
purpose. A peer for which more than {limits.WRITE_QUEUE_BYTES_MAX:,} bytes wait to be sent is
dropped. Beyond {limits.FRAMES_PER_S:,} frames or {limits.BYTES_PER_S:,} bytes a second (after
{limits.FRAMES_BURST:,} frames or {limits.BYTES_BURST:,} bytes at once) a node reads more slowly."""


def delivery() -> str:
    """Return clock, records, commands and answers."""
    return f"""## Time and order

`lamport_ts` is a hybrid logical clock: to write, a node takes max(last + 1, unix milliseconds);
a received stamp raises `last` to at least that stamp. It stays below 2^53, is stored with what
it stamps and never runs backwards. A frame more than {limits.CLOCK_AHEAD_MAX_MS // 60_000}
minutes ahead of the receiver's wall clock is dropped without being applied, remembered or
witnessed; it may come again later.

## Records

A record is the latest whole state of one key in a topic, replicated to everybody in the topic's
scope: the whole network, or the members of one swarm. Its payload has at most
{limits.RECORD_BYTES_MAX:,} bytes. Its origin
numbers its records of a topic with a contiguous `seq` from 1 under an `incarnation`, which rises
when the numbering had to begin anew. Of one origin's versions the higher (`incarnation`, `seq`)
counts, between origins the higher (`lamport_ts`, `origin`). A record of scope `swarm` is sent to
members only, named to members only, and dropped when anybody else sends it.

### How records spread

A record has an id: (`origin`, topic, `incarnation`, `seq`). A node that gets one with an id that
it has not seen verifies it, applies it and hands the same bytes on. One seen before is dropped
before its signature is checked; at least the newest {limits.SEEN_MAX:,} ids are remembered. A
record of the node's own is never applied; when it is numbered higher than the node knows, the
node begins a higher `incarnation`.

For each scope a node keeps its peers in two lists, *eager* and *lazy*. A new peer is eager while
fewer than {limits.EAGER_MAX} are.

- A new record goes to all eager peers at once, but not back. Its id goes to the lazy ones in
  IHAVE, collected for about {limits.IHAVE_DELAY_S * 1000:g} ms; who sent the record or announced
  it need not be told.
- A peer that sends a record for the first time becomes eager. A peer that sends one that another
  eager peer had sent before becomes lazy and is sent PRUNE, at most one every
  {limits.PRUNE_EVERY_S:g} s. Who gets PRUNE makes its sender lazy. What stays eager is a tree.
- An announced record that has not come within {limits.GRAFT_AFTER_S:g} to
  {limits.GRAFT_AFTER_S * 1.5:g} s is asked for by IWANT, at one announcer after the other,
  {limits.WANT_AGAIN_S:g} s apart. `graft` true makes both ends eager for the scopes of these
  records; it is false when later records of the same origin were pushed, so that the tree is
  whole and only this record was lost.
- IWANT is answered with the records as they were signed. In place of one that was superseded
  its successor of the same key is sent. What is not known, or exceeds {limits.WANTED_IDS_PER_S:,}
  records or {limits.WANTED_BYTES_PER_S:,} bytes a second (after {limits.WANTED_IDS_BURST:,}
  records or {limits.WANTED_BYTES_BURST:,} bytes at once), is not answered: ask somebody else.
- A record for which a node has no room it forgets again, hands on to nobody and asks for later.

IHAVE and IWANT name at most {limits.GOSSIP_IDS_MAX:,} records each; more closes the connection.
Ids of topics that the receiver does not know are ignored. What a node missed
all the same it pulls: see *Pull sync*.

## Commands

A command goes to one node, `to`, and acts once: the receiver stores (`origin`, `msg_id`) in the
transaction of its effect. The answer is an ACK with `re` = `msg_id`, sent when the effect
(`ok` true) or the refusal (`ok` false with `code` and `detail`) is committed. A repeated command
changes nothing and gets the stored answer again.

The sender keeps a command and sends **the same bytes** again, with growing, jittered pauses and
after each new connection, until the ACK comes or the command expires: written to a socket is not
delivered. An ACK is not itself answered or repeated unless the command comes again. A receiver
too busy to take a command stays silent; the sender's repetition finds it later. A command whose
`to` is another node is dropped."""


def limits_and_numbers(registry_classes: Sequence[type[Message]]) -> str:
    """Return the table of all message numbers, spoken or reserved."""
    spoken = {number_of(each): each.__name__ for each in registry_classes}
    rows = [
        f"| 0x{number:02X} | {number:d} | {number.name} | "
        f"{'spoken' if int(number) in spoken else 'reserved'} |"
        for number in MessageNumber
    ]
    head = "| Number | Decimal | Name | State |\n|---|---|---|---|"
    intro = "The table is append-only: a number is never reused or renamed."
    return "\n\n".join(("## Message numbers", intro, "\n".join((head, *rows))))


def _after_first_line(function: object) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[2].strip()


def _body(module: object) -> str:
    """Return the indented drawing in a module's docstring, without its indentation."""
    lines = (inspect.getdoc(module) or "").splitlines()
    drawing = [line for line in lines if line.startswith("    ")]
    return inspect.cleandoc("\n".join(drawing))
