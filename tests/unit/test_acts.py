"""Acts: every kind in its one form for ever, every other form refused, and signatures that stock tools verify."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import print_vectors
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.chain import Chain
from kit.effort import EXAMPLES
from kit.fixed import START, key, key_text, names
from kit.forged import canonical, envelope, pae
from kit.paths import TESTS
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from blocklist.keys.encoding import PublicKey, signer
from blocklist.names.domain_name import Names
from blocklist.register import acts, decoders
from blocklist.register.acts import KINDS, Act, SignedAct, parse, read_line
from blocklist.register.decoders import (
    MAX_NAMES,
    RESERVED_IDS,
    ActError,
    Head,
    Ref,
    format_instant,
    parse_instant,
    read_names,
)

VECTORS = TESTS / "vectors/acts"
ADD, FOUND, REQUEST = (print_vectors.signed(kind) for kind in ("add", "found", "request"))


def payload_of(kind: str) -> dict[str, Any]:
    return dict(json.loads(print_vectors.signed(kind).payload))


def rejected(payload: bytes, match: str | None = None) -> ActError:
    with pytest.raises(ActError, match=match) as caught:
        parse(payload)
    assert len(caught.value.message) < 1000
    return caught.value


# --- What is signed is for ever ----------------------------------------------------------------------------------


def test_the_vectors_are_what_the_program_writes() -> None:
    written = dict(print_vectors.files())
    assert {path.name: path.read_text() for path in VECTORS.iterdir()} == written
    assert set(written) == {f"{kind}.json" for kind in KINDS}
    assert len(KINDS) == 14


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_back_as_it_was_written(kind: str) -> None:
    vector = json.loads((VECTORS / f"{kind}.json").read_text())
    signed = read_line(vector["line"].encode())
    assert signed.line() == vector["line"].encode()
    assert signed.id == vector["id"] == hashlib.sha256(signed.payload).hexdigest()
    assert signed.act.payload() == signed.payload == canonical(vector["payload"])
    assert parse(signed.payload) == signed.act
    assert signed.act.body.kind == kind
    assert signed.ref == Ref(signed.act.seq, signed.id)
    PublicKey.from_base64(vector["signer"]["key"]).verify(signed.signature, acts.authenticated_bytes(signed.payload))


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_every_kind_is_in_its_vector(kind: str) -> None:
    body = print_vectors.BODIES[kind][2]
    absent = {field.name for field in dataclass_fields(body) if getattr(body, field.name) is None}
    assert not absent


def test_a_signature_that_is_encoded_again_leaves_the_id() -> None:
    other = replace(ADD, signature=ADD.signature[::-1])
    assert other.id == ADD.id
    assert other.line() != ADD.line()


@pytest.mark.parametrize("kind", KINDS)
def test_securesystemslib_verifies_an_envelope(kind: str) -> None:
    signed = print_vectors.signed(kind)
    found = Envelope.from_dict(json.loads(signed.line()) | {"signatures": [sslib_signature(signed)]})
    public = SSlibKey.from_crypto(key(signed.act.by).public_key(), keyid=signed.keyid)
    assert list(found.verify([public], 1)) == [signed.keyid]
    found.payload += b" "
    with pytest.raises(Exception, match="signature"):
        found.verify([public], 1)


def sslib_signature(signed: SignedAct) -> dict[str, str]:
    """An envelope's own form of a signature is base64, as DSSE says; from_dict reads that."""
    return {"keyid": signed.keyid, "sig": base64.b64encode(signed.signature).decode()}


def test_securesystemslib_reads_our_line_as_it_is() -> None:
    found = Envelope.from_dict(json.loads(ADD.line()))
    assert found.pae() == acts.authenticated_bytes(ADD.payload) == pae(ADD.payload)


# --- Parsing is strict: fields -----------------------------------------------------------------------------------

