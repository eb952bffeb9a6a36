"""Names of one scope with what was decided on each, as a mapping that costs little where little changes.

To make a dictionary of a million names takes as long as to render them, and ten times the memory of their characters.
So the names of a kept state stay in sorted blocks, and only what acts decided since is in a dictionary; of two listings
that share those blocks, only the rest is compared.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, compress, count, islice, pairwise
from operator import is_, is_not
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

BLOCK = 256
"""Names to a block: few enough that one is split in no time, and stays in the cache of a processor."""

_FEW = 256
"""Up to this part of all names is looked for one by one; to find more of them, a dictionary is made."""


@dataclass(frozen=True)
class Settled(Generic[T]):
    """Sorted names, each with the place of its value in a table. Nothing in it ever changes.

    Attributes:
        blocks: `BLOCK` names each, and maybe fewer in the last, with blanks between them.
        places: For each name, in the same order.
        table: The values.
        counts: How many names each value has.
    """

    blocks: list[bytes] = field(default_factory=list)
    places: array[int] = field(default_factory=lambda: array("I"))
    table: list[T] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @cached_property
    def firsts(self) -> list[str]:
        """The first name of each block."""
        return [block.partition(b" ")[0].decode() for block in self.blocks]

    def block(self, number: int) -> list[str]:
        """The names of the block of that number."""
        return self.blocks[number].decode().split()

    def names(self) -> Iterator[str]:
        """All names."""
        return chain.from_iterable(map(self.block, range(len(self.blocks))))

    def block_of(self, text: str) -> int:
        """The number of the block in which a name stands, if it does."""
        return max(0, bisect_right(self.firsts, text) - 1)

    def place(self, text: str) -> int | None:
        """The place of a name's value."""
        number = self.block_of(text)
        if not self.blocks or text.encode() not in self.blocks[number]:  # mostly not even a part of another name is
            return None
        names = self.block(number)
        at = bisect_left(names, text)
        return self.places[number * BLOCK + at] if at < len(names) and names[at] == text else None


class Difference(NamedTuple):
    """Names, sorted: those that are new, those that have another value, those that are gone."""

    new: list[str]
    others: list[str]
    gone: list[str]


class Listing(Mapping[str, T]):
    """Names with their values, in no particular order. Names that were decided together share one value.

    Args:
        names: Any names.
        settled: Others, which are in blocks already.
    """

    def __init__(self, names: Mapping[str, T] | None = None, settled: Settled[T] | None = None) -> None:
        self._settled: Settled[T] = settled or Settled()
        # Places in its table whose names are not here, and single names that are not, or that `_later` has; by place.
        self._out: AbstractSet[int] = frozenset()
        self._without: dict[str, int] = {}
        self._later: dict[str, T] = {}
        self._shared = False  # whether another listing has the same dictionary
        self._all: dict[str, T] | None = None
        if names:
            self.update(names)

    def __repr__(self) -> str:
        return f"Listing({self.as_dict()!r})"

    def __getitem__(self, text: str) -> T:
        if self._all is not None:
            return self._all[text]
        if text in self._later:
            return self._later[text]
        place = self._settled.place(text)
        if place is None or place in self._out or text in self._without:
            raise KeyError(text)
        return self._settled.table[place]

    def __len__(self) -> int:
        settled = self._settled
        single = sum(place not in self._out for place in self._without.values())
        return len(settled.places) - sum(map(settled.counts.__getitem__, self._out)) - single + len(self._later)

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def keys(self) -> KeysView[str]:
        """The names: to go through them, or to look for a few."""
        return super().keys() if self._settled.blocks and self._all is None else self.as_dict().keys()

    def items(self) -> ItemsView[str, T]:
        """Each name with its value."""
        return self.as_dict().items()

    def values(self) -> ValuesView[T]:
        """The values in the order of the names."""
        return self.as_dict().values()

    def as_dict(self) -> dict[str, T]:
        """All of it, to be read only; made when it is asked for the first time."""
        if not self._settled.blocks:
            return self._later
        if self._all is None:
            self._all = {}
            for names, values in self._parts():
                self._all.update(zip(names, values, strict=True))
        return self._all

    def keys_for(self, questions: int) -> AbstractSet[str]:
        """The names, as a set that answers so many questions fast."""
        return self.keys() if questions * _FEW < len(self._settled.places) else self.as_dict().keys()

    def among(self, texts: AbstractSet[str]) -> AbstractSet[str]:
        """Those of some names that are here."""
        return self.keys_for(len(texts)) & texts

    def in_order(self) -> Ordered[T]:
        """The names, sorted, with their values."""
        return Ordered(self, None if self._settled.blocks else sorted(self._later))

    def _parts(self) -> Iterator[tuple[list[str], Iterable[T]]]:
        """The names, sorted, with their values, block by block."""
        settled, later = self._settled, dict[int, list[str]]()
        for text in self._later:
            later.setdefault(settled.block_of(text), []).append(text)
        touched = later.keys() | set(map(settled.block_of, self._without))
        for number in range(len(settled.blocks)):
            names = settled.block(number)
            places = settled.places[number * BLOCK : (number + 1) * BLOCK]
            if number in touched or (self._out and not self._out.isdisjoint(places)):
                old = zip(names, places, strict=True)
                found = {
                    text: settled.table[place]
                    for text, place in old
                    if place not in self._out and text not in self._without
                }
                found.update((text, self._later[text]) for text in later.get(number, ()))
                names = sorted(found)
                yield names, map(found.__getitem__, names)
            else:
                yield names, map(settled.table.__getitem__, places)

    # Changes

    def update(self, changed: Mapping[str, T]) -> None:
        """Set the values of some names."""
        if self._shared:
            self._later, self._shared = self._later.copy(), False
        self._all = None
        self._later.update(changed)
        settled = self._settled
        if not settled.blocks:
            return
        if len(self._later) * _FEW > len(settled.places):
            self._later, self._settled, self._out, self._without = self.as_dict(), Settled(), frozenset(), {}
        else:
            self._leave_out(changed)

    def copy(self) -> Listing[T]:
        """The same, to be changed for itself."""
        made: Listing[T] = Listing(None, self._settled)
        made._out, made._without, made._later = self._out, self._without.copy(), self._later
        made._shared = self._shared = True
        return made

    def kept(self, wanted: Callable[[T], bool], without: AbstractSet[str] = frozenset()) -> Listing[T]:
        """Those whose value is `wanted`, which is asked once for each of the few values, but for some names."""
        made = self.copy()
        made._out |= {at for at, value in enumerate(self._settled.table) if not wanted(value)}
        made._leave_out(without)
        unwanted = {id(value) for value in _distinct(self._later.values()) if not wanted(value)}
        if unwanted or without:
            left = (item for item in self._later.items() if id(item[1]) not in unwanted and item[0] not in without)
            made._later, made._shared = dict(left), False
        return made

    def _leave_out(self, texts: Iterable[str]) -> None:
        self._without.update((text, place) for text in texts if (place := self._settled.place(text)) is not None)

    # Comparisons

    def since(self, before: Listing[T]) -> Difference:
        """What differs from an older listing."""
        settled = self._settled
        if settled is not before._settled or not settled.blocks:
            return _compared(before.as_dict(), self.as_dict())
        near = {*self._later, *self._without, *before._later, *before._without}
        if turned := self._out ^ before._out:
            near.update(compress(settled.names(), map(turned.__contains__, settled.places)))
        found = Difference([], [], [])
        for text in sorted(near):
            old, new = before.get(text), self.get(text)
            if old != new:
                (found.new if old is None else found.gone if new is None else found.others).append(text)
        return found

    def distinct(self) -> list[T]:
        """Each of the values that names have, once or more."""
        gone = Counter(self._without.values())
        entries = enumerate(zip(self._settled.table, self._settled.counts, strict=True))
        settled = [value for at, (value, names) in entries if at not in self._out and names > gone[at]]
        return settled + _distinct(self._later.values())


