"""One table for each message class, drawn from its annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from p2p.protocol.messages import Ack, Command, Flooded, Message, Record, Signed
from p2p.protocol.numbers import MessageNumber

Schema = dict[str, Any]
_REF = "#/$defs/{name}"
_SIGNATURE_ROW = (
    "| `sig` | string | 88 characters, canonical base64 | "
    "Ed25519 signature; always the last field |"
)


def message_tables(classes: Sequence[type[Message]]) -> str:
    """Return a Markdown section with every class and every object inside them."""
    ordered = sorted(classes, key=number_of)
    _, definitions = msgspec.json.schema_components(ordered, ref_template=_REF)
    names = {each.__name__ for each in ordered}
    parts = ["## Messages", _LEGEND]
    parts += [_message(each, definitions[each.__name__]) for each in ordered]
    inner = {name: each for name, each in definitions.items() if name not in names}
    if inner:
        parts.append("## Objects inside messages")
        parts += [_object(name, each) for name, each in sorted(inner.items())]
    return "\n\n".join(parts)


def object_table(struct: type[msgspec.Struct]) -> str:
    """Return the table of one struct that is sent outside of messages."""
    _, definitions = msgspec.json.schema_components([struct], ref_template=_REF)
    return _table(_rows(definitions[struct.__name__]))


def number_of(message_class: type[Message]) -> int:
    """Return the `type` number of a registered class."""
    return int(message_class.__struct_config__.tag)  # type: ignore[arg-type]


_LEGEND = """Fields may stand in any order except `type` (first) and `sig` (last); unknown
fields are ignored. *Optional* fields may be left out and then have the default. Text lengths
count Unicode characters; whole numbers have no fraction and no exponent."""


def _message(message_class: type[Message], schema: Schema) -> str:
    number = number_of(message_class)
    rows = [f"| `type` | integer | {number} | number of this message; always the first field |"]
    rows += _rows(schema)
    if issubclass(message_class, Signed):
        rows.append(_SIGNATURE_ROW)
    heading = f"### 0x{number:02X} {MessageNumber(number).name}"
    return "\n\n".join((heading, f"*{_kind(message_class)}* {_doc(message_class)}", _table(rows)))


def _object(name: str, schema: Schema) -> str:
    return f"### {name}\n\n{schema.get('description', '')}\n\n{_table(_rows(schema))}"


def _table(rows: list[str]) -> str:
    return "\n".join(("| Field | JSON type | Bounds | Meaning |", "|---|---|---|---|", *rows))


def _rows(schema: Schema) -> list[str]:
    required = set(schema.get("required", ()))
    return [
        _row(name, each, optional=name not in required)
        for name, each in schema["properties"].items()
        if name != "type"
    ]


def _row(name: str, schema: Schema, *, optional: bool) -> str:
    bounds = _bounds(schema)
    if optional:
        default = msgspec.json.encode(schema.get("default")).decode()
        bounds = ", ".join(filter(None, (bounds, f"optional, default `{default}`")))
    cells = (f"`{name}`", _json_type(schema), bounds, str(schema.get("description", "")))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _json_type(schema: Schema) -> str:
    if "$ref" in schema:
        return f"object {schema['$ref'].rsplit('/', 1)[-1]}"
    if "anyOf" in schema:
        return " or ".join(_json_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"array of {_json_type(schema.get('items', {}))}"
    if "enum" in schema:
        return "string" if all(isinstance(each, str) for each in schema["enum"]) else "value"
    return str(schema.get("type", "value"))


def _bounds(schema: Schema) -> str:
    if "anyOf" in schema:
        return "; ".join(filter(None, (_bounds(each) for each in schema["anyOf"])))
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    found = [
        _range(schema, "minimum", "maximum", ""),
        _range(schema, "minLength", "maxLength", " characters"),
        _range(schema, "minItems", "maxItems", " entries"),
    ]
    if "pattern" in schema:
        found.append(f"`{schema['pattern'].replace('$(?!' + chr(92) + 'n)', '$')}`")
    if schema.get("type") == "array" and (inner := _bounds(schema.get("items", {}))):
        found.append(f"each: {inner}")
    return ", ".join(filter(None, found))


def _range(schema: Schema, low: str, high: str, unit: str) -> str:
    least, most = schema.get(low), schema.get(high)
    if most is None:
        return f"at least {least}{unit}" if least is not None else ""
    if least == most:
        return f"{most}{unit}"
    return f"{least or 0} to {most}{unit}"


def _kind(message_class: type[Message]) -> str:
    if issubclass(message_class, Record):
        return f"Signed record, topic `{message_class.topic}`, scope `{message_class.scope}`."
    if issubclass(message_class, Command):
        return "Signed command, answered by ACK."
    if issubclass(message_class, Flooded):
        return f"Signed, flooded, scope `{message_class.scope}`."
    if issubclass(message_class, Ack):
        return "Signed answer."
    return "Signed." if issubclass(message_class, Signed) else "Link message, unsigned."


def _doc(message_class: type[Message]) -> str:
    return " ".join((message_class.__doc__ or "").split())
