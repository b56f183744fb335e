from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from p2p.protocol.documentation import render
from tests.support.wire import registry_with_test_messages

CLASSES = registry_with_test_messages().classes
PAGE = render(CLASSES)
CODE = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)


def payloads() -> list[bytes]:
    return [block.encode() for block in CODE if block.startswith('{"type"')]


def test_every_class_has_a_table_with_every_field() -> None:
    for message_class in CLASSES:
        number = message_class.__struct_config__.tag
        section = PAGE.split(f"\n### 0x{number:02X} ")[1].split("\n### ")[0]
        for field in message_class.__struct_fields__:
            assert f"\n| `{field}` | " in section, (message_class, field)


def test_every_row_says_what_its_field_means() -> None:
    rows = re.findall(r"^\| `\w+` \|.*$", PAGE, re.MULTILINE)

    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_page_is_the_same_every_time() -> None:
    assert render(CLASSES) == PAGE
    assert PAGE.endswith("|\n")


def test_the_signed_example_verifies_with_nothing_but_the_page_and_another_library() -> None:
    frame = payloads()[0]
    fields = json.loads(frame)
    body = frame[: frame.rindex(b',"sig":"')]
    covered = b"voidlux/frame/1\0" + (6).to_bytes(4, "big") + b"galaxy" + body
    key = base64.b64decode(fields["public_key"])

    Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(fields["sig"]), covered)
    assert hashlib.sha256(key).hexdigest()[:32] == fields["origin"]


def test_the_handshake_example_verifies_the_same_way() -> None:
    hellos = [json.loads(each) for each in payloads() if b'{"type":1,' in each]
    responses = [json.loads(each) for each in payloads() if b'{"type":97,' in each]
    transcripts = [bytes.fromhex(block) for block in CODE if re.fullmatch("0000[0-9a-f]+", block)]

    assert (len(hellos), len(responses), len(transcripts)) == (2, 2, 2)
    for hello, response, transcript in zip(hellos, responses, transcripts, strict=True):
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(hello["public_key"]))
        key.verify(base64.b64decode(response["signature"]), transcript)
        assert hello["node_id"] == response["node_id"]
        proof = hmac.new(b"correct horse battery staple", b"voidlux/membership/1\0", "sha256")
        proof.update(transcript)
        assert response["membership"] == proof.hexdigest()
