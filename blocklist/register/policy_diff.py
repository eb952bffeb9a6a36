"""What a new policy would change: the fields that differ, and what becomes of measures and proposals.

Everything here is for people who decide on an `adopt`; the register judges the act itself, without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from blocklist.base.errors import UsageError
from blocklist.base.i18n import _, plural
from blocklist.names.domain_name import Name
from blocklist.register import acts
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Measures, RuleError
from blocklist.register.policy import DAY, HOUR, MINUTE, WEEK, Policy, check_add
from blocklist.register.policy_reader import from_json

_DURATIONS: Final = ("notice", "review", "warn", "freshness", "keep")


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs, by its dotted key, in the written form; None where it is not there.

    For a list of words `old` holds those that go and `new` those that come, unless only their order differs.
    """

    key: str
    old: object
    new: object

    def lines(self) -> Iterator[str]:
        """The change for people: short values on one line, lists and long texts one below the other."""
        old, new = _shown(self.old), _shown(self.new)
        listed = isinstance(self.old, list) or isinstance(self.new, list)
        if not listed and len(old) == len(new) == 1 and len(self.key) + len(old[0]) + len(new[0]) <= _WIDTH:
            yield f"{self.key}: {old[0]} -> {new[0]}"
        else:
            yield f"{self.key}:"
            yield from (f"  - {line}" for line in old)
            yield from (f"  + {line}" for line in new)


_WIDTH: Final = 70


@dataclass(frozen=True, slots=True)
class Amendment:
    """What adopting a policy means at one instant.

    Attributes:
        changes: The fields that differ.
        withheld: Names in force now that the new policy protects, so that no release holds them.
        released: Names that the policy in force protects and the new one does not, so that they are in force again.
        stuck: Additions that wait and could not be approved any more: number of the act, and why.
    """

    changes: tuple[Change, ...]
    withheld: tuple[Name, ...]
    released: tuple[Name, ...]
    stuck: tuple[tuple[int, str], ...]

    def lines(self) -> Iterator[str]:
        """All of it for people."""
        for change in self.changes:
            yield from change.lines()
        for count, text, names in (
            (
                len(self.withheld),
                plural(
                    "{count} listed name is protected then, and withheld from every release:",
                    "{count} listed names are protected then, and withheld from every release:",
                    len(self.withheld),
                ),
                self.withheld,
            ),
            (
                len(self.released),
                plural(
                    "{count} listed name is no longer protected then, and blocked by the next release:",
                    "{count} listed names are no longer protected then, and blocked by the next release:",
                    len(self.released),
                ),
                self.released,
            ),
        ):
            if count:
                yield text
                yield from (f"  {name.text}" for name in names)
        for seq, why in self.stuck:
            yield _("act {seq} can then not be approved: {why}", seq=seq, why=why)


def amend(register: Register, new: Policy, at: datetime) -> Amendment:
    """What the policy `new` would change of `register` at the instant `at`.

    Raises:
        UsageError: It is the policy of another list, or of another regime: a list never changes either.
    """
    require_same_regime(register, new)
    measures = register.measures()
    before, after = (measures.in_force(at, policy.protected) for policy in (register.policy, new))
    return Amendment(
        tuple(diff(register.policy, new)), _without(before, after), _without(after, before), _stuck(register, new, at)
    )


def require_same_regime(register: Register, new: Policy) -> None:
    """Refuse what a list never changes.

    Raises:
        UsageError: It is the policy of another list, or of another regime.
    """
    if new.id != register.list_id:
        raise UsageError(
            _("this is the policy of {new}, the register is of {list_id}", new=new.id, list_id=register.list_id),
            _("give the list's own file, or name its list with --list"),
        )
    if new.regime != register.policy.regime:
        raise UsageError(
            _("the regime of a list never changes: it is {old}, not {new}", old=register.policy.regime, new=new.regime),
            _("another legal basis is another list: found it with 'blocklist init --list ID'"),
        )


def describe_adoption(register: Register, body: acts.Adopt, at: datetime) -> list[str]:
    """What an `adopt` that waits for another head would change, for that head to read.

    Raises:
        PolicyError: It holds no valid policy.
        UsageError: The policy is of another list or regime.
    """
    found = list(amend(register, from_json(body.policy), at).lines())
    return found or [_("no difference from the policy in force")]


def diff(old: Policy, new: Policy) -> list[Change]:
    """The fields that differ, in the order of the signed form."""
    ours, theirs = dict(_leaves(written(old), "")), dict(_leaves(written(new), ""))
    keys = [*ours, *(key for key in theirs if key not in ours)]
    return [_change(key, ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)]


def written(policy: Policy) -> dict[str, Any]:
    """The signed form with durations as people write them (`12w`)."""
    plain: dict[str, Any] = policy.to_json()
    return {key: written_duration(value) if key in _DURATIONS else value for key, value in plain.items()}


def written_duration(seconds: int) -> str:
    """Seconds as a file has them: in the largest unit that counts them, but a single day as `24h`."""
    for unit, length in (("w", WEEK), ("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds and seconds % length == 0 and (unit, seconds) != ("d", DAY):
            return f"{seconds // length}{unit}"
    return f"{seconds}s" if seconds else "0h"


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Every text, number and list of words below `value`, by its dotted key."""
    pairs = _pairs(value)
    if pairs is None:
        yield path, value
    else:
        for key, item in pairs.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)


def _pairs(value: object) -> Mapping[str, object] | None:
    """What is below a value: a mapping as it is, a list of sections by what names each of them."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value) or not value:
        return None
    keys = [str(item.get("id") or item.get("reference")) for item in value]
    # Two texts of law may have the same reference; then only their places tell them apart.
    return dict(zip(keys if len(set(keys)) == len(keys) else map(str, range(len(keys))), value, strict=True))


def _change(key: str, old: object, new: object) -> Change:
    if not isinstance(old, list) or not isinstance(new, list):
        return Change(key, old, new)
    gone, come = [item for item in old if item not in set(new)], [item for item in new if item not in set(old)]
    return Change(key, gone, come) if gone or come else Change(key, old, new)


def _shown(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _without(left: Measures, right: Measures) -> tuple[Name, ...]:
    return tuple(sorted(name for name in left.names() if right.get(name) is None))


def _stuck(register: Register, new: Policy, at: datetime) -> tuple[tuple[int, str], ...]:
    """The additions that wait and that `new` would refuse; those that the policy in force refuses too are included."""
    found = []
    for pending in register.waiting(at):
        if isinstance(pending.act.body, acts.Add):
            try:
                check_add(pending.act.body, new, at)
            except RuleError as refusal:
                found.append((pending.ref.seq, refusal.message))
    return tuple(found)
