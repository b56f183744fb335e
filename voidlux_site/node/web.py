"""Daphne as a guest in the node's event loop: HTTP and WebSocket beside the mesh.

Daphne's own `run()` owns the process and crashed Python when it was stopped with requests in
flight. Here the loop is ours: `run_in_daphne_loop` runs the node's main coroutine on the loop
that Twisted was given at import, and ends Twisted only after that coroutine has returned.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from daphne.endpoints import build_endpoint_description_strings
from daphne.http_protocol import WebRequest
from daphne.server import Server, twisted_loop
from twisted.internet import defer
from twisted.internet import reactor as twisted_reactor
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

logger = logging.getLogger(__name__)

# RFC 6455, 7.4.1: the endpoint is going away; browsers reconnect.
CLOSE_GOING_AWAY = 1001
CLOSE_REASON = "the node is stopping"
# Requests may end by themselves for this part of the deadline; then they are cancelled.
PATIENT_PART = 0.5
WEBSOCKET_MESSAGE_BYTES_MAX = 64 * 1024

# Twisted's interfaces have no usable types.
reactor: Any = twisted_reactor
ListeningPort = Any
Protocol = Any
Application = Callable[..., Coroutine[Any, Any, None]]


def run_in_daphne_loop(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run `main()` on Daphne's loop and return its result; once per process, main thread only.

    Signal handlers are the business of `main`. The loop is closed afterwards.
    """
    with asyncio.Runner(loop_factory=lambda: twisted_loop) as runner:
        try:
            return runner.run(_as_host(main))
        finally:
            _end_reactor(runner.get_loop())


