"""Every limit of the wire in one place; a limit on everything, units last in the names."""

from __future__ import annotations

# Frames
FRAME_BYTES_MAX = 1_048_576  # one JSON object, receiving and sending alike
FRAME_PREFIX_BYTES = 4  # big-endian length before every payload
HANDSHAKE_FRAME_BYTES_MAX = 16_384  # a stranger may make us buffer no more than a full HELLO
NESTING_MAX = 32  # objects and arrays inside each other; our deepest message has 4
OBJECT_KEYS_MAX = 256  # keys of one object; our widest message has about 40
TOKENS_MAX = 65_536  # strings and brackets of a frame: bounds the time spent on a hostile one
SIGNATURE_BYTES = 64  # Ed25519
PUBLIC_KEY_BYTES = 32  # Ed25519
NODE_ID_BYTES = 16  # first half of SHA-256(public key)
NONCE_BYTES = 32  # challenge of the handshake
CERT_HASH_BYTES = 32  # SHA-256 of the listener's certificate, zeros without TLS

# Numbers
INTEGER_MAX = 2**53 - 1  # the largest whole number that every JSON reader keeps exactly
PORT_MAX = 65_535
COUNT_MAX = 1_000_000  # generations: more of them is a mistake
SMALL_COUNT_MAX = 32_767  # agents, tasks, attempts: what a small column of PostgreSQL holds
AMOUNT_MAX = 1_000_000_000_000  # VOID; a thousand such amounts still fit INTEGER_MAX

# Text, in characters
NAME_CHARS_MAX = 64  # swarm, network, tool, capability, stable codes
TITLE_CHARS_MAX = 200  # a line in a list
DETAIL_CHARS_MAX = 1_000  # the reason of a refusal, shown to a person
SUMMARY_CHARS_MAX = 4_000  # what an agent reports, the tail of an output
BODY_CHARS_MAX = 65_536  # instructions, shell blocks: at most 393,216 bytes when escaped
URL_CHARS_MAX = 512
GIT_REF_CHARS_MAX = 200  # as long as a branch may be in the database
HOST_CHARS_MAX = 253  # DNS

# Lists
CAPABILITIES_MAX = 32
ADDRESSES_MAX = 16

# Clock
CLOCK_AHEAD_MAX_MS = 600_000  # a frame further ahead is "not yet"

# Connections
CONNECTIONS_MAX = 20  # nodes linked at once
HANDSHAKES_MAX = 20  # strangers in the middle of a handshake at once
DIAL_TIMEOUT_S = 5.0
HANDSHAKE_TIMEOUT_S = 5.0  # from the first byte of TCP to the last AUTH_RESPONSE
IDLE_TIMEOUT_S = 60.0  # four missed answers to PING
PING_INTERVAL_S = 15.0
DRAIN_S = 2.0  # how long the loser of two links is still read
CLOSE_TIMEOUT_S = 2.0  # how long a closing connection may take to send its last bytes
WRITE_QUEUE_BYTES_MAX = 8 * FRAME_BYTES_MAX  # a slower peer is dropped, never waited for
FRAMES_PER_S = 2_000  # in, per connection, lasting
FRAMES_BURST = 10_000  # in, per connection, at once
BYTES_PER_S = 8 * FRAME_BYTES_MAX  # in, per connection, lasting
BYTES_BURST = 32 * FRAME_BYTES_MAX  # in, per connection, at once
BACKOFF_MIN_S = 0.5  # first wait before dialling again
BACKOFF_MAX_S = 60.0  # longest wait before dialling again

# Gossip
SEEN_MAX = 20_000  # records remembered for dedup; older ones are forgotten first
GOSSIP_ORIGINS_MAX = 10_000  # (origin, topic) whose newest pushed record is remembered
GOSSIP_IDS_MAX = 1_000  # ids in one IHAVE or IWANT
EAGER_MAX = 5  # a new link is eager while fewer are; repairs may make more of them eager
IHAVE_DELAY_S = 0.1  # ids wait this long on average, to travel together
GRAFT_AFTER_S = 0.5  # an announced record that has not come by then is asked for
WANT_AGAIN_S = 0.5  # no answer by then: the next one who announced it is asked
REFUSALS_MAX = 8  # how often a record is asked for again that found the inbox full
MISSING_MAX = 4_000  # records waited for, for each peer that announced them first
PRUNE_EVERY_S = 1.0  # at most one PRUNE to a peer in this time
WANTED_IDS_PER_S = 1_000  # answered to one peer, lasting
WANTED_IDS_BURST = 5_000  # answered to one peer, at once
WANTED_BYTES_PER_S = 4 * FRAME_BYTES_MAX  # answered to one peer, lasting
WANTED_BYTES_BURST = 4 * FRAME_BYTES_MAX  # at once: half of what its write queue may hold
CACHED_IDS_MAX = 10_000  # records of late that are answered without the store
CACHED_BYTES_MAX = 16 * FRAME_BYTES_MAX  # their frames
