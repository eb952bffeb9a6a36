"""Guards against over-blocking: which well-formed names must not be listed, and why.

They run at the office when an act is made and when it is approved. They are not part of the signed rules, because
the suffix list differs between machines; what must hold everywhere (the protected names) is in the fold as well. What
would block the sites of unrelated people is a matter of brakes too (`wide`): officers can have other programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from blocklist.base.i18n import _, later, plural
from blocklist.names.domain_name import Name, Scope, above, ancestors, both_forms, nearest, normalise

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

    from blocklist.names.domain_name import Names

TEST_DOMAINS = frozenset({"example", "test"})
"""Top-level domains that exist in a test environment only (RFC 6761)."""

SPECIAL_USE = MappingProxyType(
    {
        "alt": later("{name} cannot be listed: .alt is outside the DNS (RFC 9476)"),
        "arpa": later(
            "{name} cannot be listed: .arpa belongs to the workings of the internet, not to a site (RFC 3172)"
        ),
        "internal": later("{name} cannot be listed: .internal is for private networks: each resolves its own"),
        "invalid": later("{name} cannot be listed: .invalid exists nowhere (RFC 6761)"),
        "local": later("{name} cannot be listed: .local is resolved on the local network, without DNS (RFC 6762)"),
        "localhost": later("{name} cannot be listed: .localhost is each user's own machine (RFC 6761)"),
        "onion": later(
            "{name} cannot be listed: .onion is a Tor service: DNS never sees it and cannot block it (RFC 7686)"
        ),
    }
)
"""Top-level domains that a public resolver does not serve as sites, each with the sentence that says so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One name that one guard refuses.

    Attributes:
        guard: The guard's id.
        name: The A-label name.
        message: One sentence that names the name and the rule.
        hint: What to do instead; may be empty.
    """

    guard: str
    name: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a list must not hit, from its policy and its workspace; all names are canonical.

    Attributes:
        protected: Subtrees that are never blocked.
        platforms: Names shared by many tenants, each with how they are told apart: `host` or `path`.
        own: The landing page, the publishing host, the probe name.
        test: Whether the environment is a test one.
    """

    protected: frozenset[str]
    platforms: Mapping[str, str]
    own: frozenset[str]
    test: bool


class Suffixes:
    """The public suffix list, for canonical names; a top-level domain that it does not hold is unknown.

    Args:
        test: Whether `example` and `test` count as top-level domains.
    """

    def __init__(self, *, test: bool) -> None:
        self.test = test

    def suffix(self, text: str) -> str | None:
        """Give the longest public suffix, ICANN or private, of a name; None when its top-level domain is unknown."""
        top = text[text.rfind(".") + 1 :]
        if top in TEST_DOMAINS:
            return top if self.test else None
        return None if top in SPECIAL_USE else _rules().publicsuffix(text)

    def known(self, text: str) -> bool:
        """Tell whether the top-level domain is one under which sites are registered."""
        return self.suffix(text) is not None

    def is_icann_suffix(self, text: str) -> bool:
        """Tell whether the name is a suffix of a registry, such as `co.uk`."""
        return self.suffix(text) == text and (text in TEST_DOMAINS or _icann_rules().is_public(text))

    def is_private_suffix(self, text: str) -> bool:
        """Tell whether the name is a suffix of a company, whose customers have the names below, such as `github.io`."""
        return self.suffix(text) == text and not self.is_icann_suffix(text)

    def registrable(self, text: str) -> str | None:
        """Give the registrable domain that a name is or lies below; None for a suffix and under an unknown one."""
        suffix = self.suffix(text)
        if suffix is None or suffix == text:
            return None
        return text[text.rfind(".", 0, -len(suffix) - 1) + 1 :]

    def wide(self, names: Names, parents: AbstractSet[str]) -> list[str]:
        """Give the names of a list that are a suffix, ICANN or private, or block one with everything below it.

        `parents` are the parents of all these names, and may be more: a million names have few, so that mostly no
        name has to be looked at for its own.
        """
        if not len(names):
            return []
        rules, wildcards = _suffix_rules()
        texts, above = (*names.domain, *names.host), _above_suffixes().keys()
        near = (rules | above).intersection(texts)
        if suspects := wildcards & parents:
            near |= {text for text in texts if text.partition(".")[2] in suspects}
        suffixes = {text for text in near if self.suffix(text) == text}
        return sorted(suffixes | near.intersection(above, names.domain)) if near else []

    def default_scope(self, text: str) -> Scope:
        """Give the scope of a name for which none was said: `domain` if it is registrable, else `host`."""
        return Scope.DOMAIN if self.registrable(text) == text else Scope.HOST

    def describe(self, name: Name) -> str:
        """Say in one sentence what a measure on a name blocks, and what it leaves."""
        shown = both_forms(name.text)
        if name.scope is Scope.DOMAIN:
            return _("{name} and every name below it", name=shown)
        site = self.registrable(name.text)
        if site is None or site == name.text:
            return _("{name} only; the names below it stay reachable", name=shown)
        if name.text == f"www.{site}":
            return _(
                "{name} only; {site} and other names below it stay reachable; to block the site, add {domain}, which "
                "blocks everything below it",
                name=shown,
                site=both_forms(site),
                domain=site,
            )
        return _("{name} only; {site} and other names below it stay reachable", name=shown, site=both_forms(site))


