"""PostgreSQL, too, refuses to change or remove a ledger entry, and its books are verified."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from marketplace.models import LedgerEntry
from marketplace.services import wallet
from marketplace.services.verifying import verify
from tests.support.factories import NOW
from tests.support.racing import Database


def test_an_entry_is_neither_changed_nor_removed(database: Database) -> None:
    wallet.grant_initial(10, now=NOW)
    entries = LedgerEntry.objects.all()

    for change in (lambda: entries.update(note="x"), lambda: entries._raw_delete("default")):
        with pytest.raises(IntegrityError, match="immutable"), transaction.atomic():
            change()

    findings = verify()
    assert (findings.entries, findings.balance, findings.difference) == (1, 10, None)
