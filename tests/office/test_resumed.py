"""A publisher goes on from the register that it verified last, and believes it as long as every octet is the same."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kit.fixed import HOUR, LIST
from kit.hostile import later
from kit.ready_made import ready_made
from kit.site import Site
from test_auditing import altered
from test_publishing import everything

from blocklist.base import durable
from blocklist.base.durable import Written
from blocklist.base.errors import RefusedError, TargetError, VerificationError
from blocklist.publisher import tree_writer
from blocklist.publisher.publish import draft
from blocklist.register import replay
from blocklist.register.fold import Register
from blocklist.register.replay import State


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every register is worth being kept."""
    monkeypatch.setattr(replay, "KEEP_AFTER", 0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Names of both scopes with all that can become of them, published an hour ago."""
    return ready_made(tmp_path / "site", datetime.now(UTC) - 5 * HOUR, _one_release)


def _one_release(folder: Path, now: datetime) -> Site:
    made = Site(folder, now)
    made.block("one.example", "two.example", hosts=["www.three.example"])
    made.remove("two.example", reason="annulled")
    made.publish()
    later(made, HOUR)
    return made


def kept(site: Site) -> Path:
    return site.keys.path / "verified" / f"{LIST}.json"


def acts_in(site: Site) -> int:
    with site.office() as office:
        return len(office.register.ids)


def test_only_what_is_new_is_replayed(site: Site, tmp_path: Path) -> None:
    site.block("four.example")
    twin = Site.at(tmp_path / "twin", site.now)
    shutil.copytree(site.folder, twin.folder)
    shutil.rmtree(twin.keys.path / "verified")
    short, whole = site.publish(), twin.publish()
    assert (short.draft.replayed, whole.draft.replayed) == (2, acts_in(site))
    assert short.draft.register.measures() == whole.draft.register.measures()
    for path in short.path.iterdir():
        if path.name != "SHA256SUMS.p7s":  # a signature with a random number in it
            assert path.read_bytes() == (whole.path / path.name).read_bytes(), path.name
    assert not site.publish().changed


def test_it_is_private(site: Site) -> None:
    assert stat.S_IMODE(kept(site).stat().st_mode) == 0o600
    assert stat.S_IMODE(kept(site).parent.stat().st_mode) == 0o700
    assert list(kept(site).parent.iterdir()) == [kept(site)]


def test_a_plan_begins_there_too(site: Site) -> None:
    site.block("four.example")
    before = kept(site).read_bytes()
    assert draft(site.workspace, site.now).replayed == 2
    assert kept(site).read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE acts SET envelope = CAST(replace(envelope, 'Type', 'Tipe') AS BLOB) WHERE seq = 5", "act 5: .* DSSE"),
        ("UPDATE acts SET envelope = (SELECT envelope FROM acts WHERE seq = 4) WHERE seq = 5", "act 5: it does not"),
        ("DELETE FROM acts WHERE seq = 2", "act 2: it does not follow act 1"),
        ("DELETE FROM acts WHERE seq > 3", "lacks act"),
    ],
)
def test_an_act_that_was_verified_and_altered_is_refused(site: Site, statement: str, message: str) -> None:
    tree = everything(site.exports)
    altered(site, statement)
    with pytest.raises(VerificationError, match=message) as caught:
        site.publish()
    assert caught.value.exit_code == 3
    assert everything(site.exports) == tree


def seen(content: bytes) -> Written:
    """The acts that a kept state says that it came from."""
    found = replay.decode(content).seen
    assert found is not None
    return found


def with_seen(content: bytes, other: Written | None) -> bytes:
    members = json.loads(replay.unseal(content))
    return replay.seal(json.dumps({**members, "seen": other}).encode())


DAMAGE = {
    "nothing": lambda content: b"",
    "cut off": lambda content: content[:-20],
    "a bit": lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
    "another version": lambda content: content.replace(b"blocklist cache", b"blocklist cache 9", 1),
    "rubbish": lambda content: b"\xff" * 4096,
    "another shape": lambda content: replay.seal(b"[]"),
    "no register": lambda content: replay.seal(b'{"ids":[]}'),
    "a register without acts": lambda content: replay.encode(State(Register(), seen=seen(content))),
    "no acts": lambda content: with_seen(content, Written("0" * 64, 0)),
    "other acts": lambda content: with_seen(content, Written("0" * 64, seen(content).length)),
    "fewer acts": lambda content: with_seen(content, Written(seen(content).sha256, seen(content).length - 1)),
    "acts of a strange length": lambda content: with_seen(content, Written("x", 10**30)),
    "acts of a negative length": lambda content: with_seen(content, Written("x", -1)),
    "an index in their place": lambda content: with_seen(content, None),
    "a nest": lambda content: replay.seal(b"[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_as_if_it_were_not_there(site: Site, damage: object) -> None:
    kept(site).write_bytes(damage(kept(site).read_bytes()))  # type: ignore[operator]
    site.block("four.example")
    result = site.publish()
    assert result.draft.replayed == acts_in(site)
    site.block("five.example")
    later(site, HOUR)
    assert site.publish().draft.replayed == 2


def test_a_folder_in_its_place_does_no_harm(site: Site) -> None:
    kept(site).unlink()
    kept(site).mkdir()
    site.block("four.example")
    assert site.publish().draft.replayed == acts_in(site)


def test_what_a_killed_one_left_goes_away(site: Site) -> None:
    left = kept(site).with_name(f".tmp-{LIST}.json-0123456789ab")
    left.write_bytes(b"half")
    kept(site).unlink()
    site.block("four.example")
    site.publish()
    assert list(kept(site).parent.iterdir()) == [kept(site)]


def test_none_is_kept_of_a_release_that_was_not_made(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.block("four.example")
    before = kept(site).read_bytes()

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tree_writer, "_write_metadata", full)
        with pytest.raises(TargetError, match="No space left"):
            site.publish()
    assert kept(site).read_bytes() == before
    result = site.publish()
    assert (result.changed, result.draft.replayed) == (True, 2)
    assert [name.text for name in result.draft.plan.added.each()] == ["four.example"]


def test_one_ahead_of_the_release_that_counts_is_not_believed(site: Site) -> None:
    """The next release is compared with that one, which has to be replayed."""
    site.block("four.example")
    with site.office() as office:
        lines = [line + b"\n" for line in office.store.lines(LIST)]
        replay.keep(kept(site), office.register, durable.digest(lines))
    result = site.publish()
    assert (result.changed, result.draft.replayed) == (True, acts_in(site))
    assert [name.text for name in result.draft.plan.added.each()] == ["four.example"]


def test_a_longer_one_is_believed_where_its_release_counts(site: Site) -> None:
    """The same file as above, once its acts are those of the current release."""
    site.block("four.example")
    site.publish()
    with site.office() as office:
        lines = [line + b"\n" for line in office.store.lines(LIST)]
        replay.keep(kept(site), office.register, durable.digest(lines))
    assert draft(site.workspace, site.now).replayed == 0


def test_one_from_after_the_present_is_not_believed(site: Site) -> None:
    site.now -= 2 * HOUR
    with pytest.raises((RefusedError, VerificationError)):
        site.publish()
