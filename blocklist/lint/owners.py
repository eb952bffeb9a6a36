"""The owners of a policy zone with their rules: what is wrong with one, and what they do to each other."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from itertools import repeat
from operator import itemgetter

from blocklist.lint.masterfile import Record, wire_length
from blocklist.lint.rules import EXAMPLES, Findings
from blocklist.lint.state import Act, State

_MOST_RECORDS = 100
"""Of one name; a rule needs one or two, and the time that this takes grows with the square."""

_HOST = re.compile(rb"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.|$))+")
_TRIGGER = re.compile(rb"(?:^|\.)(rpz-(?:ip|client-ip|nsip|nsdname))$")
_ADDRESS = re.compile(rb"\d{1,3}(?:\.\d{1,3}){4}|\d{1,3}(?:\.(?:zz|[0-9a-f]{1,4})){1,8}")
_CHARACTERS = re.compile(rb"[a-z0-9_.*-]*")


class Owners:
    """Every name of a zone with its rules; `NAME` and `*.NAME` are one name.

    `states` has the rules of each name, and `lines` the line of its first record, in the same order.
    """

    def __init__(self, findings: Findings, room: int) -> None:
        """`room` is what an owner may take of a message, in octets."""
        self.states: dict[bytes, State] = {}
        self.lines = array("Q")
        self.nothing = State((), ())
        self._highest = b""
        self._findings = findings
        self._room = room
        self._acts: dict[tuple[str, str], Act] = {}
        self._known: dict[tuple[tuple[Act, ...], tuple[Act, ...]], State] = {}

    def _note(self, rule: str, line: int, owner: bytes) -> None:
        self._findings.add(rule, line, owner.decode("latin-1"))

    def fits(self, longest: int) -> bool:
        """Whether owners of that many octets are surely not too long, with `*.` before them."""
        return longest + 3 <= self._room

    def extend(self, names: list[bytes], state: State, line: int, size: int) -> bool:
        """Remember new names that all have the same rules, in `size` lines each; or none, if one is known."""
        # Lists are sorted as a rule, and what comes after all others is not among them: no need to look.
        above = names[0] > self._highest and names == sorted(names)
        if not above and not self.states.keys().isdisjoint(names):
            return False
        fresh = dict.fromkeys(names, state)
        if len(fresh) != len(names):
            return False
        self.states.update(fresh)
        self._highest = names[-1] if above else max(self._highest, max(names))
        self.lines.extend(range(line, line + len(names) * size, size))
        return True

    def act(self, found: Record) -> Act:
        """What a record does."""
        key = (found.type, found.value)
        return self._acts.get(key) or self._acts.setdefault(key, Act(found.type, found.value, found.action))

    def check(self, line: int, owner: bytes) -> None:
        """Note what is wrong with the spelling of an owner."""
        inner = owner.removeprefix(b"*.")
        plain = re.sub(rb"\\\d{3}|\\.", b"", inner)
        if not _CHARACTERS.fullmatch(plain):
            self._note("character", line, owner)
        elif plain != inner or b"*" in inner:
            self._note("odd-name", line, owner)

    def add(self, line: int, owner: bytes, base: bytes, act: Act) -> None:
        """Note what is wrong with one rule for one name, and remember it."""
        if len(owner) >= self._room and wire_length(owner.decode("latin-1")) > self._room:
            self._note("too-long", line, owner)
        if b"rpz-" in owner and (trigger := _TRIGGER.search(owner)):
            rest = owner[: trigger.start()]
            fits = trigger[1] == b"rpz-nsdname" or _ADDRESS.fullmatch(rest)
            self._note("other-trigger" if rest and fits else "trigger", line, owner)
            return
        if act.is_address and not _HOST.fullmatch(base):
            self._note("host-name", line, owner)
        state = self.states.get(base)
        after = self.after(state or self.nothing, owner is not base and owner != base, act)
        if isinstance(after, str):
            self._note(after, line, owner)
            return
        if state is None:
            self.lines.append(line)
            self._highest = max(self._highest, base)
        self.states[base] = after

    def after(self, state: State, below: bool, act: Act) -> State | str:
        """What a name's rules are with one more, or the id of the rule that this one breaks."""
        known = state.following.get((below, act))
        if known is None:
            known = self._next(state, below, act)
            state.following[below, act] = known
        return known

    def _next(self, state: State, below: bool, act: Act) -> State | str:
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
        counts = Counter(self.states.values())
        wanted = {rule: 0 for state in counts for rule in state.notes}
        for state, count in counts.items():
            for rule in state.notes:
                self._findings.counts[rule] = self._findings.counts.get(rule, 0) + count
        lacking = set(wanted)
        for (text, state), line in zip(self.states.items(), self.lines, strict=True):
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
        parents = set(map(itemgetter(2), map(bytes.partition, self.states, repeat(b"."))))
        covered = {parent for parent in parents if self._is_covered(parent)}
        if not covered:
            return
        for (text, state), line in zip(self.states.items(), self.lines, strict=True):
            parent = text.partition(b".")[2]
            if parent not in covered or state.is_exception:
                continue
            above = self.states.get(parent)
            if above is None or not above.below or not (state.own and state.below):
                self._note("below-wildcard", line, text)

    def _is_covered(self, text: bytes) -> bool:
        while text:
            state = self.states.get(text)
            if state is not None and state.below:
                return True
            text = text.partition(b".")[2]
        return False


def _shown(text: bytes, rule: str) -> str:
    return ("*." if rule in ("half", "wildcard-address") else "") + text.decode("latin-1")
