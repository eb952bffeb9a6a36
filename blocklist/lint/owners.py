"""The owners of a policy zone with their rules: what is wrong with one, and what they do to each other."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property

from blocklist.lint.rules import EXAMPLES, Findings
from blocklist.lint.zone_reader import Record, wire_length

_MOST_RECORDS = 100
"""Of one name; a rule needs one or two, and the time that this takes grows with the square."""

_REMEMBERED = 1000
"""Records that are remembered for a state."""

_SHORT = 64
"""Octets up to which a name of two labels has none that is too long."""

_ORDINARY = re.compile(rb"(?!.*rpz-)[a-z0-9]+(?:-+[a-z0-9]+)*(?:\.[a-z0-9]+(?:-+[a-z0-9]+)*)+")
_HOST = re.compile(rb"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.|$))+")
_TRIGGER = re.compile(rb"(?:^|\.)(rpz-(?:ip|client-ip|nsip|nsdname))$")
_ADDRESS = re.compile(rb"\d{1,3}(?:\.\d{1,3}){4}|\d{1,3}(?:\.(?:zz|[0-9a-f]{1,4})){1,8}")
_CHARACTERS = re.compile(rb"[a-z0-9_.*-]*")


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

    A list of a million names has a handful of states. `following` leads to the state with one record more, by the
    octets of that record: the first mapping for `NAME`, the second for `*.NAME`. It holds what was seen and is right.
    """

    def __init__(self, own: tuple[Act, ...], below: tuple[Act, ...]) -> None:
        self.own = own
        self.below = below
        self.following: tuple[dict[bytes, State], dict[bytes, State]] = ({}, {})

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


