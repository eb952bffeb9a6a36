"""What the heads' metadata mean, in plain words: who can do what, what a proposal changes, what is still missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from blocklist.base.i18n import _, plural, shown
from blocklist.keys.encoding import PublicKey
from blocklist.trust.proposal import Missing, Proposal
from blocklist.trust.roles import OFFLINE, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Pin, Trust

WARN = timedelta(days=60)
"""How long before an end people are warned."""


def does(trust: Trust, role: str) -> str:
    """Who holds the keys of a role, and what enough of them together can do."""
    if role == ROOT:
        return _("heads, offline: name the keys of root, targets, snapshot and timestamp")
    if role == TARGETS:
        return _("heads, offline: state each list's register and branch, name the key of its releases")
    if role == SNAPSHOT:
        return _("publisher: says which versions belong together")
    if role == TIMESTAMP:
        return _("publisher: says which release is the newest")
    return _("publisher: signs the releases of {list_id}; blocks nothing that two officers did not sign", list_id=role)


def together(trust: Trust, role: str) -> str:
    """How many of which keys it takes."""
    entry = trust.role(role)
    return _("{threshold} of {count}", threshold=entry.threshold, count=len(entry.keyids))


def ends(what: str, at: datetime, now: datetime) -> str:
    """A warning that something ends or has ended, or nothing yet."""
    if at <= now:
        return _("{what} has expired: it ended {until}", what=what, until=shown(at))
    if at <= now + WARN:
        days = (at - now).days
        return plural(
            "{what} ends in {count} day, on {until}",
            "{what} ends in {count} days, on {until}",
            days,
            what=what,
            until=shown(at),
        )
    return ""


def advice(trust: Trust) -> Iterator[str]:
    """What is allowed and not wise."""
    for role in OFFLINE:
        entry = trust.role(role)
        count = len(entry.keyids)
        if entry.threshold == count:
            yield plural(
                "{role}: there is {count} key; if it is lost, nobody can sign again: have more keys than it takes",
                "{role}: all {count} keys have to sign; if one is lost, nobody can: have more keys than it takes",
                count,
                role=role,
            )
        if entry.threshold == 1:
            yield _("{role}: one stolen key is enough; two of three is better", role=role)


def fingerprints(keys: tuple[PublicKey, ...]) -> str:
    """Keys as people read them out."""
    return ", ".join(key.fingerprint for key in keys)


def changes(proposal: Proposal) -> Iterator[str]:
    """What a proposal changes against the versions that are in force, line by line."""
    before, after = proposal.base, proposal.after
    for name, metadata in proposal.documents.items():
        old = before.root.signed if name == ROOT else before.targets.signed
        yield _(
            "{role}: version {version}, valid until {until} (now version {old}, until {old_until})",
            role=name,
            version=metadata.signed.version,
            until=shown(metadata.signed.expires),
            old=old.version,
            old_until=shown(old.expires),
        )
    for role in after.names():
        yield from _role_changes(before, after, role)
    for list_id, pin in proposal.pins.items():
        yield _stated(before.pins.get(list_id), pin)
    stolen = proposal.stolen & {keyid for _role, keyid, _key in before.every_key()}
    for role, keyid, key in before.every_key():
        if keyid in stolen:
            yield _(
                "  {role}: what the key {fingerprint} signed counts for nothing, it was stolen",
                role=role,
                fingerprint=key.fingerprint,
            )


def _stated(before: Pin | None, pin: Pin) -> str:
    """What the heads would state of a list."""
    if before is None:
        return _(
            "  {list_id}: a new list ({environment}), register {register}",
            list_id=pin.list_id,
            environment=pin.environment,
            register=pin.register,
        )
    return _(
        "  {list_id}: branch {number}, which holds act {seq}, {id} (now branch {before}, act {old}, {old_id})",
        list_id=pin.list_id,
        number=pin.branch.number,
        seq=pin.branch.act.seq,
        id=pin.branch.act.id,
        before=before.branch.number,
        old=before.branch.act.seq,
        old_id=before.branch.act.id,
    )


def _role_changes(before: Trust, after: Trust, role: str) -> Iterator[str]:
    old, new = before.keys(role) if role in before.names() else {}, after.keys(role)
    for keyid, key in new.items():
        if keyid not in old:
            yield _("  {role}: + key {fingerprint}", role=role, fingerprint=key.fingerprint)
    for keyid, key in old.items():
        if keyid not in new:
            yield _("  {role}: - key {fingerprint}", role=role, fingerprint=key.fingerprint)
    if old and together(before, role) != together(after, role):
        yield _(
            "  {role}: signed by {now} keys (now {before})",
            role=role,
            now=together(after, role),
            before=together(before, role),
        )


def lacks(entry: Missing) -> str:
    """Whose signature is still missing."""
    return plural(
        "{document}: {count} more signature is needed, of {keys}",
        "{document}: {count} more signatures are needed, of {keys}",
        entry.count,
        document=entry.document,
        keys=fingerprints(entry.keys),
    )
