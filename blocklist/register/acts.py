"""Acts: what one officer states and signs, as strict bytes (docs/design.md).

An act is a DSSE envelope around compact JSON. One act has exactly one payload encoding: keys sorted, no blanks, no
escapes that are not needed. So `parse` compares what it read with what it would have written, which refuses
duplicate keys, blanks and second spellings in one step. What is signed is for ever: the tables below do not change;
a new field or kind is a new rules number.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    BinaryIO,
    ClassVar,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from blocklist.base.i18n import _
from blocklist.names.domain_name import Names
from blocklist.register.decoders import (
    ActError,
    Count,
    Digest,
    FileDigests,
    Heads,
    Identifier,
    Instant,
    KeyText,
    NameSet,
    Nonce,
    PolicyJson,
    Ref,
    Reference,
    References,
    Rules,
    Sequence,
    code,
    encode,
    format_instant,
    load_canonical,
    refuse,
    shown,
)

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

RULES = 1
"""The number that fixes kinds, fold rules and renderers; carried by `found` and `adopt`."""

PAYLOAD_TYPE = "application/vnd.blocklist.act+json"
MAX_LINE = 8 * 1024 * 1024
"""Octets of one envelope: ten thousand of the longest names, twice in base64, with room for a large policy."""

ENVIRONMENTS = ("test", "production")
ROLES = ("agent", "head", "qualified-person")
RECIPIENTS = ("host", "publisher", "platform")
ANSWERS = ("removed", "refused", "silent", "clarification", "undelivered")
BASES = ("no-identification", "not-removed")
OUTCOMES = ("still-unlawful", "disappeared", "lawful")
REASONS = ("annulled", "suspended", "disappeared", "lawful", "error")
RESPONSES = ("accepted", "refused")

_LINE = re.compile(
    rb'\{"payload":"([A-Za-z0-9+/]+={0,2})","payloadType":"application/vnd\.blocklist\.act\+json",'
    rb'"signatures":\[\{"keyid":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/]{1,400}={0,2})"\}\]\}'
)


class Body:
    """What an act says beyond its header; one frozen dataclass a kind, whose fields are the payload's."""

    __slots__ = ()
    kind: ClassVar[str]

    def check(self) -> None:
        """Refuse fields that do not go together.

        Raises:
            ActError: They do not.
        """


KINDS: dict[str, type[Body]] = {}
_B = TypeVar("_B", bound=Body)


def _kind(cls: type[_B]) -> type[_B]:
    KINDS[cls.kind] = cls
    return cls


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Body):
    """The first act: a head founds the register of one list in one environment."""

    kind: ClassVar[str] = "found"
    list: Identifier
    environment: Annotated[str, code(*ENVIRONMENTS)]
    heads: Heads
    policy: PolicyJson
    files: FileDigests
    rules: Rules


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Appoint(Body):
    """A head appoints an officer (décret 2015-125 art. 1: individually designated agents)."""

    kind: ClassVar[str] = "appoint"
    officer: Identifier
    role: Annotated[str, code(*ROLES)]
    key: KeyText


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(Body):
    """A head ends an officer's appointment."""

    kind: ClassVar[str] = "revoke"
    officer: Identifier


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt(Body):
    """A head adopts a policy: the validated policy itself, and the SHA-256 of the files it was read from."""

    kind: ClassVar[str] = "adopt"
    policy: PolicyJson
    files: FileDigests
    rules: Rules


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Body):
    """An agent asked a recipient to remove content (LCEN art. 6-1 al. 1): the clock T0 is the act's instant."""

    kind: ClassVar[str] = "request"
    to: Annotated[str, code(*RECIPIENTS)]
    names: NameSet | None = None

    def check(self) -> None:
        """A platform's request carries no name: what it is about is a page, not a site."""
        if (self.names is None) != (self.to == "platform"):
            refuse(_("a request to a host or publisher carries names, one to a platform none"))


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Body):
    """What came back to a request; `observed` is when the content was seen to be gone, where that is known."""

    kind: ClassVar[str] = "answer"
    request: Reference
    outcome: Annotated[str, code(*ANSWERS)]
    observed: Instant | None = None

    def check(self) -> None:
        """Only what was removed was seen to be gone."""
        if self.observed is not None and self.outcome != "removed":
            refuse(_("only an answer 'removed' says when the content was seen to be gone"))


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Body):
    """An agent proposes to block names, which stay secret until they are approved."""

    kind: ClassVar[str] = "add"
    commitment: Digest
    count: Count
    ground: Identifier
    basis: Annotated[str, code(*BASES)]
    review_by: Instant
    requests: References | None = None

    def check(self) -> None:
        """`not-removed` cites the requests that were not followed; `no-identification` has none to cite."""
        if (self.requests is None) != (self.basis == "no-identification"):
            refuse(_("basis not-removed cites its requests, basis no-identification none"))


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Approve(Body):
    """Another officer approves exactly one act; for an `add` this opens its commitment."""

    kind: ClassVar[str] = "approve"
    act: Reference
    names: NameSet | None = None
    salt: Digest | None = None

    def check(self) -> None:
        """Names are worth nothing without their salt, and the reverse."""
        if (self.names is None) != (self.salt is None):
            refuse(_("an approval carries names and salt, or neither"))


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Reject(Body):
    """Another officer rejects a pending act, or its author withdraws it."""

    kind: ClassVar[str] = "reject"
    act: Reference


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Review(Body):
    """An agent verified the sites again (décret 2015-125 art. 4): a later date, or the end of the measures."""

    kind: ClassVar[str] = "review"
    names: NameSet
    outcome: Annotated[str, code(*OUTCOMES)]
    review_by: Instant | None = None

    def check(self) -> None:
        """Only what is still unlawful gets a new date."""
        if (self.review_by is None) != (self.outcome != "still-unlawful"):
            refuse(_("outcome still-unlawful carries a review date, every other outcome none"))


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(Body):
    """An agent ends measures at once; one signature is enough."""

    kind: ClassVar[str] = "remove"
    names: NameSet
    reason: Annotated[str, code(*REASONS)]


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Recommend(Body):
    """The qualified person finds measures irregular (LCEN art. 6-1 al. 3); without names, a general remark."""

    kind: ClassVar[str] = "recommend"
    names: NameSet | None = None


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Respond(Body):
    """The office answers a recommendation; accepting it ends its measures."""

    kind: ClassVar[str] = "respond"
    recommendation: Reference
    outcome: Annotated[str, code(*RESPONSES)]


