"""Lets the database itself refuse to change or remove a ledger entry.

A migration that makes the table anew, as SQLite needs for most changes of columns, must end with
`seal` of this one: the triggers go with the old table.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

TABLE = "marketplace_ledgerentry"
REFUSAL = "a ledger entry is immutable"
TRIGGERS = {"UPDATE": "ledger_entry_never_changed", "DELETE": "ledger_entry_never_deleted"}


def seal(apps: Any, schema_editor: Any) -> None:
    """Create the triggers."""
    if schema_editor.connection.vendor == "sqlite":
        for event, name in TRIGGERS.items():
            schema_editor.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {TABLE} "
                f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            )
    elif schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; "
            "END $$"
        )
        for event, name in TRIGGERS.items():
            schema_editor.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {TABLE} "
                "FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()"
            )


def unseal(apps: Any, schema_editor: Any) -> None:
    """Remove the triggers."""
    postgresql = schema_editor.connection.vendor == "postgresql"
    for name in TRIGGERS.values():
        schema_editor.execute(f"DROP TRIGGER {name}" + (f" ON {TABLE}" if postgresql else ""))
    if postgresql:
        schema_editor.execute("DROP FUNCTION refuse_ledger_change()")


class Migration(migrations.Migration):
    """Seal the ledger."""

    dependencies = [("marketplace", "0001_initial")]
    operations = [migrations.RunPython(seal, unseal)]