class Ordered(Generic[T]):
    """The names of a listing, sorted, with their values; to be gone through as often as wanted, until it changes.

    Args:
        listing: It.
        texts: Those of its names that are meant, sorted; None for all of them, which then need not be in memory.
    """

    def __init__(self, listing: Listing[T], texts: list[str] | None) -> None:
        self._listing = listing
        self._texts = texts

    def __iter__(self) -> Iterator[str]:
        if self._texts is not None:
            return iter(self._texts)
        return chain.from_iterable(names for names, _ in self._listing._parts())

    def values(self) -> Iterator[T]:
        """The values in the order of the names."""
        if self._texts is not None:
            return map(self._listing.as_dict().__getitem__, self._texts)
        return chain.from_iterable(values for _, values in self._listing._parts())

    def but(self, texts: Collection[str], parents: Collection[str]) -> Ordered[T]:
        """Without some names, and without those right below some others."""
        if not texts and not parents:
            return self
        left = [text for text in self if text not in texts and text.partition(".")[2] not in parents]
        return Ordered(self._listing, left)


def settle(listings: Iterable[Listing[T]]) -> tuple[list[T], list[Settled[T]]]:
    """One table for several listings, and their names as blocks."""
    table: list[T] = []
    numbers: dict[int, int] = {}
    made = []
    for listing in listings:
        texts, values = iter(listing.in_order()), list(listing.in_order().values())
        blocks = [" ".join(block).encode() for block in iter(lambda: list(islice(texts, BLOCK)), [])]  # noqa: B023
        places, counts = array("I"), Counter[int]()
        for start, end in pairwise((*compress(count(), _begins(values)), len(values))):
            number = numbers.setdefault(id(values[start]), len(table))
            if number == len(table):
                table.append(values[start])
            places += array("I", (number,)) * (end - start)
            counts[number] += end - start
        made.append((blocks, places, counts))
    return table, [
        Settled(blocks, places, table, list(map(counts.__getitem__, range(len(table)))))
        for blocks, places, counts in made
    ]


def _begins(values: Iterable[object]) -> Iterator[bool]:
    """Where another value begins; names that were decided together stand together, so that is at few places."""
    return map(is_not, values, chain((None,), values))


def _distinct(values: ValuesView[T]) -> list[T]:
    return list({id(value): value for value in compress(values, _begins(values))}.values())


def _compared(before: Mapping[str, T], after: Mapping[str, T]) -> Difference:
    if not before:
        return Difference(sorted(after), [], [])
    # A value that no act touched is the same object in both listings of one replay, and so is a name; mostly all
    # names stand in the same order: then a million of them need not be looked up.
    others: Iterable[str]
    if len(before) <= len(after) and all(map(is_, before, after)):
        new = list(islice(after, len(before), None))
        others = compress(before, map(is_not, before.values(), after.values()))
    else:
        new = [text for text in after if text not in before]
        others = compress(after, map(is_not, map(before.get, after), after.values()))
    changed = [text for text in others if (known := before.get(text)) is not None and known != after[text]]
    # What was there before is still there, unless the numbers say otherwise: then it is looked for.
    gone = [text for text in before if text not in after] if len(after) - len(new) < len(before) else []
    return Difference(sorted(new), sorted(changed), sorted(gone))
