"""The owners of a policy zone with their rules: what is wrong with one, and what they do to each other."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import lt

from blocklist.lint.masterfile import Record, wire_length
from blocklist.lint.rules import EXAMPLES, Findings
from blocklist.lint.state import Act, State

_MOST_RECORDS = 100
"""Of one name; a rule needs one or two, and the time that this takes grows with the square."""

_HOST = re.compile(rb"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.|$))+")
_TRIGGER = re.compile(rb"(?:^|\.)(rpz-(?:ip|client-ip|nsip|nsdname))$")
_ADDRESS = re.compile(rb"\d{1,3}(?:\.\d{1,3}){4}|\d{1,3}(?:\.(?:zz|[0-9a-f]{1,4})){1,8}")
_CHARACTERS = re.compile(rb"[a-z0-9_.*-]*")
_PARENT = re.compile(rb"\.([^.\n]+\..+)")  # of a name of three labels or more, which stands on its own line


_FEW = 64
"""Names that are looked for in runs, one by one."""

_TOGETHER = 256
"""Names that are kept as one text: a million of them take ten times the memory of their characters."""


@dataclass(slots=True)
class _Run:
    """Names in ascending order that all have the same rules, in `size` lines each, from `line` on."""

    state: State
    line: int
    size: int
    count: int = 0
    texts: list[bytes] = field(default_factory=list)
    firsts: list[bytes] = field(default_factory=list)

    @property
    def lines(self) -> Sequence[int]:
        """The line of the first record of each name."""
        return range(self.line, self.end, self.size)

    @property
    def end(self) -> int:
        """The line after the last record."""
        return self.line + self.count * self.size

    @property
    def names(self) -> list[bytes]:
        """All names."""
        return b"\n".join(self.texts).split(b"\n") if self.texts else []

    @property
    def last(self) -> bytes:
        """The last name."""
        return self.texts[-1].rpartition(b"\n")[2]

    def __contains__(self, name: bytes) -> bool:
        place = bisect_right(self.firsts, name) - 1
        return place >= 0 and name in self.texts[place] and name in self.texts[place].split(b"\n")

    def extend(self, names: list[bytes]) -> None:
        """Take in names that follow."""
        parts = [names[start : start + _TOGETHER] for start in range(0, len(names), _TOGETHER)]
        self.texts += map(b"\n".join, parts)
        self.firsts += [part[0] for part in parts]
        self.count += len(names)

    def pop(self) -> None:
        """Give the last name away."""
        self.count -= 1
        rest = self.texts.pop().rpartition(b"\n")[0]
        if rest:
            self.texts.append(rest)
        else:
            self.firsts.pop()


def _first(run: _Run) -> bytes:
    return run.firsts[0]


class Owners:
    """Every name of a zone with its rules; `NAME` and `*.NAME` are one name.

    Zones are sorted as a rule, and what comes after all others is not among them: such names stay in runs, each above
    the last. To make a dictionary of a million names takes as long as to find them in their lines. It is made once, as
    soon as many names come out of their order.
    """

    def __init__(self, findings: Findings, room: int) -> None:
        """`room` is what an owner may take of a message, in octets."""
        self.nothing = State((), ())
        self._runs: list[_Run] = []
        self._settled = False
        self._states: dict[bytes, State] = {}
        self._lines = array("Q")
        self._highest = b""
        self._parents: set[bytes] = set()  # of all names, and maybe more; but a top-level domain need not be there
        self._findings = findings
        self._room = room
        self._acts: dict[tuple[str, str], Act] = {}
        self._known: dict[tuple[tuple[Act, ...], tuple[Act, ...]], State] = {}

    def __len__(self) -> int:
        return len(self._states) + sum(run.count for run in self._runs)

    def get(self, name: bytes) -> State | None:
        """The rules of a name, None if it has none."""
        return self._states.get(name) or self._in_runs(name)

    def each(self) -> Iterator[tuple[bytes, State, int]]:
        """Every name with its rules and the line of its first record."""
        for names, states, lines in self._parts():
            yield from zip(names, states, lines, strict=True)

    def _parts(self) -> Iterator[tuple[Sequence[bytes], Sequence[State], Sequence[int]]]:
        """The same as lists, in the order of the lines; no other name stands within a run."""
        names, states, done = list(self._states), list(self._states.values()), 0
        for run in self._runs:
            until = bisect_left(self._lines, run.line)
            yield names[done:until], states[done:until], self._lines[done:until]
            yield run.names, [run.state] * run.count, run.lines
            done = until
        yield names[done:], states[done:], self._lines[done:]

    def _in_runs(self, name: bytes) -> State | None:
        place = bisect_right(self._runs, name, key=_first) if name <= self._highest else 0
        return self._runs[place - 1].state if place and name in self._runs[place - 1] else None

    def _take_out(self, name: bytes) -> None:
        """Let a name of a run have other rules: mostly it is the last one, whose lines a portion of the file parted."""
        run = self._runs[-1]
        if run.last != name or (self._lines and self._lines[-1] > run.lines[-1]):
            self._settle()
            return
        self._states[name] = run.state
        self._lines.append(run.lines[-1])
        run.pop()
        if not run.count:
            self._runs.pop()

    def _settle(self) -> None:
        """Put all names where any is found at once and can get other rules, and do so from now on."""
        if self._settled:
            return
        settled: dict[bytes, State] = {}
        places = array("Q")
        for names, states, lines in self._parts():
            settled.update(zip(names, states, strict=True))
            places.extend(lines)
        self._runs, self._states, self._lines, self._settled = [], settled, places, True

    def _note(self, rule: str, line: int, owner: bytes) -> None:
        self._findings.add(rule, line, owner.decode("latin-1"))

    def fits(self, longest: int) -> bool:
        """Whether owners of that many octets are surely not too long, with `*.` before them."""
        return longest + 3 <= self._room

    def extend(self, names: list[bytes], text: bytes, state: State, line: int, size: int) -> bool:
        """Remember new names of two labels or more that all have the same rules; or none of them, if one is known.

        Args:
            names: They.
            text: The same, a line each.
            state: The rules.
            line: Where the first of them begins.
            size: How many lines each has.
        """
        self._parents.update(_PARENT.findall(text))
        if not self._settled and names[0] > self._highest and all(map(lt, names, islice(names, 1, None))):
            last = self._runs[-1] if self._runs else None
            if last is None or (last.state, last.end, last.size) != (state, line, size):
                last = _Run(state, line, size)
                self._runs.append(last)
            last.extend(names)
            self._highest = names[-1]
            return True
        fresh = dict.fromkeys(names, state)
        if len(names) > _FEW:
            self._settle()
        if (
            len(fresh) != len(names)
            or not self._states.keys().isdisjoint(names)
            or (self._runs and any(map(self._in_runs, names)))
        ):
            return False
        self._states.update(fresh)
        self._highest = max(self._highest, max(names))
        self._lines.extend(range(line, line + len(names) * size, size))
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
        state = self.get(base)
        after = self.after(state or self.nothing, owner is not base and owner != base, act)
        if isinstance(after, str):
            self._note(after, line, owner)
            return
        if state is None:
            self._parents.add(base.partition(b".")[2])
            self._lines.append(line)
            self._highest = max(self._highest, base)
        elif base not in self._states:
            self._take_out(base)
        self._states[base] = after

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
        counts = Counter(self._states.values())
        for run in self._runs:
            counts[run.state] += run.count
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
        covered = {parent for parent in self._parents if self._is_covered(parent)}
        covered.update(name for name, state in self._states.items() if b"." not in name and state.below)
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