def wide(names: Names, parents: AbstractSet[str], *, test: bool) -> list[str]:
    """Why additions need a person's word because of what they would block besides, or nothing (promise 6)."""
    found = Suffixes(test=test).wide(names, parents)
    shown = ", ".join(found[:5])
    return (
        [
            plural(
                "{names} would block the sites of unrelated people: it is a public suffix, or above one",
                "{names} would block the sites of unrelated people: they are public suffixes, or above some",
                len(found),
                names=shown,
            )
        ]
        if found
        else []
    )


class Guards:
    """Every guard over one list's surroundings.

    Args:
        surroundings: What the list must not hit.
        suffixes: The suffix list of the same environment.

    Raises:
        ValueError: If the two are not of the same environment.
    """

    def __init__(self, surroundings: Surroundings, suffixes: Suffixes) -> None:
        if surroundings.test is not suffixes.test:
            raise ValueError("surroundings and suffixes are not of the same environment")
        self.surroundings = surroundings
        self.suffixes = suffixes
        self._above_protected = above(surroundings.protected)
        self._above_own = above(surroundings.own)
        self._above_platforms = above(surroundings.platforms)
        self._platforms = frozenset(surroundings.platforms)

    def check(self, names: Sequence[Name], listed: AbstractSet[str]) -> list[Finding]:
        """Run every guard over every name.

        Args:
            names: The names of one act; the same name twice is one name, and no finding.
            listed: The names listed with scope `domain` at present.

        Returns:
            Everything found, in the order of `names`, then of the table of guards.
        """
        same_act = frozenset(name.text for name in names if name.scope is Scope.DOMAIN)
        findings: list[Finding] = []
        for name in names:
            findings.extend(self._suffix(name))
            findings.extend(self._shared_platform(name))
            findings.extend(self._protected(name.text))
            findings.extend(self._own_infrastructure(name.text))
            findings.extend(_covered(name, listed, same_act))
        return findings

    def _suffix(self, name: Name) -> Iterable[Finding]:
        """Guards `unknown-suffix`, `public-suffix` and `private-suffix`: at most one of them finds something."""
        text, scope = name
        suffix = self.suffixes.suffix(text)
        if suffix is None:
            return (_unknown_suffix(text),)
        if suffix == text:
            return (self._is_suffix(text),)
        # A name above suffixes is no suffix itself, and blocks all their tenants the same: `amazonaws.com`.
        if scope is Scope.DOMAIN and (inner := _above_suffixes().get(text)):
            return (self._above_suffix(text, inner),)
        return ()

    def _is_suffix(self, text: str) -> Finding:
        if self.suffixes.is_icann_suffix(text):
            message = _("{name} is a public suffix: everybody's domains lie below it", name=text)
            hint = _("add the one domain that is meant, NAME.{suffix}", suffix=text)
            return Finding("public-suffix", text, message, hint)
        message = _(
            "{name} is a private suffix: the sites of unrelated people lie below it, and its tenants can be added",
            name=text,
        )
        return Finding("private-suffix", text, message, _("add the tenant: NAME.{suffix}", suffix=text))

    def _above_suffix(self, text: str, inner: str) -> Finding:
        if self.suffixes.is_icann_suffix(inner):
            guard = "public-suffix"
            template = _ABOVE_PUBLIC
        else:
            guard = "private-suffix"
            template = _ABOVE_PRIVATE
        hint = _("add the tenant, or {name} with scope host", name=text)
        return Finding(guard, text, _(template, name=text, suffix=inner), hint)

    def _shared_platform(self, name: Name) -> Iterator[Finding]:
        """A platform's own name, what blocks all of it, and anything below one whose tenants are paths."""
        text, scope = name
        if scope is Scope.DOMAIN and text in self._above_platforms:
            inner = _first_below(text, self._platforms)
            message = _(
                "{name} lies above the shared platform {platform}: it would block all its tenants",
                name=text,
                platform=inner,
            )
            hint = _("add the one name that is meant, or {name} with scope host", name=text)
            yield Finding("shared-platform", text, message, hint)
        platform = nearest(text, self._platforms)
        if platform is None:
            return
        if self.surroundings.platforms[platform] == "path":
            message = _(
                "{name} belongs to the shared platform {platform}, whose tenants differ by path only",
                name=text,
                platform=platform,
            )
            yield Finding("shared-platform", text, message, _("ask the platform to remove the content (request)"))
        elif text in (platform, f"www.{platform}"):
            message = _(
                "{name} is a shared platform's own name: its tenants have names below {platform}",
                name=text,
                platform=platform,
            )
            yield Finding("shared-platform", text, message, _("add the tenant: NAME.{suffix}", suffix=platform))

    def _protected(self, text: str) -> Iterator[Finding]:
        if subtree := nearest(text, self.surroundings.protected):
            if subtree == text:
                message = _("{name} is protected", name=text)
            else:
                message = _("{name} lies below {protected}, which is protected", name=text, protected=subtree)
        elif text in self._above_protected:
            inner = _first_below(text, self.surroundings.protected)
            message = _("{name} lies above {protected}, which is protected", name=text, protected=inner)
        else:
            return
        yield Finding("protected", text, message, _("only a head can change it: adopt another protected list"))

    def _own_infrastructure(self, text: str) -> Iterator[Finding]:
        if text in self.surroundings.own:
            message = _("{name} is needed to publish this list or to explain it", name=text)
        elif text in self._above_own:
            inner = _first_below(text, self.surroundings.own)
            message = _("{name} lies above {own}, which is needed to publish this list", name=text, own=inner)
        else:
            return
        yield Finding("own-infrastructure", text, message, _("check the name; the policy says which names are ours"))


