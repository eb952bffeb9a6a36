"""`verify`: check one downloaded release without a subscription."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from blocklist.base import durable
from blocklist.base.errors import StaleError, UsageError, VerificationError
from blocklist.base.i18n import _, shown
from blocklist.register.acts import read_lines
from blocklist.register.decoders import CLOCK_TOLERANCE
from blocklist.register.fold import Register
from blocklist.register.replay import from_beginning
from blocklist.release import formats
from blocklist.release.contents import Snapshot, differing
from blocklist.release.contents import sums as release_sums
from blocklist.release.manifest import (
    ACTS,
    CHANGES,
    MAX_SUMS,
    SEAL,
    SUMS,
    read_header,
    read_revocations,
    read_since,
    read_sums,
)
from blocklist.seal import cms


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked. `names` is None when the acts were not replayed.

    `unknown` are formats of the list that this program cannot render: of their files only the seal was checked.
    """

    instant: datetime
    valid_until: datetime
    sealed_by: str
    files: tuple[str, ...]
    missing: tuple[str, ...]
    names: int | None
    unknown: tuple[str, ...] = ()


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
    sums = durable.read(folder / SUMS, _("the sums"), MAX_SUMS, _("give the folder of one release"))
    header = read_header(sums)
    instant, valid_until = header.instant, header.valid_until
    signer = cms.verify(
        sums,
        durable.read(folder / SEAL, _("the seal"), MAX_SUMS),
        durable.read(certificate, _("the seal authority"), MAX_SUMS),
        instant,
        read_revocations(certificate),
    )
    if instant > now + CLOCK_TOLERANCE:
        raise VerificationError(
            _("the release is dated {instant}, in the future", instant=shown(instant)),
            _("check this machine's clock"),
        )
    listed = read_sums(sums)
    missing = _check_files(folder, listed)
    if register is not None and missing:
        raise UsageError(
            _("{path} is missing", path=folder / missing[0]),
            _("--register replays the whole release: fetch all its files"),
        )
    names: int | None = None
    unknown: tuple[str, ...] = ()
    if register is not None:
        snapshot = _check_acts(folder, listed, register, instant, now)
        if release_sums(snapshot, listed) != sums:
            raise VerificationError(
                _("{name} is not what the acts say", name=SUMS), _("do not load it; tell the office")
            )
        names, unknown = len(snapshot.measures), formats.unknown(snapshot.policy.formats)
    result = Verified(instant, valid_until, signer.subject.rfc4514_string(), tuple(listed), missing, names, unknown)
    if now >= valid_until:
        raise StaleError(
            _(
                "{path} is genuine, and its validity ended at {instant}",
                path=folder,
                instant=shown(valid_until),
            ),
            _("fetch the newest release; if there is none, keep what is loaded and tell the office"),
        )
    return result


def _check_files(folder: Path, listed: Mapping[str, str]) -> tuple[str, ...]:
    """Compare every file that is there; returns those that are not."""
    present = {name: digest for name in listed if (digest := durable.digest_of(folder / name)) is not None}
    if not present:
        raise UsageError(
            _("{path} holds none of the files of the release", path=folder), _("give the folder of one release")
        )
    for name, digest in present.items():
        if digest != listed[name]:
            raise VerificationError(
                _("{path} is not the file that was sealed", path=folder / name), _("do not load it")
            )
    return tuple(name for name in listed if name not in present)


def _check_acts(folder: Path, listed: Mapping[str, str], register: str, instant: datetime, now: datetime) -> Snapshot:
    """Replay the acts and rebuild from them every other file."""
    since, before, state = read_since(folder / CHANGES), None, Register()
    with (folder / ACTS).open("rb") as stream:
        for signed, state in from_beginning(read_lines(stream), now):
            if since is not None and signed.ref == since[0]:
                before = Snapshot.take(state, since[1])
    if not state.ids:
        raise VerificationError(_("{path} holds no acts", path=folder / ACTS), _("do not load it"))
    if state.id != register:
        raise VerificationError(
            _("the acts are those of register {found}, not {register}", found=state.id, register=register),
            _("do not load it"),
        )
    if state.at > instant:
        raise VerificationError(_("the release is older than its last act, so something is left out of it"))
    snapshot = Snapshot.take(state, instant)
    for name in differing(before, snapshot, state.measures(), listed):
        raise VerificationError(
            _("{name} is not what two officers signed for", name=name), _("do not load it; tell the office")
        )
    return snapshot
