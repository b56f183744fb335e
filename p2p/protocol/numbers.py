"""The numbers of all messages: an append-only table; a number is never reused or renamed."""

from __future__ import annotations

from enum import IntEnum

PROTOCOL_VERSION = 1


class MessageNumber(IntEnum):
    """The `type` of a frame; most numbers are reserved for messages still to be built."""

    # Core
    HELLO = 0x01
    POST = 0x02
    SYNC_REQ = 0x03
    SYNC_RSP = 0x04
    PEX = 0x05
    PING = 0x06
    PONG = 0x07
    ACK = 0x08
    GOODBYE = 0x09
    IHAVE = 0x0A
    IWANT = 0x0B
    PRUNE = 0x0C
    POST_REMOVE = 0x0D
    # Tasks
    TASK_CREATE = 0x10
    TASK_CLAIM = 0x11
    TASK_UPDATE = 0x12
    TASK_COMPLETE = 0x13
    TASK_FAIL = 0x14
    TASK_CANCEL = 0x15
    TASK_ASSIGN = 0x16
    TASK_ARCHIVE = 0x17
    TASK_PROGRESS = 0x18
    TASK_QUESTION = 0x19
    TASK_ANSWER = 0x1A
    TASK_RESUME = 0x1B
    TASK_WITHDRAW = 0x1C
    TASK_HAND_ON = 0x1D
    # Agents
    AGENT_REGISTER = 0x20
    AGENT_HEARTBEAT = 0x21
    AGENT_DEREGISTER = 0x22
    # Task sync
    TASK_SYNC_REQ = 0x30
    TASK_SYNC_RSP = 0x31
    # Election
    EMPEROR_HEARTBEAT = 0x40
    ELECTION_START = 0x41
    ELECTION_VICTORY = 0x42
    # Census and agent sync
    CENSUS_REQUEST = 0x50
    AGENT_SYNC_REQ = 0x51
    AGENT_SYNC_RSP = 0x52
    # Handshake
    AUTH_CHALLENGE = 0x60
    AUTH_RESPONSE = 0x61
    AUTH_REJECT = 0x62
    # Identity
    IDENTITY_ANNOUNCE = 0x70
    CREDENTIAL_ISSUE = 0x71
    IDENTITY_SYNC_REQ = 0x72
    IDENTITY_SYNC_RSP = 0x73
    # Payment consensus
    CONSENSUS_PROPOSE = 0x80
    CONSENSUS_VOTE = 0x81
    CONSENSUS_COMMIT = 0x82
    CONSENSUS_ABORT = 0x83
    CONSENSUS_SYNC_REQ = 0x84
    CONSENSUS_SYNC_RSP = 0x85
    # Distributed hash table
    DHT_PUT = 0x90
    DHT_GET = 0x91
    DHT_GET_RSP = 0x92
    DHT_DELETE = 0x93
    DHT_SYNC_REQ = 0x94
    DHT_SYNC_RSP = 0x95
    DISC_LOOKUP = 0xA0
    DISC_LOOKUP_RSP = 0xA1
    DISC_ANNOUNCE = 0xA2
    # Node registry
    NODE_REGISTER = 0xB0
    NODE_STATUS = 0xB1
    # Marketplace
    OFFERING_ANNOUNCE = 0xC0
    OFFERING_WITHDRAW = 0xC1
    TRIBUTE_REQUEST = 0xC2
    TRIBUTE_ACCEPT = 0xC3
    TRIBUTE_REJECT = 0xC4
    MARKETPLACE_SYNC_REQ = 0xC5
    MARKETPLACE_SYNC_RSP = 0xC6
    TRIBUTE_CANCEL = 0xC7
    TRIBUTE_VERDICT = 0xC8