WRONG: tuple[object, ...] = (
    None, True, False, 0, -1, 2**53 + 1, 2**64, 10**400, "", " ", "x" * 100_000, "Agent-1", "é", "a\u0000",
    [], [None], [[]], {}, {"id": 1}, {"domain": []}, [1], ["a"],
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_one_type(kind: str) -> None:
    payload = payload_of(kind)
    for field in payload:
        for value in WRONG:
            if not (field == "policy" and isinstance(value, dict)):  # what a policy holds is for the register
                rejected(canonical(payload | {field: value}))


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_to_be_there(kind: str) -> None:
    payload = payload_of(kind)
    optional = {"dossier"} | {"recommend": {"names"}, "answer": {"observed"}}.get(kind, set())
    for field in payload:
        rest = canonical({name: value for name, value in payload.items() if name != field})
        if field in optional:
            read = parse(rest)
            assert getattr(read if field == "dossier" else read.body, field) is None
        else:
            rejected(rest)


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_is_there_that_does_not_belong(kind: str) -> None:
    payload = payload_of(kind)
    others = {name for other in KINDS for name in payload_of(other)} - payload.keys() - {"dossier"}
    for extra in (*others, "", "zzz", "Kind", "kind ", "__class__", "check"):
        value = payload_of("add").get(extra, 1)
        rejected(canonical(payload | {extra: value}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_of_any_depth_is_read_strictly(kind: str) -> None:
    """Take out, add and spoil a member of every object and list inside the payload."""
    payload = payload_of(kind)

    def variants(value: Any) -> list[Any]:
        if isinstance(value, dict):
            inner = [value | {name: changed} for name, item in value.items() for changed in variants(item)]
            without = [{name: item for name, item in value.items() if name != left} for left in value]
            return [*inner, *without, value | {"zzz": 1}]
        if isinstance(value, list):
            inner = [
                [*value[:place], changed, *value[place + 1 :]]
                for place, item in enumerate(value)
                for changed in variants(item)
            ]
            return [*inner, [*value, value[-1]], value[::-1] if len(value) > 1 else [], [*value, None]]
        return [None, [value], {"a": value}, True]

    for field, value in payload.items():
        if field not in ("policy", "files") and isinstance(value, dict | list):
            for changed in variants(value):
                rejected(canonical(payload | {field: changed}))


@pytest.mark.parametrize("kind", ["found", "adopt"])
def test_a_newer_rules_number_says_upgrade(kind: str) -> None:
    for rules in (acts.RULES + 1, 2**31, 2**40):
        error = rejected(canonical(payload_of(kind) | {"rules": rules, "unknown": 1}), f"rules {rules}")
        assert error.hint == "upgrade blocklist"
    for rules in (0, -1, True, "1", None):
        assert rejected(canonical(payload_of(kind) | {"rules": rules})).hint != "upgrade blocklist"


@pytest.mark.parametrize("kind", ["", "Add", "add ", "appoint\u0000", "body", 1, None, ["add"], {"add": 1}, "ädd"])
def test_an_unknown_kind_is_refused(kind: object) -> None:
    rejected(canonical(payload_of("add") | {"kind": kind}), "kind .* is unknown")


@pytest.mark.parametrize("text", [*sorted(RESERVED_IDS), "", "1a", "-a", "A", "a_b", "a.b", "a" * 33, "a\n", "é", "a "])
def test_an_id_is_no_reserved_or_other_word(text: str) -> None:
    for kind, field in (("add", "by"), ("add", "ground"), ("appoint", "officer"), ("revoke", "officer")):
        rejected(canonical(payload_of(kind) | {field: text}), rf"^{field}: ")
    rejected(canonical(payload_of("found") | {"list": text}), "^list: ")
    rejected(canonical(payload_of("found") | {"heads": [{"id": text, "key": key_text("head-1")}]}), "^heads: ")
    with pytest.raises(ActError):
        decoders.parse_identifier(text)


def test_an_id_may_be_as_long_as_it_may() -> None:
    assert parse(canonical(payload_of("revoke") | {"officer": "a" * 32})).body.officer == "a" * 32


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T12:00:00+00:00", "2026-11-22T12:00:00z", "2026-11-22t12:00:00Z", "2026-11-22 12:00:00Z",
        "2026-11-22T12:00:00.000Z", "2026-11-22T12:00Z", "20261122T120000Z", "2026-11-22T12:00:00", "2026-11-22",
        "2026-11-22T24:00:00Z", "2026-11-22T12:60:00Z", "2026-11-22T12:00:60Z", "2026-13-01T00:00:00Z",
        "2026-00-10T00:00:00Z", "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "1999-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z", " 2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z ",
        "2026-11-22T12:00:00Z\n", "2026-11-2T12:00:00Z", "+026-11-22T12:00:00Z", "2026-11-22T12:00:0\u0663Z",
        "２026-11-22T12:00:00Z", "20２6-11-22T12:00:00Z", "", 1795348800, None,
    ],
)  # fmt: skip
def test_an_instant_has_one_spelling(text: object) -> None:
    with pytest.raises(ActError):
        parse_instant(text)
    rejected(canonical(payload_of("add") | {"at": text}), "at: ")
    rejected(canonical(payload_of("add") | {"review_by": text}), "review_by: ")


@pytest.mark.parametrize("text", ["2000-01-01T00:00:00Z", "2199-12-31T23:59:59Z", "2028-02-29T12:00:00Z"])
def test_an_instant_reads_back(text: str) -> None:
    assert format_instant(parse_instant(text)) == text
    assert parse_instant(text).tzinfo is UTC


# --- Parsing is strict: names and references ---------------------------------------------------------------------


def with_names(domain: object, host: object = ()) -> bytes:
    return canonical(payload_of("remove") | {"names": {"domain": domain, "host": list(host)}})


@pytest.mark.parametrize("name", ["24.0.2.0.192.rpz-ip", "ns.example.rpz-nsdname", "a.rpz-client-ip", "a.rpz-x"])
def test_no_name_is_another_trigger_of_a_policy_zone(name: str) -> None:
    with pytest.raises(ActError, match="another trigger"):
        read_names({"domain": [], "host": [name]})
    assert read_names({"domain": ["rpz-ip.example"], "host": ["x.rpz-ip.example"]})


@pytest.mark.parametrize(
    "domain",
    [
        ["b.example", "a.example"], ["a.example", "a.example"], ["A.example"], ["a.example."], ["a.example "],
        ["example"],
        ["bücher.example"], ["*.a.example"], ["a..example"], ["-a.example"], ["192.0.2.1"], ["a.1"], ["a.0x1"], [""],
        [".a.example"], ["a/b.example"], ["a.example\n"], ["a" * 64 + ".example"], [f"{'a.' * 110}example"], [None],
        [1],
        [["a.example"]], "a.example", {"a.example": 1}, None, ["a.example", "B.example"],
        ["\u0430.example"], ["a.exa\u00admple"],
    ],
)  # fmt: skip
def test_names_are_canonical_sorted_and_unique(domain: object) -> None:
    rejected(with_names(domain), "^names: ")
    rejected(canonical(payload_of("remove") | {"names": {"domain": [], "host": domain}}), "^names: ")


def test_an_act_holds_one_to_ten_thousand_names() -> None:
    texts = [f"n{number:05}.example" for number in range(MAX_NAMES + 1)]
    rejected(with_names([]), "1 to 10000 names")
    assert len(parse(with_names(texts[:MAX_NAMES])).body.names) == MAX_NAMES
    rejected(with_names(texts), "not 10001")
    rejected(with_names(texts[:5000], texts[5000:]), "not 10001")
    for count in (0, MAX_NAMES + 1):
        rejected(canonical(payload_of("add") | {"count": count}), "^count: ")


def test_references_are_sorted_each_number_once() -> None:
    one, two, again = ({"id": digit * 64, "seq": seq} for digit, seq in (("a", 1), ("b", 2), ("c", 1)))
    for refs in ([two, one], [one, one], [one, again], [again, one], [one, again, two], []):
        rejected(canonical(payload_of("add") | {"requests": refs}), "^requests: ")
    many = [{"id": "a" * 64, "seq": seq} for seq in range(1, 102)]
    rejected(canonical(payload_of("add") | {"requests": many}), "1 to 100 entries")
    assert len(parse(canonical(payload_of("add") | {"requests": many[:100]})).body.requests) == 100


@pytest.mark.parametrize("digest", ["A" * 64, "a" * 63, "a" * 65, "g" * 64, "a" * 63 + "\n", "\uff41" * 64])
def test_a_digest_is_lower_case_hexadecimal(digest: str) -> None:
    for field in ("prev", "register", "dossier", "commitment"):
        rejected(canonical(payload_of("add") | {field: digest}), f"^{field}: ")


def test_heads_are_sorted_each_once() -> None:
    heads = [{"id": f"head-{number}", "key": key_text(f"head-{number}")} for number in range(1, 4)]
    for wrong in (heads[::-1], [heads[0], heads[0]], []):
        rejected(canonical(payload_of("found") | {"heads": wrong}), "^heads: ")


def test_a_founding_act_is_number_one_and_follows_nothing() -> None:
    payload = payload_of("found")
    for change in ({"seq": 2}, {"register": "0" * 64}, {"prev": "0" * 64}):
        rejected(canonical(payload | change), "founding act")
    for kind in KINDS:
        if kind != "found":
            for field in ("register", "prev"):
                rest = {name: value for name, value in payload_of(kind).items() if name != field}
                rejected(canonical(rest), f"the field {field} is missing")


@pytest.mark.parametrize(
    ("kind", "change", "match"),
    [
        ("request", {"to": "platform"}, "one to a platform none"),
        ("request", {"names": None}, "one to a platform none"),
        ("add", {"basis": "no-identification"}, "basis"),
        ("add", {"requests": None}, "basis"),
        ("approve", {"salt": None}, "names and salt"),
        ("approve", {"names": None}, "names and salt"),
        ("review", {"outcome": "lawful"}, "carries a review date"),
        ("review", {"review_by": None}, "carries a review date"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(kind: str, change: dict[str, Any], match: str) -> None:
    changed = {name: value for name, value in (payload_of(kind) | change).items() if value is not None}
    rejected(canonical(changed), match)


# --- Parsing is strict: bytes ------------------------------------------------------------------------------------


def text_of(signed: SignedAct) -> str:
    return signed.payload.decode()


SECOND_FORMS = {
    "a blank": lambda text: text.replace('":', '": ', 1),
    "a blank in front": lambda text: " " + text,
    "a line's end": lambda text: text + "\n",
    "a mark of byte order": lambda text: "\ufeff" + text,
    "keys unsorted": lambda text: re.sub(r'^\{("at":"[^"]*"),(.*)\}$', r"{\2,\1}", text),
    "a key twice": lambda text: text.replace('{"at":', '{"at":"2026-11-22T12:00:00Z","at":', 1),
    "a key twice, the other value first": lambda text: text.replace('{"at":', '{"at":"2030-11-22T12:00:00Z","at":', 1),
    "an escape that is not needed": lambda text: text.replace("apology", "\\u0061pology"),
    "a solidus escaped": lambda text: text.replace('"add"', '"\\/add"'),
    "a float": lambda text: text.replace('"count":4', '"count":4.0'),
    "an exponent": lambda text: text.replace('"count":4', '"count":4e0'),
    "NaN": lambda text: text.replace('"count":4', '"count":NaN'),
    "infinity": lambda text: text.replace('"count":4', '"count":Infinity'),
    "minus infinity": lambda text: text.replace('"count":4', '"count":-Infinity'),
    "minus zero": lambda text: text.replace('"count":4', '"count":-0'),
    "a leading zero": lambda text: text.replace('"count":4', '"count":04'),
    "a plus": lambda text: text.replace('"count":4', '"count":+4'),
    "a number without bounds": lambda text: text.replace('"count":4', f'"count":{"9" * 5000}'),
    "a large number": lambda text: text.replace('"count":4', f'"count":{"9" * 300}'),
    "another digit": lambda text: text.replace('"count":4', '"count":\u0664'),
    "a comma too many": lambda text: text[:-1] + ",}",
    "a comment": lambda text: text + "/**/",
    "two values": lambda text: text + text,
    "a list around it": lambda text: f"[{text}]",
    "single quotes": lambda text: text.replace('"', "'"),
    "cut off": lambda text: text[:-1],
    "a control character": lambda text: text.replace("apology", "apo\tlogy"),
}


@pytest.mark.parametrize("form", SECOND_FORMS)
def test_a_payload_has_one_form(form: str) -> None:
    text = SECOND_FORMS[form](text_of(ADD))
    assert text != text_of(ADD)
    rejected(text.encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"", b" ", b"null", b"1", b"true", b'"add"', b"[]", b"{}", b"\xff", b"\x00", b"\xef\xbb\xbf{}", b"{", b"}{",
        b'{"kind":"add"}', b'{"kind":"add","note":"\xed\xa0\x80"}', b'{"kind":"\xc0\xa1dd"}', "{}".encode("utf-16"),
        b'{"kind":"\\ud800"}', b'{"kind":"\\udc00\\ud800"}', b'{"\\ud800":1,"kind":"add"}',
    ],
)  # fmt: skip
def test_what_is_no_act_at_all_is_refused(payload: bytes) -> None:
    rejected(payload)


@pytest.mark.parametrize("value", ["\u0065\u0301", "\u212b", "\ufb1d", "\u0344", "a\u0327\u0301"])
def test_text_is_in_normal_form(value: str) -> None:
    """Only a policy holds text at all, so that is where it could get in."""
    assert unicodedata.normalize("NFC", value) != value
    policy = payload_of("adopt")["policy"]
    rejected(canonical(payload_of("adopt") | {"policy": policy | {"note": value}}), "NFC")
    rejected(canonical(payload_of("adopt") | {"policy": policy | {value: 1}}), "NFC")
    composed = unicodedata.normalize("NFC", value)
    assert parse(canonical(payload_of("adopt") | {"policy": {"note": composed}})).body.policy == {"note": composed}


def test_a_policy_holds_no_float_however_deep() -> None:
    for number in ("0.5", "1e3", "NaN", "-Infinity", "-0", "-0.0"):
        payload = canonical(payload_of("adopt") | {"policy": {"a": [{"b": "@"}]}}).replace(b'"@"', number.encode())
        rejected(payload)


@pytest.mark.parametrize("depth", [10, 400, 900, 1100, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("field", ["at", "by", "kind", "seq", "count", "requests", "zzz"])
def test_deep_nesting_is_refused(depth: int, opening: str, closing: str, field: str) -> None:
    nested = opening * depth + ("1" if opening != "[" else "") + closing * depth
    payload = canonical(payload_of("add") | {field: "@@"}).replace(b'"@@"', nested.encode())
    rejected(payload)


def test_a_message_about_a_large_value_is_short() -> None:
    for field, value in (("at", "x" * 10**6), ("by", ["y" * 10**5] * 3), ("seq", 10**4000), ("z" * 10**6, 1)):
        rejected(canonical(payload_of("add") | {field: value}))


# --- Envelopes ---------------------------------------------------------------------------------------------------

OTHER_SIGNATURE = ',{"keyid":"' + "0" * 64 + '","sig":"AA=="}]}'
OTHER_LINES = {
    "empty": lambda line: "",
    "a blank": lambda line: line.replace('":', '": ', 1),
    "a line's end": lambda line: line + "\n",
    "a carriage return": lambda line: line + "\r",
    "a blank in front": lambda line: " " + line,
    "a mark of byte order": lambda line: "\ufeff" + line,
    "keys in another order": lambda line: canonical_reversed(line),
    "a field more": lambda line: line[:-1] + ',"zzz":1}',
    "a field more inside": lambda line: line.replace('"}]}', '","cert":"x"}]}'),
    "no signature": lambda line: re.sub(r'"signatures":.*', '"signatures":[]}', line),
    "two signatures": lambda line: line.replace("]}", OTHER_SIGNATURE),
    "the signature twice": lambda line: re.sub(r'"signatures":\[(.*)\]', r'"signatures":[\1,\1]', line),
    "another payload type": lambda line: line.replace("blocklist.act", "blocklist.fact"),
    "the payload type in capitals": lambda line: line.replace("application/vnd", "Application/vnd"),
    "another type's dot": lambda line: line.replace("vnd.blocklist", "vndxblocklist"),
    "a blank in the payload": lambda line: line[:40] + " " + line[40:],
    "a line break in the payload": lambda line: line[:40] + "\n" + line[40:],
    "an escaped line break": lambda line: line[:40] + "\\n" + line[40:],
    "an escaped solidus": lambda line: line.replace("application/vnd", "application\\/vnd"),
    "no padding": lambda line: line.replace('=="}]}', '"}]}'),
    "more padding": lambda line: line.replace('","payloadType', '=","payloadType'),
    "no payload": lambda line: re.sub(r'"payload":"[^"]*"', '"payload":""', line),
    "no signature in it": lambda line: re.sub(r'"sig":"[^"]*"', '"sig":""', line),
    "a signature too long": lambda line: re.sub(r'"sig":"[^"]*"', f'"sig":"{"A" * 404}"', line),
    "the key id in capitals": lambda line: re.sub(r'"keyid":"([^"]*)"', lambda m: m[0].upper(), line),
    "the key id too short": lambda line: re.sub(r'"keyid":"(.)', '"keyid":"', line),
    "no key id": lambda line: re.sub(r'"keyid":"[^"]*",', "", line),
    "the signature in hex": lambda line: re.sub(r'"sig":"[^"]*"', f'"sig":"{"ab" * 64}=="', line),
    "cut off": lambda line: line[:-1],
    "two lines": lambda line: line + "\n" + line,
    "null": lambda line: "null",
}


def canonical_reversed(line: str) -> str:
    found = json.loads(line)
    return json.dumps(dict(reversed(found.items())), separators=(",", ":"))


@pytest.mark.parametrize("form", OTHER_LINES)
def test_an_envelope_has_one_form(form: str) -> None:
    line = ADD.line().decode()
    changed = OTHER_LINES[form](line)
    assert changed != line
    with pytest.raises(ActError):
        read_line(changed.encode())


def padded(length: int) -> SignedAct:
    """An act whose payload leaves `length` mod 3 octets for the last group of base64."""
    for more in range(3):
        signed = acts.sign(replace(REQUEST.act, by="agent-1" + "x" * more), signer(key("agent-1")))
        if len(signed.payload) % 3 == length:
            return signed
    raise AssertionError


@pytest.mark.parametrize("length", [1, 2])
def test_base64_has_one_form(length: int) -> None:
    """Bits beyond the last octet are zero, and the alphabet is the plain one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    line = padded(length).line().decode()
    read_line(line.encode())
    end = line.index('","payloadType')
    last = end - (3 - length) - 1
    for more in range(1, 4 ** (3 - length)):
        spoilt = alphabet[alphabet.index(line[last]) + more]
        changed = line[:last] + spoilt + line[last + 1 :]
        found = json.loads(changed)
        assert base64.b64decode(found["payload"]) == padded(length).payload  # the same bytes, in another spelling
        with pytest.raises(ActError, match="one form"):
            read_line(changed.encode())


def test_base64_of_urls_is_refused() -> None:
    line = envelope(ADD.payload, "agent-1", sig="-_" * 43)
    with pytest.raises(ActError):
        read_line(line)
    read_line(envelope(ADD.payload, "agent-1", sig="+/" * 42))


def test_a_line_has_a_largest_length() -> None:
    texts = tuple(f"{'a' * 60}.{'b' * 60}.{'c' * 60}.n{number:05}.{'d' * 22}.example" for number in range(MAX_NAMES))
    assert max(map(len, texts)) == 220
    largest = replace(REQUEST.act, body=acts.Request(to="host", names=Names(domain=texts)))
    line = acts.sign(largest, signer(key("agent-1"))).line()
    assert len(line) < acts.MAX_LINE
    assert len(read_line(line).act.body.names) == MAX_NAMES
    with pytest.raises(ActError, match="at most"):
        read_line(b"x" * (acts.MAX_LINE + 1))


# --- Signing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"at": START.replace(microsecond=1)},
        {"at": START.replace(year=2300)},
        {"by": "root"},
        {"seq": 0},
        {"register": None},
        {"dossier": "x"},
        {"body": acts.Remove(names=Names(), reason="lawful")},
        {"body": acts.Remove(names=Names(domain=("b.example", "a.example")), reason="lawful")},
        {"body": acts.Remove(names=names("a.example"), reason="boredom")},
        {"body": acts.Request(to="platform", names=names("a.example"))},
        {"body": acts.Adopt(policy={"a": 0.5}, files={"a.yaml": "0" * 64}, rules=1)},
        {"body": acts.Adopt(policy={}, files={"a.yaml": "0" * 64}, rules=2)},
        {"body": acts.Adopt(policy={"a": ("b",)}, files={"a.yaml": "0" * 64}, rules=1)},
    ],
)
def test_what_would_not_be_read_is_not_signed(change: dict[str, Any]) -> None:
    class NoSigner:
        def sign(self, content: bytes) -> None:
            raise AssertionError("it was signed")

    with pytest.raises(ActError):
        acts.sign(replace(REQUEST.act, **change), NoSigner())


def test_a_signature_is_over_the_envelope_s_content() -> None:
    signed = Chain(officers=()).signed[0]
    PublicKey.from_base64(key_text("head-1")).verify(signed.signature, pae(signed.payload))


def test_commitments_bind_names_scope_and_salt() -> None:
    salts = ("00" * 32, "01" * 32)
    sets = (names("a.example"), names(hosts=["a.example"]), names("a.example", hosts=["a.example"]), names("b.example"))
    commitments = {found.commitment(salt) for found in sets for salt in salts}
    assert len(commitments) == len(sets) * len(salts)


# --- Anything at all ---------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({name for kind in KINDS for name in payload_of(kind)})
FAST = settings(max_examples=150 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def only_act_error(read: Any, content: bytes) -> None:
    try:
        found = read(content)
    except ActError:
        return
    assert (found.payload() if isinstance(found, Act) else found.line()) == content


@FAST
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_in_one_way(content: bytes) -> None:
    only_act_error(parse, content)
    only_act_error(read_line, content)
    only_act_error(read_line, b'{"payload":"%b","payloadType"' % base64.b64encode(content))
    only_act_error(read_line, ADD.line().replace(base64.b64encode(ADD.payload), base64.b64encode(content)))


@FAST
@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), JSON, max_size=6), st.sampled_from([*KINDS]))
def test_random_json_is_refused_in_one_way(members: dict[str, Any], kind: str) -> None:
    for changed in (members, members | {"kind": kind}, payload_of(kind) | members):
        only_act_error(parse, json.dumps(changed, sort_keys=True, separators=(",", ":")).encode())
        only_act_error(parse, canonical_or_nothing(changed))


def canonical_or_nothing(value: object) -> bytes:
    try:
        return canonical(value)
    except UnicodeEncodeError:
        return b""


@FAST
@given(st.sampled_from([*KINDS]), st.data())
def test_one_changed_octet_never_reads_as_the_same_act(kind: str, data: st.DataObject) -> None:
    signed = print_vectors.signed(kind)
    place = data.draw(st.integers(0, len(signed.payload) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda value: value != signed.payload[place]))
    changed = signed.payload[:place] + bytes([octet]) + signed.payload[place + 1 :]
    try:
        act = parse(changed)
    except ActError:
        return
    assert act != signed.act
    assert act.payload() == changed


DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
IDS = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True).filter(lambda text: text not in RESERVED_IDS)
INSTANTS = st.integers(946_684_800, 7_258_118_399).map(lambda second: datetime.fromtimestamp(second, UTC))  # 2000-2199
REFS = st.builds(Ref, st.integers(1, 2**53), DIGESTS)
MANY_REFS = st.lists(REFS, min_size=1, max_size=5, unique_by=lambda ref: ref.seq).map(
    lambda refs: tuple(sorted(refs, key=lambda ref: ref.seq))
)
TEXTS = st.lists(st.from_regex(r"[a-z0-9_]{1,10}\.(example|test)", fullmatch=True), max_size=4, unique=True).map(
    lambda texts: tuple(sorted(texts))
)
NAMES = st.builds(Names, TEXTS, TEXTS).filter(len)
FILES = st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True), DIGESTS, min_size=1, max_size=3)
NORMAL = st.text(st.characters(codec="utf-8"), max_size=8).map(lambda text: unicodedata.normalize("NFC", text))
POLICIES = st.dictionaries(NORMAL, NORMAL | st.integers() | st.booleans() | st.none() | st.lists(NORMAL), max_size=3)
HEADS = st.lists(IDS, min_size=1, max_size=4, unique=True).map(
    lambda ids: tuple(Head(officer, key_text(officer)) for officer in sorted(ids))
)


def optional(strategy: st.SearchStrategy[Any], wanted: bool) -> st.SearchStrategy[Any]:
    return strategy if wanted else st.none()


def words(*allowed: str) -> st.SearchStrategy[str]:
    return st.sampled_from(allowed)


BODIES: dict[str, st.SearchStrategy[acts.Body]] = {
    "found": st.builds(acts.Found, list=IDS, environment=words(*acts.ENVIRONMENTS), heads=HEADS, policy=POLICIES,
                       files=FILES, rules=st.just(1)),
    "appoint": st.builds(acts.Appoint, officer=IDS, role=words(*acts.ROLES), key=IDS.map(key_text)),
    "revoke": st.builds(acts.Revoke, officer=IDS),
    "adopt": st.builds(acts.Adopt, policy=POLICIES, files=FILES, rules=st.just(1)),
    "request": words(*acts.RECIPIENTS).flatmap(
        lambda to: st.builds(acts.Request, to=st.just(to), names=optional(NAMES, to != "platform"))),
    "answer": st.builds(acts.Answer, request=REFS, outcome=words(*acts.ANSWERS)),
    "add": words(*acts.BASES).flatmap(
        lambda basis: st.builds(acts.Add, commitment=DIGESTS, count=st.integers(1, MAX_NAMES), ground=IDS,
                                basis=st.just(basis), review_by=INSTANTS,
                                requests=optional(MANY_REFS, basis == "not-removed"))),
    "approve": st.booleans().flatmap(
        lambda opens: st.builds(acts.Approve, act=REFS, names=optional(NAMES, opens), salt=optional(DIGESTS, opens))),
    "reject": st.builds(acts.Reject, act=REFS),
    "review": words(*acts.OUTCOMES).flatmap(
        lambda outcome: st.builds(acts.Review, names=NAMES, outcome=st.just(outcome),
                                  review_by=optional(INSTANTS, outcome == "still-unlawful"))),
    "remove": st.builds(acts.Remove, names=NAMES, reason=words(*acts.REASONS)),
    "recommend": st.builds(acts.Recommend, names=NAMES | st.none()),
    "respond": st.builds(acts.Respond, recommendation=REFS, outcome=words(*acts.RESPONSES)),
    "erase": st.builds(acts.Erase, act=REFS),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_valid_act_reads_back(kind: str, data: st.DataObject) -> None:
    first = kind == "found"
    act = Act(
        seq=1 if first else data.draw(st.integers(1, 2**53)),
        at=data.draw(INSTANTS),
        by=data.draw(IDS),
        body=data.draw(BODIES[kind]),
        nonce=data.draw(st.text("0123456789abcdef", min_size=32, max_size=32)),
        register=None if first else data.draw(DIGESTS),
        prev=None if first else data.draw(DIGESTS),
        dossier=data.draw(DIGESTS | st.none()),
    )
    assert parse(act.payload()) == act
    signed = acts.sign(act, signer(key("agent-1")))
    again = read_line(signed.line())
    assert (again.act, again.id, again.line()) == (act, signed.id, signed.line())


def test_an_instant_is_written_in_utc() -> None:
    paris = timezone(timedelta(hours=1))
    assert format_instant(START.astimezone(paris)) == "2026-11-22T12:00:00Z"


def test_vectors_hold_keys_in_their_one_encoding() -> None:
    for path in VECTORS.iterdir():
        text = json.loads(path.read_text())["signer"]["key"]
        public = PublicKey.from_base64(text)
        assert public.der == key(json.loads(path.read_text())["signer"]["officer"]).public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
