"""JSON, for a provider's own tools: the release, the probe, the answer to give, and each name in a line of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

from blocklist.register.measures import Rendered
from blocklist.register.policy import Action, Policy
from blocklist.release.formats import Release
from blocklist.release.formats.rows import COLUMNS, rows


def render(measures: Rendered, policy: Policy, release: Release) -> Iterator[bytes]:
    """The object, its names one by one."""
    about = {
        "release": release.facts(),
        "title": dict(policy.title),
        "probe": policy.probe,
        "action": _action(policy.action) | {"ttl": policy.ttl},
    }
    opening = ",\n".join(
        f'"{key}":{json.dumps(about[key], ensure_ascii=False, separators=(",", ":"))}' for key in about
    )
    yield f'{{{opening},\n"names":['.encode()
    first = True
    for lines in rows(measures, _around):
        yield ("\n" if first else ",\n").encode() + ",\n".join(lines).encode()
        first = False
    yield b"\n]}\n"


def _around(scope: str, since: str, review_by: str) -> tuple[str, str, str]:
    """A canonical name needs no escape, and neither do the characters that `rows.unicode` lets through."""
    name, unicode, *others = (f'"{column}":"' for column in COLUMNS)
    after = "".join(f'",{key}{value}' for key, value in zip(others, (scope, since, review_by), strict=True))
    return f"{{{name}", f'",{unicode}', f'{after}"}}'


def _action(action: Action) -> dict[str, object]:
    members: dict[str, object] = {"kind": action.kind}
    if action.kind == "cname":
        return members | {"target": action.target}
    return members | ({"a": list(action.a), "aaaa": list(action.aaaa)} if action.kind == "address" else {})
