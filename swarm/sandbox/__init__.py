"""Sandboxes made by `bwrap`: for tests of what strangers made, and for work that is sold."""

from swarm.sandbox.bwrap import NoSandbox
from swarm.sandbox.policy import can_test_strangers, isolation_of_sold_work, may_sell

__all__ = ["NoSandbox", "can_test_strangers", "isolation_of_sold_work", "may_sell"]