def _covered(name: Name, listed: AbstractSet[str], same_act: AbstractSet[str]) -> Iterator[Finding]:
    """Guard `covered`: what is listed already, or would be by another name of the same act."""
    text, scope = name
    if (cover := nearest(text, listed)) is not None:
        if cover == text:
            message = _("{name} is listed already with scope domain", name=text)
        else:
            message = _("{name} is covered by {cover}, which is listed with scope domain", name=text, cover=cover)
    elif (cover := _covering(text, scope, same_act)) is not None:
        message = _("{name} is covered by {cover} in the same act with scope domain", name=text, cover=cover)
    else:
        return
    yield Finding("covered", text, message, _("leave it out: it is blocked without it"))


def _covering(text: str, scope: Scope, same_act: AbstractSet[str]) -> str | None:
    """Give the domain that covers a name; a domain does not cover itself, but it does cover the host of that name."""
    if scope is Scope.HOST and text in same_act:
        return text
    return nearest(text.partition(".")[2], same_act)


def _unknown_suffix(text: str) -> Finding:
    """Say why a name's last label is none under which sites are registered."""
    top = text[text.rfind(".") + 1 :]
    if top.startswith("rpz-"):
        message = _(
            "{name} cannot be listed: .{top} is read by resolvers as a rule about something else than a name",
            name=text,
            top=top,
        )
        hint = _("give the name alone, without the policy zone's triggers")
    elif top in TEST_DOMAINS:
        message = _("{name} cannot be listed: .{top} exists in a test environment only (RFC 6761)", name=text, top=top)
        hint = _("use a test environment to try things out")
    elif top in SPECIAL_USE:
        message = _(SPECIAL_USE[top], name=text)
        hint = _("check what was meant; DNS cannot block it")
    else:
        message = _("{name} cannot be listed: .{top} is no known top-level domain", name=text, top=top)
        hint = _("check the spelling; a new top-level domain needs a newer publicsuffixlist package")
    return Finding("unknown-suffix", text, message, hint)


_ABOVE_PUBLIC = later("{name} lies above the public suffix {suffix}: unrelated people's sites lie below it")
_ABOVE_PRIVATE = later("{name} lies above the private suffix {suffix}: unrelated people's sites lie below it")


def _first_below(text: str, names: Iterable[str]) -> str:
    """Give the first name, in order, that lies strictly below a name; there is one."""
    return min(name for name in names if name.endswith(f".{text}"))


@cache
def _rules() -> PublicSuffixList:
    """Every rule, ICANN and private. Built when first asked: it takes 60 ms that most commands do not need."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)


@cache
def _icann_rules() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, only_icann=True)


@cache
def _listed_rules() -> tuple[tuple[str, bool], ...]:
    """Each rule of several labels, and whether it makes a suffix of every name below it; the exceptions are left out.

    The package answers only for single names.
    """
    import publicsuffixlist

    rules = [line.partition(" ")[0] for line in Path(publicsuffixlist.PSLFILE).read_text("utf-8").splitlines()]
    several = [rule for rule in rules if "." in rule and not rule.startswith(("//", "!"))]
    texts = [(rule.removeprefix("*."), rule.startswith("*.")) for rule in several]
    return tuple((text if text.isascii() else _canonical(text), below) for text, below in texts)


def _canonical(text: str) -> str:
    return normalise(text, allow_mixed=True) if "." in text else normalise(f"x.{text}", allow_mixed=True)[2:]


@cache
def _suffix_rules() -> tuple[frozenset[str], frozenset[str]]:
    """The names that are suffixes, and those of them below which every name is one; exceptions are not looked at."""
    rules = _listed_rules()
    return frozenset(text for text, _ in rules), frozenset(text for text, below in rules if below)


@cache
def _above_suffixes() -> dict[str, str]:
    """Map each name above a rule to the first such rule in the list."""
    found: dict[str, str] = {}
    for text, below in _listed_rules():
        if text.count(".") + below >= 2:
            for ancestor in ancestors(text):
                found.setdefault(ancestor, text)
    return found
