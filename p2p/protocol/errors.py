"""The exception tree of the whole project; every expected failure is one of these three."""

from __future__ import annotations


class VoidLuxError(Exception):
    """Root of every failure that the project expects and names."""


class ProtocolError(VoidLuxError):
    """The remote broke the protocol; its connection closes with `reason`, the node carries on."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Take the stable `reason` code and a human `detail` with value, limit and identity."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class DomainError(VoidLuxError):
    """An expected refusal with a stable `code`, shown as `status` over HTTP."""

    def __init__(self, code: str, message: str, status: int = 409) -> None:
        """Take the stable `code`, a sentence for people and the HTTP `status`."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class ExternalError(VoidLuxError):
    """A tool or provider outside the project failed; `retryable` says whether again may help."""

    def __init__(
        self, message: str, *, retryable: bool, retry_after_s: float | None = None
    ) -> None:
        """Take a sentence naming the tool and its failure, and how long to wait (None: unsaid)."""
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.retry_after_s = retry_after_s
