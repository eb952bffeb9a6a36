"""`lint` on the command line, and `publish`, which runs it on what it writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kit.fixed import HOUR, LIST
from kit.hostile import later
from kit.ready_made import ready_made
from kit.shell import Shell
from kit.site import Site
from kit.zones import FIRST, HEAD, HOSTILE, LAST, body

from blocklist.base.errors import RefusedError
from blocklist.lint.rules import EXAMPLES
from blocklist.release import formats


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    path = tmp_path / "some.zone"
    path.write_bytes(body(b""))
    return path


def test_a_clean_zone(empty: Shell, zone: Path) -> None:
    result = empty("lint", zone)
    assert result.stdout == ""
    assert "0 errors, 0 warnings" in result.stderr


def test_errors_are_told_and_exit_with_one(empty: Shell, zone: Path) -> None:
    zone.write_bytes(body(b"before.example CNAME .\na_b.example A 192.0.2.1\n"))
    result = empty("lint", zone, expect=1)
    assert "some.zone:6" in result.stdout
    for word in ("duplicate", "PowerDNS", "host-name", "BIND", "to do:"):
        assert word in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "2 errors" in result.stderr


def test_warnings_exit_with_zero(empty: Shell, zone: Path) -> None:
    zone.write_bytes(body(b"*.bad.example CNAME .\n"))
    assert "half" in empty("lint", zone).stdout


def test_json(empty: Shell, zone: Path) -> None:
    zone.write_bytes(body(b"".join(b"*.bad%d.example CNAME .\n" % number for number in range(EXAMPLES + 7))))
    made = empty.json("lint", zone)
    assert (made["errors"], made["warnings"]) == (0, EXAMPLES + 7)
    (file,) = made["files"]
    assert file["counts"] == {"half": EXAMPLES + 7}
    assert len(file["findings"]) == EXAMPLES
    first = file["findings"][0]
    assert (first["rule"], first["line"], first["owner"], first["severity"]) == ("half", 6, "*.bad0.example", "warning")
    assert "BIND" in first["servers"]


def test_only_the_first_of_many_are_shown(empty: Shell, zone: Path) -> None:
    zone.write_bytes(body(b"before.example CNAME .\n" * 50))
    shown = empty("lint", zone, expect=1).stdout
    assert "… and 47 more" in shown
    assert len(shown.splitlines()) < 15


def test_what_a_name_says_cannot_write_to_the_terminal(empty: Shell, zone: Path) -> None:
    zone.write_bytes(body(b"\x1b[2Jevil.example CNAME .\n"))
    result = empty("lint", zone, expect=1)
    assert "\x1b" not in result.output
    assert "\\x1b[2Jevil" in result.stdout


def test_the_zone_name_counts(empty: Shell, zone: Path) -> None:
    zone.write_bytes(body(b"bad.example.rpz.example. CNAME *.\n"))
    assert empty.json("lint", zone, "--zone", "rpz.example")["errors"] == 0
    assert empty.json("lint", zone, "--zone", "other.example", expect=1)["errors"] == 1
    for name in ("a..b", "x" * 64, ".".join(["abc"] * 60)):
        empty.refused("lint", zone, "--zone", name, code=2, message="no name of a zone")


def test_an_earlier_zone(empty: Shell, zone: Path, tmp_path: Path) -> None:
    clean, lower = HOSTILE / "clean.zone", HOSTILE / "lower-serial.zone"
    assert empty.json("lint", lower, "--after", clean, expect=1)["files"][0]["counts"]["serial"] == 1
    assert "serial" not in empty.json("lint", clean, "--after", lower)["files"][0]["counts"]
    zone.write_bytes(b"$TTL 300\n")
    empty.refused("lint", clean, "--after", zone, code=2, message="has no serial")


def test_what_cannot_be_read(empty: Shell, tmp_path: Path) -> None:
    empty.refused("lint", tmp_path / "nowhere", code=2, message="cannot be read")
    (tmp_path / "folder").mkdir()
    empty.refused("lint", tmp_path / "folder", code=2, message=r"holds no rpz.zone")


def test_a_release(listed: Shell) -> None:
    made = listed.json("lint", listed.release)
    assert made["errors"] == 0
    assert {"rpz.zone", "hosts.txt", "acts.jsonl", "SHA256SUMS"} <= {Path(file["file"]).name for file in made["files"]}
    hosts_file = listed.release / "hosts.txt"
    lines = hosts_file.read_bytes().splitlines(keepends=True)
    hosts_file.unlink()  # its other name is part of what was published
    hosts_file.write_bytes(b"".join([*lines, lines[-1], b"192.0.2.1 bad2.example\r\n", b"cut off"]))
    counts = {
        Path(file["file"]).name: file["counts"] for file in listed.json("lint", listed.release, expect=1)["files"]
    }
    assert counts["hosts.txt"] == {"line-twice": 1, "crlf": 1, "final-newline": 1}


def test_a_release_after_another(listed: Shell) -> None:
    assert "serial" in json.dumps(listed.json("lint", listed.release, "--after", listed.release, expect=1))


# publish


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return ready_made(tmp_path / "site", datetime.now(UTC), _one_release)


def _one_release(folder: Path, now: datetime) -> Site:
    made = Site(folder, now)
    made.block("one.example", hosts=["a_b.example"])
    made.publish()
    later(made, HOUR)
    made.block("two.example")
    return made


@pytest.mark.parametrize(
    ("format_id", "more", "message"),
    [
        ("rpz", b"one.example CNAME .\n", "rpz.zone has 1 error .*one.example"),
        ("rpz", b"a_c.example A 192.0.2.1\n", "rpz.zone has 1 error .*a_c.example"),
        ("hosts", b"192.0.2.1 x.example\r\n", "hosts.txt has 1 error"),
    ],
)
def test_publish_refuses_what_a_resolver_would_choke_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, format_id: str, more: bytes, message: str
) -> None:
    tree = {path: path.read_bytes() for path in site.exports.rglob("*") if path.is_file()}
    entry = formats.FORMATS[format_id]

    def broken(*args: object) -> Iterator[bytes]:
        yield from entry.renderer(*args)
        yield more

    with monkeypatch.context() as patch:
        patch.setitem(formats.FORMATS, format_id, replace(entry, renderer=broken))
        with pytest.raises(RefusedError, match=message):
            site.publish()
    assert tree == {path: path.read_bytes() for path in site.exports.rglob("*") if path.is_file()}
    assert site.publish().changed


def test_what_is_published_has_no_errors(site: Site) -> None:
    content = (site.publish().path / "rpz.zone").read_bytes()
    assert HEAD.split(b"\n")[2] in content
    assert b"a_b.example CNAME *.\n" in content
    assert FIRST not in content
    assert LAST not in content
    assert (site.exports / LIST).is_dir()
