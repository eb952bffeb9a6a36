"""Where an audit reads from: a register with its dossiers, a folder made by `dossier export`, or a release.

Nothing that is read is trusted, and nothing is changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from blocklist.base import durable
from blocklist.base.errors import UsageError, VerificationError
from blocklist.base.i18n import _
from blocklist.publisher.release_folders import release_folders
from blocklist.publisher.tree import Repository
from blocklist.register import acts
from blocklist.register.acts import SignedAct
from blocklist.register.decoders import Ref
from blocklist.release.manifest import ACTS, SUMS
from blocklist.store.database import Row
from blocklist.store.evidence import Evidence
from blocklist.store.store import Dossier
from blocklist.workspace import Workspace

MEASURE, DOSSIERS, EVIDENCE = "measure.json", "dossiers", "evidence"
"""What a folder made by `dossier export` holds beside `acts.jsonl`."""

MAX_DOSSIER = 64 * 1024 * 1024
"""Octets: ten thousand names, and what a person writes."""

_NUMBERED = re.compile(r"([1-9][0-9]{0,15})\.(?:json|salt)")


class Where(StrEnum):
    """Whether dossiers can be checked: they are here, were never here, or are closed to this account."""

    HERE = "here"
    ABSENT = "absent"
    CLOSED = "closed"


class Source(Protocol):
    """What an audit needs of any of them."""

    dossiers: Where
    evidence: Evidence
    releases: list[Path]
    authority: Path
    repository: Repository | None
    list_id: str | None

    def length(self) -> int:
        """How many acts there are, for showing progress."""

    def rows(self) -> Iterator[Row]:
        """The envelopes in order; the columns are None where there is no table."""

    def dossier(self, signed: SignedAct) -> Dossier | None:
        """The dossier of an act as it is here.

        Raises:
            VerificationError: It is not the one that the act commits to.
        """

    def expected(self, signed: SignedAct) -> bool:
        """Whether the dossier of this act should be here."""

    def strangers(self, register_ids: list[str]) -> list[str]:
        """The dossiers that belong to no act, by a word for people."""

    def cited(self, sha256: str) -> bool:
        """Whether a dossier of another list names this file of evidence."""

    def check(self, register_ids: list[str]) -> Iterator[str]:
        """What else is wrong with the folder."""

    def close(self) -> None:
        """Let go of the files."""


class Registered:
    """The register of a workspace, or a copy of its folder `lists/`; none of it need be writable."""

    def __init__(self, workspace: Workspace) -> None:
        self._store = workspace.open_store(read_only=True)
        try:
            chosen = workspace.chosen(self._store.lists() or self._store.every_list())
            self.dossiers = self._where()
        except BaseException:
            self._store.close()
            raise
        self._list_id = chosen
        self.list_id: str | None = chosen
        self.evidence = Evidence(workspace.lists / EVIDENCE)
        tree = workspace.exports
        # The heads' own copy of the certificate, if it is here: a thief of the tree does not have it.
        kept = workspace.lists / "trust" / "seal.pem"
        self.authority = kept if kept.exists() else tree / "seal.pem"
        there = tree.is_dir() and any(path for path in tree.iterdir() if not path.name.startswith("."))
        self.repository = Repository.of(workspace) if there else None
        self.releases = release_folders(tree / chosen)

    def _where(self) -> Where:
        if not self._store.has_dossiers:
            return Where.ABSENT
        try:
            self._store.dossier_ids()
        except UsageError:
            return Where.CLOSED
        return Where.HERE

    def length(self) -> int:
        """See `Source`."""
        head = self._store.head(self._list_id)
        return head.seq if head else 0

    def rows(self) -> Iterator[Row]:
        """See `Source`."""
        return self._store.rows(self._list_id)

    def dossier(self, signed: SignedAct) -> Dossier | None:
        """See `Source`."""
        return self._store.dossier(signed)

    def expected(self, signed: SignedAct) -> bool:
        """All of them."""
        return signed.act.dossier is not None

    def strangers(self, register_ids: list[str]) -> list[str]:
        """Those of no list, by the id that they claim."""
        return sorted(map(str, self._store.dossier_ids() - self._store.ids() - set(register_ids)))

    def cited(self, sha256: str) -> bool:
        """See `Source`."""
        return bool(self._store.mentioning(sha256))

    def check(self, register_ids: list[str]) -> Iterator[str]:
        """What of the database is not as it was made."""
        return iter(self._store.alterations())

    def close(self) -> None:
        """See `Source`."""
        self._store.close()


class Folder:
    """A folder with `acts.jsonl`: one made by `dossier export`, or a release as providers have it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.list_id: str | None = None
        self.repository: Repository | None = None
        self.evidence = Evidence(path / EVIDENCE)
        self._exported = (path / MEASURE).exists() or (path / DOSSIERS).exists()
        self.dossiers = Where.HERE if self._exported else Where.ABSENT
        self.authority = path.parent.parent / "seal.pem"
        sealed = (path / SUMS).exists() and self.authority.exists()
        self.releases = [path] if sealed else []
        self._measure = _read_measure(path / MEASURE) if self._exported else {}

    def length(self) -> int:
        """See `Source`."""
        with (self._path / ACTS).open("rb") as stream:
            return sum(1 for _line in stream)

    def rows(self) -> Iterator[Row]:
        """See `Source`."""
        with (self._path / ACTS).open("rb") as stream:
            while line := stream.readline(acts.MAX_LINE + 2):
                yield Row(None, None, None, line.removesuffix(b"\n"))

    def dossier(self, signed: SignedAct) -> Dossier | None:
        """See `Source`."""
        path, seq = self._path / DOSSIERS, signed.act.seq
        if not (path / f"{seq}.json").exists() or not (path / f"{seq}.salt").exists():
            return None
        content = durable.read(path / f"{seq}.json", _("the dossier"), MAX_DOSSIER)
        salt = durable.read(path / f"{seq}.salt", _("the salt"), 4096).decode(errors="replace").strip()
        dossier = Dossier(content, salt)
        dossier.require(signed)
        return dossier

    def expected(self, signed: SignedAct) -> bool:
        """Those of the acts about the measure."""
        return signed.act.dossier is not None and (
            signed.act.seq in self._measure.get("acts", ()) or signed.act.seq in self._numbers()
        )

    def _numbers(self) -> set[int]:
        found = (_NUMBERED.fullmatch(path.name) for path in (self._path / DOSSIERS).glob("*"))
        return {int(match[1]) for match in found if match}

    def strangers(self, register_ids: list[str]) -> list[str]:
        """Those whose number no act has."""
        return [str(number) for number in sorted(self._numbers()) if number > len(register_ids)]

    def cited(self, sha256: str) -> bool:
        """There is one list here."""
        return False

    def check(self, register_ids: list[str]) -> Iterator[str]:
        """What the folder says of itself has to be what the acts say."""
        if not self._exported or not register_ids:
            return
        head = self._measure.get("head")
        ref = Ref(head.get("seq", 0), head.get("id", "")) if isinstance(head, dict) else Ref(0, "")
        if self._measure.get("register") != register_ids[0] or ref != Ref(len(register_ids), register_ids[-1]):
            yield _("{name} is of another register, or of another head", name=MEASURE)

    def close(self) -> None:
        """Nothing is open."""


def _read_measure(path: Path) -> dict[str, Any]:
    try:
        members = json.loads(durable.read(path, _("the file"), MAX_DOSSIER))
    except ValueError as fault:
        raise VerificationError(_("{path} cannot be read", path=path), _("export the measure again")) from fault
    numbers = members.get("acts") if isinstance(members, dict) else None
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise VerificationError(_("{path} cannot be read", path=path), _("export the measure again"))
    return dict(members)


def open_source(workspace: Workspace) -> Source:
    """What is at the folder of the workspace.

    Raises:
        UsageError: Nothing that can be audited.
    """
    if not (workspace.lists / "register.db").exists() and (workspace.path / ACTS).exists():
        return Folder(workspace.path)
    return Registered(workspace)
