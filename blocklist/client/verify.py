"""`verify`: check one downloaded release without a subscription."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from blocklist import files, seal
from blocklist.errors import StaleError, UsageError, VerificationError
from blocklist.fields import Ref, format_instant, parse_instant
from blocklist.messages import _
from blocklist.register import Register
from blocklist.release import ACTS, ANNOUNCED, CHANGES, SEAL, SUMS, Snapshot, announced, changes, exports, make_plan
from blocklist.release import sums as release_sums
from blocklist.replay import CLOCK_TOLERANCE, read_lines, replay

_MAX_SUMS = 1024 * 1024
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)")
_DATES = re.compile(r"^# Made (\S+), valid until (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked. `names` is None when the acts were not replayed."""

    instant: datetime
    valid_until: datetime
    sealed_by: str
    files: tuple[str, ...]
    missing: tuple[str, ...]
    names: int | None


def verify(folder: Path, certificate: Path, register: str | None, now: datetime) -> Verified:
    """Check seal and sums of a release, and with `register` replay its acts and rebuild its exports.

    A revocation list `seal.crl` beside the certificate is used.

    Args:
        folder: The release's folder.
        certificate: The seal authority, `seal.pem`.
        register: The founding id that was given out of band, or None: then only the seal is checked.
        now: The clock.

    Raises:
        UsageError: A file is missing.
        VerificationError: Something is not what was sealed, or not what two officers signed for.
        StaleError: All is genuine, and its validity has ended.
    """
    sums = files.read(folder / SUMS, "the sums", _MAX_SUMS, "give the folder of one release")
    instant, valid_until = _dates(sums)
    signer = seal.verify(
        sums,
        files.read(folder / SEAL, "the seal", _MAX_SUMS),
        files.read(certificate, "the seal authority", _MAX_SUMS),
        instant,
        _revocations(certificate),
    )
    if instant > now + CLOCK_TOLERANCE:
        raise VerificationError(
            _("the release is dated {instant}, in the future", instant=format_instant(instant)),
            _("check this machine's clock"),
        )
    listed = _listed(sums)
    missing = _check_files(folder, listed)
    if register is not None and missing:
        raise UsageError(
            _("{number} is missing", number=folder / missing[0]),
            _("--register replays the whole release: fetch all its files"),
        )
    names = None
    if register is not None:
        shown = _check_acts(folder, listed, register, instant, now)
        if release_sums(shown, listed) != sums:
            raise VerificationError(
                _("{SUMS} is not what the acts say", SUMS=SUMS), _("do not load it; tell the office")
            )
        names = len(shown.measures)
    result = Verified(instant, valid_until, signer.subject.rfc4514_string(), tuple(listed), missing, names)
    if now >= valid_until:
        raise StaleError(
            _(
                "{folder} is genuine, and its validity ended at {valid_until}",
                folder=folder,
                valid_until=format_instant(valid_until),
            ),
            _("fetch the newest release; if there is none, keep what is loaded and tell the office"),
        )
    return result


def _dates(sums: bytes) -> tuple[datetime, datetime]:
    match = _DATES.search(sums.decode(errors="replace"))
    if match is None:
        raise VerificationError(
            _("{SUMS} does not say when it was made", SUMS=SUMS), _("it is not a release of this program")
        )
    return parse_instant(match[1]), parse_instant(match[2])


def _revocations(certificate: Path) -> bytes | None:
    path = certificate.with_name("seal.crl")
    return files.read(path, "the revocation list", _MAX_SUMS) if path.exists() else None


def _listed(sums: bytes) -> dict[str, str]:
    listed = {}
    for line in sums.decode(errors="replace").split("\n")[:-1]:
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or match[2] in listed:
            raise VerificationError(
                _("{SUMS} has a line that is no sum", SUMS=SUMS), _("it is not a release of this program")
            )
        listed[match[2]] = match[1]
    return listed


def _check_files(folder: Path, listed: Mapping[str, str]) -> tuple[str, ...]:
    """Compare every file that is there; returns those that are not."""
    present = {name: digest for name in listed if (digest := files.digest_of(folder / name)) is not None}
    if not present:
        raise UsageError(
            _("{folder} holds none of the files of the release", folder=folder), _("give the folder of one release")
        )
    for name, digest in present.items():
        if digest != listed[name]:
            raise VerificationError(
                _("{number} is not the file that was sealed", number=folder / name), _("do not load it")
            )
    return tuple(name for name in listed if name not in present)


def _check_acts(folder: Path, listed: Mapping[str, str], register: str, instant: datetime, now: datetime) -> Snapshot:
    """Replay the acts and rebuild from them every other file."""
    since, before, state = _since(folder / CHANGES), None, Register()
    with (folder / ACTS).open("rb") as stream:
        for signed, state in replay(read_lines(stream), now):
            if since is not None and signed.ref == since[0]:
                before = Snapshot.take(state, since[1])
    if not state.ids:
        raise VerificationError(_("{number} holds no acts", number=folder / ACTS), _("do not load it"))
    if state.id != register:
        raise VerificationError(
            _("the acts are those of register {id}, not {register}", id=state.id, register=register),
            _("do not load it"),
        )
    if state.at > instant:
        raise VerificationError(_("the release is older than its last act, so something is left out of it"))
    shown = Snapshot.take(state, instant)
    others = [
        (CHANGES, changes(before, shown, make_plan(before, shown, state.measures()))),
        (ANNOUNCED, announced(shown)),
    ]
    for name, chunks in itertools.chain(exports(shown, state.policy.formats), others):
        if files.digest(chunks).sha256 != listed.get(name):
            raise VerificationError(
                _("{name} is not what two officers signed for", name=name), _("do not load it; tell the office")
            )
    return shown


def _since(path: Path) -> tuple[Ref, datetime] | None:
    """The release that `changes.json` says it compares with; its first line says so."""
    with path.open("rb") as stream:
        line = stream.readline(_MAX_SUMS)
    try:
        since = json.loads(line.rstrip(b",\n") + b"}")["since"]
        head = since and Ref(since["head"]["seq"], since["head"]["id"])
        return (head, datetime.fromtimestamp(since["number"], UTC)) if since else None
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError) as fault:
        raise VerificationError(
            _("{path} cannot be read", path=path), _("it is not a release of this program")
        ) from fault
