"""What `docs/protocol.md` says of pull sync, with numbers taken from the code."""

from __future__ import annotations

from p2p.protocol import limits
from p2p.sync.items import position_of

EXAMPLE_KEY = "00112233445566778899aabbccddeeff"


def sync_rules() -> str:
    """Return the rules of pull sync for `docs/protocol.md`."""
    return f"""## Pull sync

Every stored topic has a request and a response of its own, all of the same form. Both are
unsigned link messages, sent to a direct peer and never handed on; the frames in a response are
signed by their origins and verified one by one. A request asks exactly one thing and its `id`
comes back as `re`; a node has one open request per topic and peer, and waits
{limits.SYNC_ANSWER_TIMEOUT_S:g} seconds for the answer. Nobody need ask; who does not answer is
left alone.

A node asks a peer at once when they are linked, a random peer every {limits.SYNC_INTERVAL_MIN_S:g}
to {limits.SYNC_INTERVAL_MAX_S:g} seconds, all others after it has learned something from one, and
a peer whose request shows that it knows more. More than {limits.SYNC_REQUESTS_WAITING_MAX}
requests of one peer that wait are dropped, and beyond {limits.SYNC_REQUESTS_PER_S} a second (after
{limits.SYNC_REQUESTS_BURST} at once) they are answered more slowly.

A record is **live** until it is superseded or expires; a tombstone is live for 7 days. A record
that has expired is kept for 7 days more: it counts in no comparison, but what it replaced cannot
come back.

1. **Hash.** `hash` is the SHA-256 of the live records as JSON without white space, in UTF-8: an
   array of `[position,key,origin,incarnation,seq]`, ordered by position, then key. The `position`
   of a key is the first 48 bits (big-endian) of the SHA-256 of its text: that of
   `{EXAMPLE_KEY}` is {position_of(EXAMPLE_KEY)}. The answer is `equal`.
2. **Watermarks.** When the hashes differ, `marks` holds for every origin the highest place in its
   numbering up to which the asker misses nothing that still counts. The first possible record of
   an origin is (1, 1); a higher incarnation does not follow a lower one without a gap. The answer
   holds the live frames above those marks and below the responder's own, oldest first by origin,
   and states in `covers` which range of each origin is thereby complete, also where a seq has no
   frame because it was superseded or has expired; an origin of which nothing is live may be left
   out. The asker stores frames and new watermarks in
   one transaction and asks again while `more` is true. A range moves a watermark only when it
   begins at or below it; until then it waits, as a pushed record over a gap does. A record that a
   topic's rule does not admit *yet* stays above the watermark.
3. **Key ranges.** When hashes still differ (they are compared again after a page that brought
   something), the asker cuts the positions from 0 to 2^48 into {limits.SPLIT_FANOUT} parts: each
   ceil((hi - lo) / {limits.SPLIT_FANOUT}) wide, the last one the rest, fewer where the range is
   smaller. `digests` are the first 32 digits of the hash over the live records of each part,
   empty where it has none. The answer names the parts that differ and in which the responder
   keeps anything. The asker cuts those again; for parts in which it holds at most
   {limits.LEAF_ITEMS_MAX} records it sends `holdings`: what it holds there. The ranges of a request
   do not overlap and stand in order. The answer holds the frames of what is
   missing there or replaces what was named; `resume` is the position from which on the question
   must be asked again. An asker whose peer is `behind` may leave this step out once, because the
   peer pulls at the same time.

What a response states is believed only this far: a wrong watermark hides nothing for good,
because the third step finds records by their keys. A frame that is no record of the topic or not
signed by its origin, and an answer that cannot be one, close the connection. A page has at most
{limits.PAGE_FRAMES_MAX} frames and {limits.PAGE_BYTES_MAX:,} bytes.

A node that meets its own records with a higher place than it knows (its database was restored
from an old backup) begins a new `incarnation`. A node that has not synced a topic for 7 days
discards what it holds of others in it, before it asks or answers."""