@_kind
@dataclass(frozen=True, slots=True, kw_only=True)
class Erase(Body):
    """A head states that the dossier of an act was destroyed (GDPR); the chain stays whole."""

    kind: ClassVar[str] = "erase"
    act: Reference


@cache
def _readers(kind: str) -> tuple[Mapping[str, Callable[[object], object]], frozenset[str]]:
    """The readers of a kind's fields, and which fields may be absent."""
    readers, optional = {}, set()
    for name, hint in get_type_hints(KINDS[kind], include_extras=True).items():
        if get_origin(hint) is ClassVar:
            continue
        if get_origin(hint) is Union:
            optional.add(name)
            hint = get_args(hint)[0]
        readers[name] = get_args(hint)[1]
    return readers, frozenset(optional)


def _to_json(value: object) -> object:
    if isinstance(value, datetime):
        return format_instant(value)
    if isinstance(value, tuple):
        return [entry.to_json() for entry in value]
    return value.to_json() if isinstance(value, Ref | Names) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One officer's statement: the header that every payload has, and a body by kind.

    `register` is the id of the founding act and `prev` that of the act before; both are absent in the first act.
    `dossier` is HMAC-SHA256 (hex) of the confidential dossier's bytes under a salt kept with the dossier. `nonce` is 16
    random octets (hex): without it, whoever knows the id of an act could guess what a short one says.
    """

    seq: int
    at: datetime
    by: str
    body: Body
    nonce: str
    register: str | None = None
    prev: str | None = None
    dossier: str | None = None

    def payload(self) -> bytes:
        """The exact bytes that are signed."""
        members: dict[str, object] = {"kind": self.body.kind}
        for source, names in ((self, _HEADER), (self.body, _readers(self.body.kind)[0])):
            for name in names:
                value = getattr(source, name)
                if value is not None:
                    members[name] = _to_json(value)
        return encode(members)


_HEADER: Mapping[str, Callable[[object], object]] = {
    name: get_args(hint)[1]
    for name, hint in (
        ("seq", Sequence),
        ("at", Instant),
        ("by", Identifier),
        ("nonce", Nonce),
        ("register", Digest),
        ("prev", Digest),
        ("dossier", Digest),
    )
}


def _read_fields(members: dict[str, Any], readers: Mapping[str, Any], optional: frozenset[str]) -> dict[str, Any]:
    """Take the fields of `readers` out of `members`, each read by its reader."""
    values = {}
    for name, read in readers.items():
        if name in members:
            try:
                values[name] = read(members.pop(name))
            except ActError as fault:
                refuse(_("{name}: {problem}", name=name, problem=fault.message))
        elif name not in optional:
            refuse(_("the field {name} is missing", name=name))
    return values


def parse(payload: bytes) -> Act:
    """Read an act from its payload.

    Raises:
        ActError: The bytes are not exactly what `Act.payload` writes for some act.
    """
    members = load_canonical(payload)
    kind = members.pop("kind", None)
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        refuse(_("the kind {kind} is unknown", kind=shown(kind)))
    if type(members.get("rules")) is int and members["rules"] > RULES:
        raise ActError(
            _("the act follows rules {number}, this program knows {known}", number=members["rules"], known=RULES),
            _("upgrade blocklist"),
        )
    first = cls is Found
    header = _read_fields(members, _HEADER, frozenset({"dossier", "register", "prev"} if first else {"dossier"}))
    body = cls(**_read_fields(members, *_readers(cls.kind)))
    if members:
        refuse(_("the field {name} does not belong to an act of kind {kind}", name=shown(min(members)), kind=kind))
    if first and (header.keys() & {"register", "prev"} or header["seq"] != 1):
        refuse(_("a founding act has number 1, and neither register nor prev"))
    body.check()
    return Act(body=body, **header)


# Envelopes: DSSE, one signature, one line.


def authenticated_bytes(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """What a signature covers: the DSSE pre-authentication encoding of the payload and its type."""
    return b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type.encode(), len(payload), payload)


@dataclass(frozen=True)
class SignedAct:
    """An act with the bytes that were signed; `keyid` is the SHA-256 of the signing key (a hint, not a proof)."""

    act: Act
    payload: bytes
    keyid: str
    signature: bytes
    id: str = field(init=False, compare=False, repr=False)
    """SHA-256 of the payload: re-encoding a signature does not change it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", hashlib.sha256(self.payload).hexdigest())

    @property
    def ref(self) -> Ref:
        """Number and id."""
        return Ref(self.act.seq, self.id)

    def line(self) -> bytes:
        """The envelope as stored and shipped, without the line's end."""
        return b'{"payload":"%b","payloadType":"%b","signatures":[{"keyid":"%b","sig":"%b"}]}' % (
            binascii.b2a_base64(self.payload, newline=False),
            PAYLOAD_TYPE.encode(),
            self.keyid.encode(),
            binascii.b2a_base64(self.signature, newline=False),
        )


