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
KEYS_REMEMBERED_MAX = 1_000  # signers whose key is not decoded and hashed again
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
DESCRIPTION_CHARS_MAX = 65_536  # a goal as its user wrote it
URL_CHARS_MAX = 512
GIT_REF_CHARS_MAX = 200  # as long as a branch may be in the database
HOST_CHARS_MAX = 253  # DNS

# Lists
CAPABILITIES_MAX = 32
TASK_IDS_MAX = 50  # as many as a tribute buys at most
ADDRESSES_MAX = 16
CHOICES_MAX = 8  # answers that a question offers

# Clock
CLOCK_AHEAD_MAX_MS = 600_000  # a frame further ahead is "not yet"

# Connections
CONNECTIONS_MAX = 20  # nodes linked at once
LINKS_PER_NODE_MAX = 3  # connections of one node at once: two rivals, and one that is dying
HANDSHAKES_MAX = 20  # strangers in the middle of a handshake at once
ACCEPT_QUEUE_MAX = 1_024  # connections that the kernel holds until the node accepts them
DIAL_TIMEOUT_S = 5.0
HANDSHAKE_TIMEOUT_S = 5.0  # from the first byte of TCP to the last AUTH_RESPONSE
IDLE_TIMEOUT_S = 60.0  # four missed answers to PING
PING_INTERVAL_S = 15.0
DRAIN_S = 2.0  # silence after which the loser of two links is closed
DRAIN_MAX_S = 30.0  # how long it is read at most
CLOSE_TIMEOUT_S = 2.0  # how long a closing connection may take to send its last bytes
WRITE_QUEUE_BYTES_MAX = 8 * FRAME_BYTES_MAX  # a slower peer is dropped, never waited for
FRAMES_PER_S = 2_000  # in, per connection, lasting
FRAMES_BURST = 10_000  # in, per connection, at once
BYTES_PER_S = 8 * FRAME_BYTES_MAX  # in, per connection, lasting
BYTES_BURST = 32 * FRAME_BYTES_MAX  # in, per connection, at once
MEMBER_LINKS_MIN = 5  # links to members of our swarm that a node keeps, and keeps room for
ADDRESS_KEPT_S = 7 * 86_400.0  # a node that was not seen for longer is not dialled any more
BACKOFF_MIN_S = 0.5  # first wait before dialling again
BACKOFF_MAX_S = 60.0  # longest wait before dialling again

# Conduct: 0 at best, lowered by faults
BAN_SCORE = -100.0  # at which a node or a host is banned
FAULT_POINTS = 25.0
LIGHT_FAULT_POINTS = 5.0  # what a bad network does as well
GRAVE_FAULT_POINTS = 60.0  # what needs intent
SCORE_PER_S = 0.1  # recovered without a fault: from a ban to the best in 1,000 s
SCORE_KEPT_S = 86_400.0  # without a fault, after which nothing is remembered
BAN_MIN_S = 60.0  # the first ban; each further one is twice as long
BAN_MAX_S = 3_600.0
SCORES_MAX = 1_000  # nodes, and hosts, remembered for their faults
FAULT_NAMED_AGAIN_S = 600.0  # the log names the same fault of the same peer no more often
NEWS_MAX = 1_000  # faults whose naming is remembered

# Posts
POST_CHARS_MAX = 500
POST_LIFE_DAYS = 30
POSTS_PER_MINUTE_MAX = 10  # of one node
POSTS_PER_ORIGIN_MAX = 500  # posts and removals of one node that count at once

