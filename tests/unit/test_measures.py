"""Measures as sets of names: what differs between two instants, what is in force, and what exports show."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from kit.fixed import DAY, START

from blocklist.names.domain_name import below, below_or_same, within
from blocklist.register.lifecycle import Difference, Measure, Measures, difference, parents_of

OPEN = Measure(ground="g", basis="b", added=1, approved=2, since=START, review_by=START + 2 * DAY)
DECIDED = (
    OPEN,
    replace(OPEN),
    replace(OPEN, review_by=START + DAY),
    replace(OPEN, ended=START, ended_by=3, reason="error"),
)
"""Of these, the first two are equal, and the last two are not in force after a day."""

TEXTS = ("a.test", "b.test", "x.a.test", "y.a.test", "x.b.test", "z.y.a.test", "a.example", "test")
names = st.dictionaries(st.sampled_from(TEXTS), st.sampled_from(DECIDED))
subtrees = st.frozensets(st.sampled_from([*TEXTS, "example", "q.x.b.test", "c.test"]))


@given(names, names)
def test_what_differs(before: dict[str, Measure], after: dict[str, Measure]) -> None:
    assert difference(before, after) == Difference(
        sorted(after.keys() - before.keys()),
        sorted(text for text in after.keys() & before.keys() if after[text] != before[text]),
        sorted(before.keys() - after.keys()),
    )
    assert difference(after, dict(after)) == Difference([], [], [])


@given(names, names, subtrees, st.booleans())
def test_what_is_in_force(
    domain: dict[str, Measure], host: dict[str, Measure], protected: frozenset[str], more: bool
) -> None:
    parents = parents_of([*domain, *host, *TEXTS]) if more else None
    measures, at = Measures(domain, host, parents), START + DAY
    found = measures.in_force(at, protected)
    for ours, theirs in ((found.domain, domain), (found.host, host)):
        assert ours == {
            text: measure
            for text, measure in theirs.items()
            if measure in DECIDED[:2] and not any(below_or_same(text, p) or below_or_same(p, text) for p in protected)
        }
        assert all(measure is theirs[text] for text, measure in ours.items())
    assert measures == Measures(domain, host)
    assert found.not_lapsed(at) == found
    assert found.next_lapse() == (OPEN.review_by if len(found) else None)


@given(names, names, st.booleans())
def test_what_exports_show(domain: dict[str, Measure], host: dict[str, Measure], more: bool) -> None:
    parents = parents_of([*domain, *host, *TEXTS]) if more else None
    found = Measures(domain, host, parents).rendered()
    assert found.domain == sorted(text for text in domain if not below(text, domain.keys()))
    assert found.host == sorted(text for text in host if not within(text, domain.keys()))
    assert found.measures == Measures(domain, host)


@given(names, names, names, names)
def test_what_was_let_in(
    domain: dict[str, Measure],
    host: dict[str, Measure],
    other_domain: dict[str, Measure],
    other_host: dict[str, Measure],
) -> None:
    measures, others = Measures(domain, host), Measures(other_domain, other_host)
    found = measures.let_in(others, OPEN.approved)
    assert found.domain == {text: measure for text, measure in domain.items() if text in other_domain}
    assert found.host == {text: measure for text, measure in host.items() if text in other_host}
    assert len(measures.let_in(others, OPEN.approved - 1)) == 0
    same = domain.keys() == other_domain.keys() and host.keys() == other_host.keys()
    assert measures.same_names(others) == same
