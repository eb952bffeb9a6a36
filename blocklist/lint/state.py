"""What the rules for one name say together. A list of a million names has a handful of such states."""

from __future__ import annotations

from functools import cached_property


class Act:
    """What one record does; two records that mean the same share one object."""

    __slots__ = ("action", "is_address", "is_cname", "type", "value")

    def __init__(self, type_: str, value: str, action: str) -> None:
        self.type = type_
        self.value = value
        self.action = action
        self.is_cname = type_ == "CNAME"
        self.is_address = type_ in ("A", "AAAA", "MX")


class State:
    """The rules for `NAME` and those for `*.NAME`; one object for all names that have the same.

    `following` has what comes of one more rule: another state, or the id of the rule that it breaks.
    """

    def __init__(self, own: tuple[Act, ...], below: tuple[Act, ...]) -> None:
        self.own = own
        self.below = below
        self.following: dict[tuple[bool, Act], State | str] = {}

    @cached_property
    def has_address(self) -> bool:
        """Whether BIND wants the owner to be a legal host name."""
        return any(act.is_address for act in (*self.own, *self.below))

    @cached_property
    def is_exception(self) -> bool:
        """Whether all of it says that the name is not to be blocked, which is what makes it stand below another."""
        return all(act.action == "passthru" for act in (*self.own, *self.below))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Ids of the warnings that every name with these rules deserves."""
        actions = {act.action for act in (*self.own, *self.below)}
        own_actions = {act.action for act in self.own}
        found = {
            "half": bool(self.below) and not self.own,
            "name-only": bool(self.own) and not self.below and not self.is_exception,
            "subtree": "nxdomain" in own_actions and not self.below,
            "landing-cname": "cname" in actions,
            "wildcard-address": any(act.type in ("A", "AAAA") for act in self.below),
            "action": bool(actions & {"passthru", "drop", "tcp-only"}),
            "dname": any(act.type == "DNAME" for act in (*self.own, *self.below)),
        }
        return tuple(rule for rule, holds in found.items() if holds)
