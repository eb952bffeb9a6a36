"""`dossier export`: everything about one measure in a folder that `audit` verifies without the office."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blocklist.audit.inputs import DOSSIERS, EVIDENCE, MEASURE
from blocklist.base import durable
from blocklist.base.errors import UsageError, VerificationError
from blocklist.base.i18n import Progress, _, quietly, shown
from blocklist.names.domain_name import to_unicode
from blocklist.office.queries import history
from blocklist.office.session import Session
from blocklist.office.vocabulary import sentence
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import encode, format_instant
from blocklist.release.manifest import ACTS
from blocklist.store.evidence import CHUNK, entries_of
from blocklist.store.store import Dossier

README = "README.txt"
_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `acts` are those about the measure; `lost` says what should be there and could not be."""

    name: str
    folder: Path
    acts: tuple[int, ...]
    dossiers: int
    evidence: int
    lost: tuple[str, ...]


def export_measure(opened: Session, text: str, folder: Path, progress: Progress = quietly) -> Exported:
    """Write everything about a measure: the chain, the dossiers of its acts, and their evidence.

    Args:
        opened: The register.
        text: The name, as a person typed it.
        folder: Must not exist, or be empty; only this account can open it.
        progress: Told about long work.

    Raises:
        UsageError: No act is about the name, the folder is not empty, or dossiers are closed to this account.
        TargetError: The folder could not be written; nothing is left of it.
    """
    name, signed = opened.typed(text), history(opened, text)
    if not signed:
        raise UsageError(_("no act is about {name}", name=name), _("see 'blocklist list' for what is"))
    opened.store.dossier_ids()  # an account that cannot read dossiers must not pass over them
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UsageError(_("{path} is there already", path=folder), _("name a folder that does not exist"))
    return _Export(opened, name, signed, progress).write(folder)


class _Export:
    """One export; what is lost adds up while it is written."""

    def __init__(self, opened: Session, name: str, signed: list[SignedAct], progress: Progress) -> None:
        self._opened = opened
        self._name = name
        self._signed = signed
        self._progress = progress
        self._lost: list[str] = []
        self._dossiers = 0
        self._files: dict[str, list[str]] = {}
        self._sizes: dict[str, int] = {}

    def write(self, folder: Path) -> Exported:
        """Write all of it aside, then give it its name."""
        durable.make_folder(folder.parent)
        with durable.folder(folder, 0o700) as staging:
            self._write_into(staging)
        numbers = tuple(entry.act.seq for entry in self._signed)
        return Exported(self._name, folder, numbers, self._dossiers, len(self._files), tuple(self._lost))

    def _write_into(self, folder: Path) -> None:
        opened, register = self._opened, self._opened.register
        durable.write_chunks(folder / ACTS, opened.store.acts(opened.list_id, register.head.seq), _MODE)
        for name in (DOSSIERS, EVIDENCE):
            (folder / name).mkdir(mode=0o700)
        for signed in self._signed:
            self._write_dossier(folder / DOSSIERS, signed)
        with self._progress(_("evidence"), sum(self._sizes.values())) as advance:
            for digest in sorted(self._files):
                self._copy_evidence(folder / EVIDENCE, digest, advance)
        members = {
            "list": register.list_id,
            "environment": register.environment,
            "register": register.id,
            "head": register.head.to_json(),
            "name": self._name,
            "acts": [signed.act.seq for signed in self._signed],
            "exported": format_instant(opened.now),
        }
        durable.write_chunks(folder / MEASURE, [encode(members) + b"\n"], _MODE)
        durable.write_chunks(folder / README, [self._readme().encode()], _MODE)
        for name in (DOSSIERS, EVIDENCE):
            durable.sync_folder(folder / name)

    def _write_dossier(self, folder: Path, signed: SignedAct) -> None:
        seq = signed.act.seq
        if signed.act.dossier is None:
            return
        try:
            dossier = self._opened.store.dossier(signed)
        except VerificationError as fault:
            self._lost.append(fault.message)
            return
        if dossier is None:
            if seq not in self._opened.register.erased:
                self._lost.append(_("the dossier of act {seq} is not here", seq=seq))
            return
        durable.write_chunks(folder / f"{seq}.json", [dossier.content], _MODE)
        durable.write_chunks(folder / f"{seq}.salt", [f"{dossier.salt}\n".encode()], _MODE)
        self._dossiers += 1
        self._note_evidence(seq, dossier)

    def _note_evidence(self, seq: int, dossier: Dossier) -> None:
        for entry in entries_of(dossier.members()):
            fault = self._opened.evidence.fault(entry)
            if fault is not None:
                self._lost.append(_("act {seq}: {message}", seq=seq, message=fault))
                continue
            digest = str(entry["sha256"])
            self._files.setdefault(digest, []).append(str(entry.get("name")))
            self._sizes[digest] = int(entry["size"])

    def _copy_evidence(self, folder: Path, digest: str, advance: Callable[[int], object]) -> None:
        def chunks() -> Iterator[bytes]:
            with self._opened.evidence.path(digest).open("rb") as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk
                    advance(len(chunk))

        durable.write_chunks(folder / digest, chunks(), _MODE)

    def _readme(self) -> str:
        register, unicode = self._opened.register, to_unicode(self._name)
        name = self._name if unicode == self._name else f"{self._name} ({unicode})"
        title = _("Everything about {name}", name=name)
        listed = [f"  {digest}  {', '.join(dict.fromkeys(names))}" for digest, names in sorted(self._files.items())]
        about = []
        for act in (entry.act for entry in self._signed):
            said_by = _("{by}: {what}", by=act.by, what=sentence(act.body))
            about.append(f"  {act.seq}  {shown(act.at)}  {said_by}")
        return "\n".join(
            [
                title,
                "=" * len(title),
                "",
                _(
                    "List {list_id}, environment {environment}, up to act {seq}.",
                    list_id=register.list_id,
                    environment=register.environment,
                    seq=register.head.seq,
                ),
                _("Register: {id}", id=register.id),
                _("Exported: {instant}", instant=shown(self._opened.now)),
                "",
                _("CONFIDENTIAL: this folder holds dossiers and evidence."),
                "",
                _("What is here"),
                "",
                _("  acts.jsonl           every act of the register, as every provider has it (DSSE, one a line)"),
                _("  dossiers/N.json      the dossier of act N, as it was written"),
                _("  dossiers/N.salt      the salt under which act N commits to it (hexadecimal)"),
                _("  evidence/SHA256      the files that the dossiers name"),
                _("  measure.json         which register, which name, which acts"),
                "",
                _("How to verify"),
                "",
                "  blocklist -C . audit",
                "",
                _(
                    "It checks every signature and every rule from the first act on, each dossier against its act,\n"
                    "and each file against its dossier. Compare the register's id above with one that you were given\n"
                    "in another way. By hand: member 'dossier' of an act's payload is HMAC-SHA256 of the octets of\n"
                    "N.json, with the octets of N.salt as the key; a file of evidence has the SHA-256 that is its name."
                ),
                "",
                '  openssl dgst -sha256 -mac HMAC -macopt hexkey:"$(cat dossiers/N.salt)" dossiers/N.json',
                "  sha256sum evidence/*",
                "",
                _("Acts about the measure"),
                "",
                *about,
                "",
                _("Files of evidence"),
                "",
                *(listed or ["  -"]),
                *(["", _("Lost"), "", *(f"  {entry}" for entry in self._lost)] if self._lost else []),
                "",
            ]
        )