class Owners:
    """Every name of a zone with its rules; `NAME` and `*.NAME` are one name.

    Args:
        findings: Where to note what is wrong.
        room: Octets that an owner may take of a message.
    """

    def __init__(self, findings: Findings, room: int) -> None:
        self.nothing = State((), ())
        self._findings = findings
        self._room = room
        self._short = min(_SHORT, room - len(b"*.") - 1)
        self._states: dict[bytes, State] = {}
        self._lines = array("Q")  # of the first record of each name, in the same order
        self._odd: set[bytes] = set()
        self._acts: dict[tuple[str, str], Act] = {}
        self._known: dict[tuple[tuple[Act, ...], tuple[Act, ...]], State] = {}

    def __len__(self) -> int:
        return len(self._states)

    def get(self, name: bytes) -> State | None:
        """Return the rules of a name, None if it has none."""
        return self._states.get(name)

    def each(self) -> Iterator[tuple[bytes, State, int]]:
        """Return every name with its rules and the line of its first record."""
        return zip(self._states, self._states.values(), self._lines, strict=True)

    def take(self, lines: Sequence[bytes], start: int, number: int) -> int:
        """Take in lines up to the first that has to be looked at closely; return how many were taken.

        A line is taken if its owner is an ordinary name and its record was seen before, for a name with the same rules.
        Nearly all lines of a long list are taken here, so this loop is what linting costs.

        Args:
            lines: The lines of a file.
            start: The index of the first line to take.
            number: The number of that line in its file.
        """
        states, nothing, odd = self._states, self.nothing, self._odd
        state, last = nothing, b""
        for index in range(start, len(lines)):
            owner, _, record = lines[index].partition(b" ")
            if below := owner[:2] == b"*.":
                owner = owner[2:]
            if owner != last:  # the records of one name stand together
                if state is not nothing:
                    states[last] = state
                state = states.get(owner, nothing)
                if owner in odd or (state is nothing and not self._is_ordinary(owner)):
                    return index - start
                last = owner
            after = state.following[below].get(record)
            if after is None:
                break
            if state is nothing:
                self._lines.append(number + index - start)
            state = after
        else:
            index = len(lines)
        if state is not nothing:
            states[last] = state
        return index - start

    def _is_ordinary(self, name: bytes) -> bool:
        """Whether no record for this name, or for what is below it, can have a wrong owner."""
        return len(name) <= self._short and _ORDINARY.fullmatch(name) is not None

    def act(self, found: Record) -> Act:
        """Return what a record does."""
        key = (found.type, found.value)
        return self._acts.get(key) or self._acts.setdefault(key, Act(found.type, found.value, found.action))

    def _note(self, rule: str, line: int, owner: bytes) -> None:
        self._findings.add(rule, line, owner.decode("latin-1"))

    def check(self, line: int, owner: bytes) -> None:
        """Note what is wrong with the spelling of an owner."""
        inner = owner.removeprefix(b"*.")
        plain = re.sub(rb"\\\d{3}|\\.", b"", inner)
        if not _CHARACTERS.fullmatch(plain):
            self._note("character", line, owner)
        elif plain != inner or b"*" in inner:
            self._note("odd-name", line, owner)

    def add(self, line: int, owner: bytes, act: Act, record: bytes = b"") -> None:
        """Note what is wrong with one rule for one name, and remember it.

        Args:
            line: The number of the line.
            owner: The name, or `*.` and the name.
            act: What the record does.
            record: The octets of the record, if they always mean this.
        """
        base = owner.removeprefix(b"*.")
        if len(owner) >= self._room and wire_length(owner.decode("latin-1")) > self._room:
            self._note("too-long", line, owner)
        if b"rpz-" in owner and (trigger := _TRIGGER.search(owner)):
            rest = owner[: trigger.start()]
            fits = trigger[1] == b"rpz-nsdname" or _ADDRESS.fullmatch(rest)
            self._note("other-trigger" if rest and fits else "trigger", line, owner)
            return
        if act.is_address and not _HOST.fullmatch(base):
            self._note("host-name", line, owner)
        state, below = self._states.get(base, self.nothing), owner != base
        after = self._next(state, below, act)
        if isinstance(after, str):
            self._note(after, line, owner)
            return
        if state is self.nothing:
            self._lines.append(line)
            if not self._is_ordinary(base):
                self._odd.add(base)
        if record and len(state.following[below]) < _REMEMBERED:
            state.following[below][record] = after
        self._states[base] = after

    def _next(self, state: State, below: bool, act: Act) -> State | str:
        """Return the state with one rule more, or the id of the rule of ours that this one breaks."""
        acts = state.below if below else state.own
        if act in acts:
            return "duplicate"
        if len(acts) >= _MOST_RECORDS:
            return "too-many"
        if acts and (act.is_cname or acts[0].is_cname):
            return "two-actions"
        key = (state.own, (*acts, act)) if below else ((*acts, act), state.below)
        return self._known.get(key) or self._known.setdefault(key, State(*key))

    def finish(self, *, warnings: bool) -> None:
        """Note what only all rules together tell."""
        if warnings:
            self._check_names()
        self._check_covered()

    def _check_names(self) -> None:
        """Note what the rules of one name tell together, by name and not by record."""
        counts = Counter(self._states.values())
        wanted = {rule: 0 for state in counts for rule in state.notes}
        for state, count in counts.items():
            for rule in state.notes:
                self._findings.counts[rule] = self._findings.counts.get(rule, 0) + count
        lacking = set(wanted)
        for text, state, line in self.each():
            if not lacking:
                break
            for rule in state.notes:
                if rule in lacking:
                    self._findings.add(rule, line, _shown(text, rule), 0)
                    wanted[rule] += 1
                    if wanted[rule] == EXAMPLES:
                        lacking.discard(rule)

    def _check_covered(self) -> None:
        """Names below a name whose `*.NAME` has a rule: by being there they take others out of that."""
        parents = {name.partition(b".")[2] for name in self._states}
        covered = {parent for parent in parents if self._is_covered(parent)}
        if not covered:
            return
        for text, state, line in self.each():
            parent = text.partition(b".")[2]
            if parent not in covered or state.is_exception:
                continue
            above = self.get(parent)
            if above is None or not above.below or not (state.own and state.below):
                self._note("below-wildcard", line, text)

    def _is_covered(self, text: bytes) -> bool:
        while text:
            state = self.get(text)
            if state is not None and state.below:
                return True
            text = text.partition(b".")[2]
        return False


def _shown(text: bytes, rule: str) -> str:
    return ("*." if rule in ("half", "wildcard-address") else "") + text.decode("latin-1")
