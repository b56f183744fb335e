"""Errors that production code survives by logging them."""

from __future__ import annotations

import logging


class LoggedErrors(logging.Handler):
    """Keeps what the node's own loops would only log: a bug that they survive is still one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []
        self.setFormatter(logging.Formatter())
        for name in ("p2p", "swarm", "marketplace"):
            logging.getLogger(name).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))

    def stop(self) -> None:
        """Listen no more."""
        for name in ("p2p", "swarm", "marketplace"):
            logging.getLogger(name).removeHandler(self)