# Discovery
LINKS_WANTED = 8  # candidates are dialled while fewer nodes are linked
PEX_ENTRIES_MAX = 30  # nodes named in one PEX
PEX_EVERY_S = 30.0  # to each link, jittered by a quarter
PEX_PER_S = 0.1  # taken from one link, lasting; more are ignored
PEX_BURST = 3  # taken from one link, at once
PROVEN_NODES_MAX = 500  # nodes that we tell others of
PROVEN_LIFE_S = 86_400.0  # after that nobody is told of a node any more
CANDIDATES_PER_SOURCE_MAX = 30
CANDIDATES_KNOWN_MAX = 40  # met before
CANDIDATES_PEX_MAX = 120
CANDIDATES_UDP_MAX = 40
CANDIDATE_LIFE_S = 3_600.0  # unless it is heard of again
CANDIDATE_KNOWN_LIFE_S = 86_400.0
CANDIDATE_BACKOFF_MIN_S = 15.0  # after the first dial, doubled after each
CANDIDATE_BACKOFF_MAX_S = 3_600.0
DIAL_UNDER_WAY_S = DIAL_TIMEOUT_S + HANDSHAKE_TIMEOUT_S
DISCOVERY_LOOK_S = 5.0  # how often candidates are looked through without a cause
BEACON_BYTES_MAX = 512
BEACON_EVERY_S = 10.0  # jittered by a quarter
BEACON_SOURCES_MAX = 256  # hosts whose pace is remembered
BEACONS_OF_SOURCE_PER_S = 1.0  # taken from one host, lasting: ten nodes of one machine
BEACONS_OF_SOURCE_BURST = 20
BEACONS_PER_S = 50.0  # taken from all hosts, lasting
BEACONS_BURST = 100

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

# Flooded messages
FLOODED_AGE_MAX_MS = 30_000  # older ones are worth nothing
FLOODED_SENDERS_MAX = 10_000  # (origin, number) whose newest flooded message is remembered

# Sync
RECORD_BYTES_MAX = 480_000  # a record must fit into a page of sync, however it is escaped there
PAGE_BYTES_MAX = 1_000_000  # ranges and frames of one page; the rest of a frame is its envelope
PAGE_FRAMES_MAX = 100  # one transaction: a larger batch would make the loop wait
PAGE_COVERS_MAX = 2_000  # ranges that one page states
MARKS_MAX = 4_000  # origins that one request names; more are asked for slice by slice
SPLITS_MAX = 64  # key ranges compared by one request
SPLIT_FANOUT = 16  # parts of a key range whose digests are compared
LEAF_ITEMS_MAX = 16  # records below which a range is not split but named one by one
HOLDINGS_MAX = 64  # key ranges whose records one request names
VERSIONS_MAX = 1_000  # records named for one key range
POSITION_END = 2**48  # positions of keys lie below
LIVE_HASHES_MAX = 64  # hashes over a topic that a process remembers
LIVE_HASH_KEPT_S = 600.0  # then the records are read anew, whoever may have changed them
SPANS_MAX = 64  # received ranges remembered above the watermark of an origin
PARKED_MAX = 1_000  # records per topic that wait for their authority
SESSION_STEPS_MAX = 1_000  # requests of one session: what is left waits for the next one
SYNC_ANSWER_TIMEOUT_S = 10.0
SYNC_INTERVAL_MIN_S = 30.0
SYNC_INTERVAL_MAX_S = 60.0
SYNC_PAUSE_S = 5.0  # between two sessions with the same peer that something else than time asks for
SYNC_REQUESTS_PER_S = 5  # answered to one peer, lasting
SYNC_REQUESTS_BURST = 100  # answered to one peer, at once
SYNC_REQUESTS_WAITING_MAX = 8  # of one peer; those beyond are dropped
INCARNATION_JUMP_MAX = 1_000  # an unsigned claim further ahead of our own numbering is no evidence

# Payments
PAYMENTS_NAMED_MAX = 100  # of one CONSENSUS_SYNC_REQ; of more, digests are compared
CERTIFICATES_BYTES_MAX = 400_000  # frames of one CONSENSUS_SYNC_RSP before they are escaped
REPORT_FRAME_BYTES_MAX = 65_536  # of a seller's report that its buyer hands on
PAYMENT_FRAME_BYTES_MAX = 20_000  # of a PROPOSE or VOTE that is handed on as evidence

# Pull requests
PULL_BODY_CHARS_MAX = 60_000  # GitHub takes 65,536
REVIEW_ROUNDS_MAX = 3  # follow-up goals of one pull request
REVIEW_COMMENTS_MAX = 50  # that become work in one round
REVIEW_COMMENT_CHARS_MAX = 8_000  # of one comment, as its agent is shown it
REVIEW_COMMENTS_KEPT_MAX = 1_000  # of one pull request

# Reviews before the gate
REVIEW_DIFF_CHARS_MAX = 100_000  # of a diff, as it is kept and shown; the rest is cut
REVIEW_REASONS_CHARS_MAX = 6_000  # they are feedback, which is bounded too
REVIEW_ANSWER_BYTES_MAX = 65_536  # of what a review command prints
REVIEW_PATHS_MAX = 1_000  # named to a review command
