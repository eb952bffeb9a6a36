"""A listing is a dictionary, however its names are kept: compared with one, after any changes and cuts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocklist import listing
from blocklist.listing import Difference, Listing, settle

TEXTS = [f"{letter}{number}.example" for letter in "abc" for number in range(6)]
names = st.dictionaries(st.sampled_from(TEXTS), st.integers(1000, 1005))
"""Small numbers are one object each, which a measure is not: names share some of these, and equal others."""


patched = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""`few` stays the same for all examples of a test."""


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "BLOCK", 3)
        yield


@pytest.fixture(params=[0, 2, 1000], ids=["never a dictionary", "sometimes", "soon a dictionary"])
def few(request: pytest.FixtureRequest) -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "_FEW", request.param)
        yield request.param


def settled(*found: Mapping[str, int]) -> list[Listing[int]]:
    """Listings of these names, as they are read from a kept state."""
    return [Listing(None, blocks) for blocks in settle([Listing(entry) for entry in found])[1]]


def assert_is(made: Listing[int], expected: Mapping[str, int]) -> None:
    """Whatever may be asked, the answer is that of a dictionary; first what makes none."""
    assert len(made) == len(expected)
    ordered = made.in_order()
    for _ in range(2):
        assert list(ordered) == sorted(expected)
        assert list(ordered.values()) == [expected[text] for text in sorted(expected)]
    assert sorted(set(made.distinct())) == sorted(set(expected.values()))
    for text in (*TEXTS, "", "a", "zz"):
        assert made.get(text) == expected.get(text)
        assert (text in made) == (text in expected)
    asked = frozenset(TEXTS[::2])
    for questions in (0, 1, 10**9):
        assert made.keys_for(questions) & asked == expected.keys() & asked
    assert made.among(asked) == expected.keys() & asked
    assert made == expected
    assert dict(zip(made, made.values(), strict=True)) == expected
    assert dict(made.items()) == expected
    assert made.keys() == expected.keys()
    assert sorted(ordered) == sorted(expected)


@patched
@given(names, st.lists(names, max_size=3), st.sets(st.integers(1000, 1005)), st.frozensets(st.sampled_from(TEXTS)))
def test_a_listing_is_a_dictionary(
    few: int, first: dict[str, int], later: list[dict[str, int]], out: set[int], without: frozenset[str]
) -> None:
    for made in (Listing(first), *settled(first)):
        expected, before, known = dict(first), made.copy(), dict(first)
        for changed in later:
            made.update(changed)
            expected |= changed
            assert_is(made, expected)
        some = made.kept(lambda value: value not in out, without)
        left = {text: value for text, value in expected.items() if value not in out and text not in without}
        assert_is(some, left)
        assert_is(some.kept(lambda value: value != 1000), {text: n for text, n in left.items() if n != 1000})
        assert_is(made, expected)
        assert_is(before, known)
        copied = some.copy()
        copied.update(first)
        assert_is(copied, left | first)
        assert_is(some, left)


@patched
@given(names, names, names, st.sets(st.integers(1000, 1005)), st.sets(st.integers(1000, 1005)))
def test_what_differs(
    few: int, first: dict[str, int], earlier: dict[str, int], later: dict[str, int], out: set[int], gone: set[int]
) -> None:
    for made in (Listing(first), *settled(first)):
        made.update(earlier)
        before = made.kept(lambda value: value not in out)
        made.update(later)
        after = made.kept(lambda value: value not in gone)
        old = {text: value for text, value in (first | earlier).items() if value not in out}
        new = {text: value for text, value in (first | earlier | later).items() if value not in gone}
        assert after.since(before) == Difference(
            sorted(new.keys() - old.keys()),
            sorted(text for text in new.keys() & old.keys() if new[text] != old[text]),
            sorted(old.keys() - new.keys()),
        )
        assert after.since(Listing()) == Difference(sorted(new), [], [])
        assert after.since(after) == Difference([], [], [])
        assert Listing(new).since(before) == after.since(before)


@given(names, names)
def test_listings_that_are_settled_together_share_their_values(domain: dict[str, int], host: dict[str, int]) -> None:
    value = 10**9
    for made, expected in zip(settled(domain | {"x.example": value}, host), (domain, host), strict=True):
        assert_is(made, expected | ({"x.example": value} if expected is domain else {}))
    table, (first, second) = settle([Listing({"a.example": value}), Listing({"b.example": value})])
    assert table == [value]
    assert first.table is second.table is table
    assert [first.counts, second.counts] == [[1], [1]]


@given(names, st.frozensets(st.sampled_from(TEXTS)), st.frozensets(st.sampled_from(["example", "b1.example"])))
def test_names_are_left_out_of_what_is_in_order(
    first: dict[str, int], texts: frozenset[str], parents: frozenset[str]
) -> None:
    for made in (Listing(first), *settled(first)):
        left = [text for text in sorted(first) if text not in texts and text.partition(".")[2] not in parents]
        ordered = made.in_order().but(texts, parents)
        assert list(ordered) == left
        assert list(ordered.values()) == [first[text] for text in left]


def test_a_few_names_make_no_dictionary() -> None:
    """What costs much is not done: the names of the blocks stay where they are."""
    (made,) = settled({f"n{number:05d}.example": number % 7 for number in range(3000)})
    made.update({"n00100.example": 1000, "new.example": 1001})
    before = made.copy()
    made.update({"other.example": 1002})
    some = made.kept(lambda value: value != 3, frozenset({"n00200.example"}))
    assert len(some) == 3002 - 429 - 1
    assert some.since(before.kept(lambda value: value != 3)).new == ["other.example"]
    assert "n00100.example" in some
    assert some.among(frozenset({"n00001.example", "n00003.example"})) == {"n00001.example"}
    assert len(list(some.in_order())) == len(some)
    assert made._all is some._all is before._all is None
    made.update(dict.fromkeys(map(str, range(100)), 1))
    assert made._settled.blocks == []
    assert len(made) == 3102