async def _as_host(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    reactor.startRunning(installSignalHandlers=False)
    return await main()


def _end_reactor(loop: asyncio.AbstractEventLoop) -> None:
    """Let Twisted close what it has open; its shutdown stops the loop that runs here."""
    if reactor.running:
        reactor.stop()
        loop.run_forever()


class _GuestServer(Server):
    """A Daphne server that reports its port or its bind error, and leaves the process alone."""

    def __init__(self, application: Application, host: str, port: int) -> None:
        super().__init__(
            application,
            endpoints=build_endpoint_description_strings(host=host, port=port),
            signal_handlers=False,
            websocket_timeout=-1,
            websocket_max_message_size=WEBSOCKET_MESSAGE_BYTES_MAX,
            websocket_max_frame_size=WEBSOCKET_MESSAGE_BYTES_MAX,
            server_name="voidlux",
        )
        self.abort_start = True
        self.stopping = False
        self.connections: dict[Protocol, dict[str, Any]] = {}
        self.bound: asyncio.Future[ListeningPort] = asyncio.get_running_loop().create_future()

    def listen_success(self, port: ListeningPort) -> None:
        """Hand the bound port to whoever waits for it."""
        self.bound.set_result(port)

    def listen_error(self, failure: Failure) -> None:
        """Hand the bind error to whoever waits for it, as the OSError that it was."""
        error = failure.value
        if isinstance(error, CannotListenError):
            error = _as_os_error(error)
        self.bound.set_exception(error)

    def stop(self) -> None:
        """Do nothing: an application that raises KeyboardInterrupt does not end the node."""

    def kill_all_applications(self) -> None:
        """Do nothing: `WebServer.stop` has ended them, before the reactor stops."""

    def application_checker(self) -> None:
        """Collect finished applications once a second while the server lives."""
        if not self.stopping:
            super().application_checker()

    def timeout_checker(self) -> None:
        """Ping WebSockets every two seconds while the server lives."""
        if not self.stopping:
            super().timeout_checker()

    def create_application(self, protocol: Protocol, scope: dict[str, Any]) -> Any:
        """Start the application for a request; while stopping refuse it with 503 or 403."""
        if not self.stopping:
            return super().create_application(protocol, scope)
        if isinstance(protocol, WebRequest):
            _refuse_request(protocol)
            return None
        # Daphne prepares the handshake only after this call.
        reactor.callLater(0, protocol.serverReject)
        return asyncio.Queue()

    def running_applications(self) -> set[asyncio.Task[None]]:
        """Return the applications that have not ended yet."""
        tasks = (details.get("application_instance") for details in self.connections.values())
        return {task for task in tasks if task is not None and not task.done()}


def _as_os_error(error: CannotListenError) -> OSError:
    cause = error.socketError
    number = getattr(cause, "errno", None) or errno.EADDRNOTAVAIL
    reason = getattr(cause, "strerror", None) or str(cause)
    return OSError(number, f"cannot listen on {error.interface}:{error.port}: {reason}")


def _refuse_request(request: WebRequest) -> None:
    """Answer 503 and close the connection once the answer is out."""
    channel = request.channel
    request.responseHeaders.setRawHeaders(b"connection", [b"close"])
    request.basic_error(503, b"Service Unavailable", "The node is stopping.")
    channel.loseConnection()


class WebServer:
    """Serves an ASGI application on one address while `run_in_daphne_loop` runs."""

    def __init__(self, host: str, port: int, application: Application | None = None) -> None:
        """Prepare to serve on `host` and `port` (0: any); by default the site's application."""
        self._host = host
        self._port = port
        self._application = application
        self._server: _GuestServer | None = None
        self._listening: ListeningPort | None = None

    async def start(self) -> int:
        """Listen and return the port; raises OSError when the address cannot be bound."""
        application = self._application or _site_application()
        server = _GuestServer(application, self._host, self._port)
        server.run()
        try:
            self._listening = await server.bound
        except OSError:
            server.stopping = True
            raise
        self._server = server
        port: int = self._listening.getHost().port
        return port

    async def stop(self, deadline_s: float) -> None:
        """Stop listening and end every connection within `deadline_s` seconds."""
        server, listening = self._server, self._listening
        if server is None or listening is None or server.stopping:
            return
        ends_at = time.monotonic() + deadline_s
        server.stopping = True
        await defer.maybeDeferred(listening.stopListening).asFuture(asyncio.get_running_loop())
        for protocol in list(server.connections):
            _say_goodbye(protocol)
        await _wait_until_ended(server, deadline_s * PATIENT_PART)
        for task in server.running_applications():
            task.cancel()
        await _wait_until_ended(server, ends_at - time.monotonic())
        _report_left(server)
        _close_transports(server, listening)


def _site_application() -> Application:
    # Imported late: it needs the apps, and this module is imported before they are ready.
    from voidlux_site.asgi import application

    site_application: Application = application
    return site_application


def _say_goodbye(protocol: Protocol) -> None:
    """Send a WebSocket the close frame; a request just goes on."""
    if isinstance(protocol, WebRequest):
        return
    if protocol.state == protocol.STATE_OPEN:
        protocol.sendCloseFrame(code=CLOSE_GOING_AWAY, reasonUtf8=CLOSE_REASON.encode())
    elif protocol.state == protocol.STATE_CONNECTING and hasattr(protocol, "handshake_deferred"):
        protocol.serverReject()


def _is_open(protocol: Protocol) -> bool:
    return not isinstance(protocol, WebRequest) and protocol.state != protocol.STATE_CLOSED


async def _wait_until_ended(server: _GuestServer, timeout_s: float) -> None:
    """Wait until applications and WebSockets have ended, at most `timeout_s` seconds."""
    ends_at = time.monotonic() + timeout_s
    while time.monotonic() < ends_at:
        tasks = server.running_applications()
        if not tasks and not any(_is_open(protocol) for protocol in server.connections):
            return
        # WebSockets report their end to nobody, so they are looked at every 20 ms.
        await asyncio.wait(tasks, timeout=0.02) if tasks else await asyncio.sleep(0.02)


def _report_left(server: _GuestServer) -> None:
    """Log the applications that failed or did not end, which Daphne would have done."""
    for details in server.connections.values():
        task = details.get("application_instance")
        if task is None or (task.done() and (task.cancelled() or task.exception() is None)):
            continue
        if task.done():
            logger.error("exception inside application", exc_info=task.exception())
        else:
            logger.warning("application %r did not end in time and is left behind", task)


def _close_transports(server: _GuestServer, listening: ListeningPort) -> None:
    """Close every connection that came through the port, answering what has no answer yet."""
    for protocol in list(server.connections):
        if isinstance(protocol, WebRequest):
            _end_request(protocol)
        elif _is_open(protocol):
            protocol.dropConnection(abort=True)
    for reader in reactor.getReaders():
        # Idle keep-alive connections belong to no request.
        if getattr(reader, "server", None) is listening:
            reader.loseConnection()


def _end_request(request: WebRequest) -> None:
    """Answer 503, or cut what is half sent, so that it cannot pass for a whole response."""
    if request.finished or request.channel is None:
        return
    if request._response_started or request.application_queue is None:
        request.channel.transport.abortConnection()
    else:
        _refuse_request(request)