def sign(act: Act, signer: Signer) -> SignedAct:
    """Sign `act` as a DSSE envelope.

    Raises:
        ActError: The act is not well formed, so nothing was signed.
    """
    from securesystemslib.dsse import Envelope  # signing is rare, reading is not

    payload = act.payload()
    if parse(payload) != act:
        refuse(_("the act does not read back as it was written"))
    signature = Envelope(payload, PAYLOAD_TYPE, {}).sign(signer)
    return SignedAct(act, payload, signature.keyid, bytes.fromhex(signature.signature))


def read_line(line: bytes) -> SignedAct:
    """Read one envelope.

    Raises:
        ActError: It is not exactly the line that `SignedAct.line` writes.
    """
    if len(line) > MAX_LINE:
        refuse(_("an envelope has at most {most} octets", most=MAX_LINE))
    match = _LINE.fullmatch(line)
    if match is None:
        refuse(_("the line is not a DSSE envelope in its one form: three fields, one signature, no blanks"))
    try:
        payload, signature = binascii.a2b_base64(match[1]), binascii.a2b_base64(match[3])
    except binascii.Error as fault:
        raise ActError(_("the envelope is not valid base64")) from fault
    signed = SignedAct(parse(payload), payload, match[2].decode(), signature)
    if signed.line() != line:
        refuse(_("the envelope's base64 is not in its one form"))
    return signed


def id_of(line: bytes) -> str | None:
    """The id that an envelope's act would have, before anything of it is judged; None if the line is no envelope."""
    match = _LINE.fullmatch(line)
    try:
        return None if match is None else hashlib.sha256(binascii.a2b_base64(match[1])).hexdigest()
    except binascii.Error:
        return None


def read_lines(stream: BinaryIO, length: int | None = None) -> Iterator[bytes]:
    """The envelopes of an `acts.jsonl`, of its first `length` octets if that is given.

    Raises:
        ActError: A line has no end, or no bounds.
    """
    left = length
    while left != 0 and (line := stream.readline(MAX_LINE + 2)):
        left = None if left is None else left - len(line)
        if not line.endswith(b"\n") or (left is not None and left < 0):
            raise ActError(_("a line of acts.jsonl is too long or was cut off"), _("fetch it again"))
        yield line[:-1]
