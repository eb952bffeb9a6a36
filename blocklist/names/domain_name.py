"""DNS names: what a person typed becomes one canonical A-label name, or is refused with a reason.

Two rules with two lifetimes live here. `normalise` depends on Unicode tables and may learn with a new version
of package `idna`; it runs only where a person types a name. `is_canonical` is syntax alone: it is part of the
signed rules, so that a register replays the same with any version of any library.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from operator import lt
from typing import NamedTuple

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, later

MAX_LENGTH = 220
"""Longest canonical name, in characters.

A policy zone holds `*.NAME.ZONE`, which must fit 255 octets in wire form (RFC 1035, 3.1): 2 for `*`, one for the
first length and `len(NAME)` for the name itself, and up to 32 for the zone with its root: 2 + 1 + 220 + 32 = 255.
One owner that is too long costs a provider the whole zone.
"""

_MAX_NAME = 253  # RFC 1035, 2.3.4: 255 octets in wire form
_MAX_LABEL = 63
_MAX_TYPED = 1000  # a name of 253 octets is never longer than this, however it is typed

_LABEL = r"[a-z0-9_][a-z0-9_-]{0,62}(?<!-)"
_NUMBER = r"[0-9]+|0x[0-9a-f]*"  # what browsers and inet_aton take for the end of an IPv4 address (WHATWG URL, 3.5)
# No possessive quantifier: Python 3.11.2 takes them for something else, and this is a rule that is signed. A dot ends
# every label, so there is nothing to go back over.
_canonical = re.compile(rf"(?:{_LABEL}\.)+(?!(?:{_NUMBER})\Z){_LABEL}").fullmatch
_is_number = re.compile(_NUMBER).fullmatch
_is_address = re.compile(
    r"\[?[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*(?:%\S*)?\]?(?:/\d+)?|\d+(?:\.\d+){1,3}/[\d.]+", re.I
).fullmatch
_url_character = re.compile(r"[/:@?#\\]").search
_dots = re.compile("[.\u3002\uff0e\uff61]")  # UTS #46, 2.3: all four separate labels

# Default_Ignorable_Code_Point and blank letters that are in none of the categories below.
_ignorable = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
).match
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs"})

_NAME_NOT_ADDRESS = later("give a name: unrelated sites share an address")

# UTS #39, 5.2, "Highly Restrictive": one script, or Latin with one of the writing systems of East Asia.
_WRITING_SYSTEMS = (
    frozenset({"Latin", "Han", "Hiragana", "Katakana"}),
    frozenset({"Latin", "Han", "Bopomofo"}),
    frozenset({"Latin", "Han", "Hangul"}),
)
_SCRIPT_ALIASES = {"Cjk": "Han", "Ideographic": "Han"}
_NO_SCRIPT = frozenset({"Combining", "Modifier", "Vedic"})  # marks and letters that any script may use


class Scope(StrEnum):
    """How far a measure reaches."""

    DOMAIN = "domain"
    """The name and everything below it."""
    HOST = "host"
    """That name alone."""


class Name(NamedTuple):
    """One name that a measure is about.

    Attributes:
        text: The canonical A-label name: lower case, no trailing dot.
        scope: How far it reaches.
    """

    text: str
    scope: Scope


class NameRefused(UsageError):  # noqa: N818  (a refusal is what it is, and the word that people read)
    """What was typed is not a name that can be listed.

    Attributes:
        reason: `a-label`, `address`, `character`, `empty`, `hyphen`, `invisible`, `label`, `length`,
            `mixed-script`, `order`, `space`, `url` or `wildcard`.
    """

    def __init__(self, message: str, hint: str = "", *, reason: str = "character") -> None:
        super().__init__(message, hint)
        self.reason = reason


def normalise(text: str, *, allow_mixed: bool = False) -> str:
    """Turn what a person typed into the canonical A-label name.

    Any case, U-labels, a trailing dot and surrounding blanks are accepted; U-labels are mapped with UTS #46
    (non-transitional) and checked with IDNA 2008. Nothing is ever cut, dropped or guessed.

    Args:
        text: A name as typed.
        allow_mixed: Whether the person confirmed that a label mixes scripts.

    Raises:
        NameRefused: With the reason and the likely intention.
    """
    plain = text.strip().lower() if text.isascii() else ""
    if _canonical(plain) and "xn--" not in plain and len(plain) <= MAX_LENGTH:
        return plain
    typed = text.strip()
    _refuse_what_is_no_name(typed, typed)
    labels = [_map(label, typed) for label in _dots.split(typed)]
    if len(labels) > 1 and not labels[-1]:
        del labels[-1]
    _refuse_labels(labels, typed)
    _refuse_what_is_no_name(".".join(labels), typed)  # again: mapping makes `/` of U+2100 and `*` of its wide form
    name = ".".join(_to_ascii(label, typed, allow_mixed=allow_mixed) for label in labels)
    _refuse_length(name, typed)
    return name


def is_canonical(text: str) -> bool:
    """Tell whether a name has the form that may be signed; syntax alone, the same for ever.

    Two labels or more of lower-case letters, digits, hyphens and underscores, 1 to 63 octets each, no hyphen at
    either end; at most `MAX_LENGTH` characters; the last label no number (`_NUMBER`).
    """
    return len(text) <= MAX_LENGTH and _canonical(text) is not None


def require_canonical(texts: Sequence[str]) -> None:
    """Check a whole list of names: each canonical, sorted by code point, none twice.

    Raises:
        NameRefused: Naming the first that is wrong; reason `order` when it is out of its place.
    """
    # A million names take 0.3 s. One pattern over all of them joined takes 0.24 s, but would be a second definition.
    if max(map(len, texts), default=0) > MAX_LENGTH or not all(map(_canonical, texts)):
        wrong = next(text for text in texts if not is_canonical(text))
        raise NameRefused(_("{name} is not a canonical A-label name", name=_shown(wrong)), reason=_reason(wrong))
    if not all(map(lt, texts, islice(texts, 1, None))):
        wrong = next(after for before, after in zip(texts, islice(texts, 1, None), strict=False) if before >= after)
        raise NameRefused(
            _("{name} is not in its place: names are sorted and unique", name=_shown(wrong)), reason="order"
        )


def to_unicode(text: str) -> str:
    """Give the U-label form of a canonical name, for people to read.

    A label stays as it is when it does not decode, or holds a character that a person would not see.
    """
    if "xn--" not in text:
        return text
    return ".".join(_decoded(label) or label for label in text.split("."))


def both_forms(text: str) -> str:
    """Give a name for people: with its Unicode form behind it if that differs."""
    unicode = to_unicode(text)
    return text if unicode == text else f"{text} ({unicode})"


def mixes_scripts(text: str) -> bool:
    """Tell whether a label of a canonical name mixes scripts, so that it may look like another name."""
    return any(_mixed_scripts(label) for label in to_unicode(text).split("."))


def is_host_name(text: str) -> bool:
    """Tell whether a canonical name may own an address record: a legal host name has no underscore (RFC 952)."""
    return "_" not in text


def ancestors(text: str) -> Iterator[str]:
    """Yield what lies above a name, from its parent up to the top-level domain."""
    dot = text.find(".")
    while dot >= 0:
        text = text[dot + 1 :]
        yield text
        dot = text.find(".")


def below(text: str, subtrees: AbstractSet[str]) -> bool:
    """Tell whether a name lies strictly below one of the subtrees."""
    dot = text.find(".")
    while dot >= 0:
        if text[dot + 1 :] in subtrees:
            return True
        dot = text.find(".", dot + 1)
    return False


def below_or_same(text: str, other: str) -> bool:
    """Tell whether a name is the other one, or lies below it."""
    return text == other or text.endswith(f".{other}")


def within(text: str, subtrees: AbstractSet[str]) -> bool:
    """Tell whether a name is one of the subtrees or lies below one."""
    return text in subtrees or below(text, subtrees)


def nearest(text: str, subtrees: AbstractSet[str]) -> str | None:
    """Give the smallest of the subtrees that a name is in."""
    while text not in subtrees:
        dot = text.find(".")
        if dot < 0:
            return None
        text = text[dot + 1 :]
    return text


def above(subtrees: Iterable[str]) -> frozenset[str]:
    """Give every name that lies strictly above one of the subtrees."""
    return frozenset(ancestor for text in subtrees for ancestor in ancestors(text))


def _refused(reason: str, message: str, hint: str = "") -> NameRefused:
    return NameRefused(message, hint, reason=reason)


def _shown(text: str) -> str:
    """What was typed, quoted, escaped where it cannot be printed, and cut where it is long."""
    return repr(text if len(text) <= 80 else text[:79] + "…")


def _refuse_what_is_no_name(text: str, typed: str) -> None:
    """Refuse what stands for something else than one name.

    Raises:
        NameRefused: Reason `empty`, `space`, `invisible`, `address`, `url`, `wildcard` or `length`.
    """
    if not text:
        raise NameRefused(_("the name is empty"), _("give a domain or a host name"), reason="empty")
    for character in text:
        if character.isspace():
            raise _refused(
                "space", _("{name} holds a space or a line break", name=_shown(typed)), _("give one name at a time")
            )
        if _is_invisible(character):
            message = _(
                "{name} holds an invisible character, U+{code:04X} ({character})",
                name=_shown(typed),
                code=ord(character),
                character=unicodedata.name(character, "-"),
            )
            hint = _("type the name anew; if the character belongs to the name, give its A-label (xn--…)")
            raise _refused("invisible", message, hint)
    if _is_address(text):
        raise _refused("address", _("{name} is an IP address", name=_shown(typed)), _(_NAME_NOT_ADDRESS))
    if found := _url_character(text):
        message = _(
            "{name} holds {found!r}: it is a URL, a port or a mailbox, not a name", name=_shown(typed), found=found[0]
        )
        raise _refused("url", message, _("give the host name alone, if the whole site is meant"))
    if "*" in text:
        raise _refused(
            "wildcard",
            _("{name} is a wildcard", name=_shown(typed)),
            _("give the name: scope domain covers all below it"),
        )
    if len(text) > _MAX_TYPED:
        raise _refused("length", _("{name} is longer than any name", name=_shown(typed)), _("give one name at a time"))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES or _ignorable(character) is not None


def _map(label: str, typed: str) -> str:
    """Map one label as UTS #46 says: case, width, compatibility forms, NFC.

    Raises:
        NameRefused: Reason `character`.
    """
    import idna  # 10 ms of tables that plain ASCII names and providers never need

    try:
        mapped = idna.uts46_remap(label, std3_rules=False)
    except idna.IDNAError as error:
        raise _not_idna(label, typed, error) from None
    if "." in mapped:  # older tables map U+2024 so, but only the four dots of UTS #46 separate labels
        raise _refused(
            "character",
            _("{name} holds a character that only looks like a dot", name=_shown(typed)),
            _("type a plain dot"),
        )
    return mapped


def _refuse_labels(labels: list[str], typed: str) -> None:
    """Refuse what the number and the place of the labels make wrong.

    Raises:
        NameRefused: Reason `label` or `address`.
    """
    if labels == [""]:
        raise _refused(
            "label",
            _("{name} has no label: it is the root of the DNS", name=_shown(typed)),
            _("give a domain or a host name"),
        )
    if not all(labels):
        hint = _("give the name without a dot in front or two in a row")
        raise _refused("label", _("{name} has an empty label", name=_shown(typed)), hint)
    if _is_number(labels[-1]):
        raise _refused(
            "address",
            _("{name} is read as an IP address: its last label is a number", name=_shown(typed)),
            _(_NAME_NOT_ADDRESS),
        )
    if len(labels) == 1:
        message = _(
            "{name} is a single label: a top-level domain (public suffix) or a local name, not a site",
            name=_shown(typed),
        )
        raise _refused("label", message, _("give the full name, such as example.com"))


def _to_ascii(label: str, typed: str, *, allow_mixed: bool) -> str:
    """Turn one mapped label into its A-label, or check the ASCII label that it is.

    Raises:
        NameRefused: Reason `hyphen`, `length`, `character`, `a-label` or `mixed-script`.
    """
    encoded = label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")
    if label.startswith("-") or label.endswith("-"):
        raise _refused("hyphen", _("{name} has a label that starts or ends with a hyphen", name=_shown(typed)))
    if len(encoded) > _MAX_LABEL:
        message = _(
            "{name} has a label over {most} octets: {count}", name=_shown(typed), most=_MAX_LABEL, count=len(encoded)
        )
        raise _refused("length", message)
    if label.isascii() and not label.startswith("xn--"):
        if wrong := re.search("[^a-z0-9_-]", label):
            message = _("{name} holds {found!r} in a label", name=_shown(typed), found=wrong[0])
            raise _refused("character", message, _("give the name alone, as plain text"))
        return label
    decoded = _decode(label, typed) if label.isascii() else _checked(label, typed)
    if not allow_mixed and (scripts := _mixed_scripts(decoded)):
        message = _(
            "{name} mixes scripts in the label {label}: {scripts}",
            name=_shown(typed),
            label=_shown(decoded),
            scripts=", ".join(scripts),
        )
        hint = _(
            "letters of two scripts look alike; the label would be listed as {encoded}: confirm that this is the name",
            encoded=encoded,
        )
        raise _refused("mixed-script", message, hint)
    return encoded


def _checked(label: str, typed: str) -> str:
    """Check a U-label with IDNA 2008 (RFC 5891, 4.2): neither an underscore nor a false `xn--` gets past it.

    Raises:
        NameRefused: Reason `hyphen` or `character`.
    """
    import idna

    if label[2:4] == "--":
        raise _refused("hyphen", _("{name} has a label with hyphens in the third and fourth place", name=_shown(typed)))
    try:
        idna.check_label(label)
    except ValueError as error:  # an IDNAError is one, and the joiner rules of older versions raise plain ones
        raise _not_idna(label, typed, error) from None
    return label


def _not_idna(label: str, typed: str, error: Exception) -> NameRefused:
    message = _(
        "{name} has a label that IDNA 2008 does not allow, {label}: {fault}",
        name=_shown(typed),
        label=_shown(label),
        fault=error,
    )
    return _refused("character", message, _("check the spelling, character by character"))


def _decode(label: str, typed: str) -> str:
    """Decode an A-label that is exactly what IDNA 2008 makes of its U-label (RFC 5891, 5.3 and 5.4).

    Raises:
        NameRefused: Reason `a-label`.
    """
    import idna

    with suppress(ValueError):  # an IDNAError is one
        decoded = idna.ulabel(label)
        if idna.alabel(decoded).decode("ascii") == label:  # older versions of idna do not compare
            return decoded
    message = _(
        "{name} has a label that starts with xn-- and is no valid A-label, {label}",
        name=_shown(typed),
        label=_shown(label),
    )
    raise _refused("a-label", message, _("give the name as people write it, or check the A-label"))


def _decoded(label: str) -> str | None:
    """Give the U-label of a label, when it has one in which every character can be seen."""
    if not label.startswith("xn--"):
        return None
    try:
        decoded = _decode(label, label)
    except NameRefused:
        return None
    return None if any(map(_is_invisible, decoded)) else decoded


def _mixed_scripts(label: str) -> list[str]:
    """Name the scripts of a label that mixes them as no writing system does; else nothing."""
    scripts = {script for character in label if (script := _script(character))}
    if len(scripts) < 2 or any(scripts <= system for system in _WRITING_SYSTEMS):
        return []
    return sorted(scripts)


def _script(character: str) -> str | None:
    """Give the script of a letter or mark: the first word of its Unicode name, which is enough to tell two apart."""
    if unicodedata.category(character)[0] not in "LM":
        return None
    word = re.split("[ -]", unicodedata.name(character, ""), maxsplit=1)[0].title()
    return None if word in _NO_SCRIPT else _SCRIPT_ALIASES.get(word, word)


def _refuse_length(name: str, typed: str) -> None:
    """Refuse a name that the DNS, or a policy zone, cannot hold.

    Raises:
        NameRefused: Reason `length`.
    """
    if len(name) > _MAX_NAME:
        message = _("{name} is over {most} octets: {count}", name=_shown(typed), most=_MAX_NAME, count=len(name))
        raise _refused("length", message)
    if len(name) > MAX_LENGTH:
        message = _(
            "{name} is too long for a policy zone, which holds {most} octets a name: {count}",
            name=_shown(typed),
            most=MAX_LENGTH,
            count=len(name),
        )
        raise _refused("length", message, _("list a shorter name above it, if all of it is meant"))


def _reason(text: str) -> str:
    """Find the reason code for a name that is not canonical."""
    try:
        normalise(text, allow_mixed=True)
    except NameRefused as refusal:
        return refusal.reason
    return "character"  # a form that a person may type and nobody may sign: capitals, U-labels, a trailing dot


@dataclass(frozen=True, slots=True)
class Names:
    """Canonical A-label names by scope, each sorted and unique, 1 to 10,000 in all."""

    domain: tuple[str, ...] = ()
    host: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.domain) + len(self.host)

    def by_scope(self) -> tuple[tuple[Scope, tuple[str, ...]], ...]:
        """Both scopes with their names."""
        return ((Scope.DOMAIN, self.domain), (Scope.HOST, self.host))

    def each(self) -> list[Name]:
        """Every name with its scope, domains first."""
        return [Name(text, scope) for scope, texts in self.by_scope() for text in texts]

    def to_json(self) -> dict[str, object]:
        """The form inside a payload."""
        return {"domain": list(self.domain), "host": list(self.host)}

    def encoded(self) -> bytes:
        """The form inside a payload as compact JSON: a canonical name needs no escape, so it is its own JSON."""
        domain, host = ('"' + '","'.join(texts) + '"' if texts else "" for _, texts in self.by_scope())
        return f'{{"domain":[{domain}],"host":[{host}]}}'.encode()

    def commitment(self, salt: str) -> str:
        """HMAC-SHA256 under `salt` (hex) of the names' compact JSON: binds, and tells nothing without the salt."""
        return hmac.new(bytes.fromhex(salt), self.encoded(), hashlib.sha256).hexdigest()
