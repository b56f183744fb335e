"""Every limit of the Seneschal that is no setting."""

from __future__ import annotations

HEADER_BYTES_MAX = 16_384  # of one header line, either way
HEADERS_MAX = 128
OPEN_MAX = 2_000  # requests and WebSockets at once; more are answered 503
MESSAGE_BYTES_MAX = 4 * 1024 * 1024  # of one WebSocket message
CONNECT_S = 2.0  # to open a connection to the emperor
IDLE_S = 300.0  # in which neither side of a request moves a byte
KEEP_CLIENT_S = 75.0  # an idle connection of a client, or one that sends no whole request
KEEP_UPSTREAM_S = 15.0  # an idle connection to the emperor
LINGER_S = 2.0  # a body that nobody wants is read on after its answer
PING_EVERY_S = 30.0  # to a silent WebSocket of a client; without a pong it is closed
CLOSE_S = 1.0  # a WebSocket's closing handshake
TRIES_MAX = 3  # how often one request is begun where the emperor dropped it unanswered
LOOK_EVERY_S = 0.25  # whether the emperor is still heard
PROBE_EVERY_S = 0.5  # whether an emperor that refused connections takes them again
STOP_S = 0.8  # in which requests under way may end when the Seneschal stops
RETRY_AFTER_S = 3  # what clients are told to wait without an emperor
