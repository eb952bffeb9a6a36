"""A hostile publisher: it took the tree and every key of the publisher's machine, and signs whatever it likes.

In the manner of python-tuf's repository simulator. Nothing here goes through `blocklist.publisher`: a thief does not
use our program, and what it signs is genuine in every respect but the one that a test is about. Officers' and heads'
keys are not the thief's; a test that needs one of them takes it from the site, and says so.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from kit.fixed import DAY, HOUR, LIST, NONCE, SALT, names
from kit.provider import Provider
from kit.site import Site
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from blocklist.base.errors import BlocklistError
from blocklist.keys.encoding import SigningKey, signer
from blocklist.names.domain_name import Name, Scope
from blocklist.office import appoint, remove
from blocklist.register import acts
from blocklist.register.acts import Act, Body
from blocklist.register.decoders import Branch, Ref, encode
from blocklist.register.fold import Register
from blocklist.register.lifecycle import Measure, Measures
from blocklist.register.replay import from_beginning
from blocklist.release import contents
from blocklist.release.contents import make_plan
from blocklist.release.manifest import ACTS, ANNOUNCED, CHANGES, SEAL, SUMS
from blocklist.seal import cms

ONLINE = (LIST, "snapshot", "timestamp", "seal")
"""The roles whose keys are on the publisher's machine."""

_LATER = datetime(2199, 1, 1, tzinfo=UTC)
_KEEP: Any = object()
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

Edit = Callable[[bytes], bytes]


def key_of(site: Site, name: str) -> SigningKey:
    """The key of an officer, or the newest of a role."""
    if not site.keys.has(name):
        name = sorted(site.keys.path.glob(f"{name}-{'[0-9a-f]' * 16}.pem"))[-1].stem
    return site.keys.private(name)


def envelope(payload: bytes, key: SigningKey, **changes: Any) -> bytes:
    """A line of an `acts.jsonl` around any payload, canonical or not, with a genuine signature."""
    made = signer(key).sign(acts.authenticated_bytes(payload))
    members = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": acts.PAYLOAD_TYPE,
        "signatures": [{"keyid": made.keyid, "sig": base64.b64encode(bytes.fromhex(made.signature)).decode()}],
    }
    return json.dumps(members | changes, separators=(",", ":")).encode()


def payload_of(line: bytes) -> bytes:
    return base64.b64decode(json.loads(line)["payload"])


def ref_of(lines: Sequence[bytes]) -> Ref:
    """The head of a register of these lines."""
    return Ref(len(lines), hashlib.sha256(payload_of(lines[-1])).hexdigest())


def branch_of(lines: Sequence[bytes], number: int = 2) -> dict[str, object]:
    """The branch of which these acts are, as the heads state it."""
    return Branch(number, ref_of(lines)).to_json()


def next_line(lines: Sequence[bytes], by: str, key: SigningKey, body: Body, at: datetime, **header: Any) -> bytes:
    """An act that follows these lines, signed with any key; rules are not looked at."""
    register = hashlib.sha256(payload_of(lines[0])).hexdigest()
    act = Act(seq=len(lines) + 1, at=at, by=by, body=body, nonce=NONCE, register=register, prev=ref_of(lines).id)
    return acts.sign(replace(act, **header), signer(key)).line()


def other_signature(line: bytes) -> bytes:
    """The same act with the second signature that ECDSA P-256 allows: anybody can compute it, without a key."""
    members = json.loads(line)
    entry = members["signatures"][0]
    r, s = decode_dss_signature(base64.b64decode(entry["sig"]))
    entry["sig"] = base64.b64encode(encode_dss_signature(r, P256_ORDER - s)).decode()
    return json.dumps(members, separators=(",", ":")).encode()


def fold_anyway(lines: Iterable[bytes]) -> Register:
    """The register as far as these lines are valid."""
    register = Register()
    try:
        for _, register in from_beginning(lines, _LATER):  # noqa: B007
            pass
    except BlocklistError:
        pass
    return register


class Thief:
    """A stolen publisher: a copy of the site's tree (or of an older `source`) under `exports`, and the online keys."""

    def __init__(self, site: Site, exports: Path, source: Path | None = None) -> None:
        shutil.copytree(source or site.exports, exports)
        self.exports = exports
        self.keys = {role: key_of(site, role) for role in ONLINE}
        self.seal_certificate = (site.workspace.lists / "trust/seal.crt").read_bytes()

    @property
    def url(self) -> str:
        return self.exports.as_uri()

    # What the tree says now

    def lines(self) -> list[bytes]:
        """The acts of the current release."""
        target = self.read(LIST).signed.targets[f"{LIST}/{ACTS}"]
        return self.target_path(target).read_bytes().splitlines()

    def target_path(self, target: TargetFile) -> Path:
        return self.exports / "targets" / target.get_prefixed_paths()[0]

    @property
    def number(self) -> int:
        """The current release's number."""
        return int(self.read(LIST).signed.version)

    @property
    def folder(self) -> Path:
        """The current release's plain folder."""
        return self.exports / LIST / (self.exports / LIST / "latest").read_text().strip()

    def path(self, role: str) -> Path:
        """The file of a role's metadata that are current."""
        folder = self.exports / "metadata"
        if role == "timestamp":
            return folder / "timestamp.json"
        version = Metadata.from_file(str(folder / "timestamp.json")).signed.snapshot_meta.version
        if role == "snapshot":
            return folder / f"{version}.snapshot.json"
        snapshot = Metadata.from_file(str(folder / f"{version}.snapshot.json")).signed
        return folder / f"{snapshot.meta[f'{role}.json'].version}.{role}.json"

    def read(self, role: str) -> Metadata[Any]:
        return Metadata.from_file(str(self.path(role)))

    # Signing

    def sign(self, signed: Any, *signers: str, name: str | None = None) -> Path:
        """Write metadata with the signatures of these roles' keys (default: its own)."""
        role = LIST if signed.type == "targets" else signed.type
        metadata: Metadata[Any] = Metadata(signed)
        for other in signers or (role,):
            metadata.sign(signer(self.keys[other]), append=True)
        name = name or ("timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json")
        path = self.exports / "metadata" / name
        path.write_bytes(metadata.to_bytes())
        return path

    def commit(self, role: Targets, expires: datetime | None = None, meta: Mapping[str, int] | None = None) -> None:
        """Sign role, snapshot and timestamp, all with the role's version."""
        number, expires = role.version, expires or role.expires
        old = self.read("snapshot").signed.meta
        versions = {name: file.version for name, file in old.items()} | {f"{LIST}.json": number} | dict(meta or {})
        files = {name: MetaFile(version) for name, version in versions.items()}
        self.sign(role)
        self.sign(Snapshot(version=number, expires=expires, meta=files))
        self.sign(Timestamp(version=number, expires=expires, snapshot_meta=MetaFile(number)))

    def refer(self, meta: Mapping[str, int]) -> None:
        """Sign the next snapshot and timestamp, with other versions of some roles."""
        snapshot, timestamp = self.read("snapshot").signed, self.read("timestamp").signed
        snapshot.meta |= {name: MetaFile(version) for name, version in meta.items()}
        snapshot.version += 1
        timestamp.version += 1
        timestamp.snapshot_meta = MetaFile(snapshot.version)
        self.sign(snapshot)
        self.sign(timestamp)

    def resign(self, role: str, change: Callable[[Any], None], *signers: str, name: str | None = None) -> Path:
        """Change the current metadata of a role and sign them again."""
        signed = self.read(role).signed
        change(signed)
        return self.sign(signed, *signers, name=name)

    def delegate(self, name: str, files: Mapping[str, TargetFile]) -> None:
        """Let another role of any name sign some files of the list, with the list's own key."""
        key = signer(self.keys[LIST]).public_key
        role = self.read(LIST).signed
        for file in files:
            del role.targets[file]
        below = DelegatedRole("below", [key.keyid], 1, False, [f"{LIST}/*"])
        below.name = name
        role.delegations = Delegations({key.keyid: key}, {name: below})
        self.sign(role)
        self.sign(Targets(version=1, expires=role.expires, targets=dict(files)), name=f"1.{quote(name, '')}.json")
        self.refer({f"{name}.json": 1})

    def signed_anyhow(self, role: str, signed: Mapping[str, Any]) -> bytes:
        """A role's signature around any JSON, whether metadata look so or not."""
        made = signer(self.keys[role]).sign(encode_canonical(signed).encode())
        return json.dumps({"signatures": [{"keyid": made.keyid, "sig": made.signature}], "signed": signed}).encode()

    # Whole releases

    def offer(
        self,
        lines: Sequence[bytes] | None = None,
        at: datetime | None = None,
        *,
        add: Iterable[Name] = (),
        keep: Mapping[Name, Measure] | None = None,
        drop: Iterable[str] = (),
        edits: Mapping[str, Edit] | None = None,
        head: Ref | None = None,
        since: Any = _KEEP,
        acts_custom: Any = _KEEP,
        changes_custom: Any = _KEEP,
        number: int | None = None,
        expires: datetime | None = None,
        state: Register | None = None,
    ) -> None:
        """Publish a release of any content, every signature of the publisher genuine.

        Args:
            lines: The envelopes to ship; default: those that are published.
            at: The release's instant; default: a minute after the one that is published.
            add: Names to render beside those that the acts say.
            keep: Measures to render beside them.
            drop: Names to leave out.
            edits: Changes to single files, before they are summed, sealed and signed.
            head: The head to name; default: the last line.
            since: `custom.since` of `changes.json`.
            acts_custom: All of `custom` of `acts.jsonl`.
            changes_custom: All of `custom` of `changes.json`.
            number: The version to sign; default: the instant.
            expires: When the metadata expire; default: when the release does.
            state: The register to render; default: that of the lines, as far as they are valid.
        """
        old = self.read(LIST).signed
        lines = self.lines() if lines is None else list(lines)
        at = datetime.fromtimestamp(self.number + 60, UTC) if at is None else at
        register = state or fold_anyway(lines)
        shown = replace(contents.Snapshot.take(register, at), head=head or ref_of(lines))
        more = keep or {}
        measure = Measure(
            ground="apology", basis="no-identification", added=4, approved=5, since=at, review_by=at + HOUR
        )
        measures = dict.fromkeys(add, measure) | dict(more)
        shown = replace(shown, measures=_with(shown.measures, measures, frozenset(drop)))
        before, origin = self._before(old, lines)
        plan = make_plan(before, shown, register.measures())
        files = {name: b"".join(chunks) for name, chunks in contents.exports(shown, shown.policy.formats)}
        files[ACTS] = b"".join(line + b"\n" for line in lines)
        files[CHANGES] = b"".join(contents.changes(before, shown, plan))
        files[ANNOUNCED] = b"".join(contents.announced(shown))
        edits = dict(edits or {})
        edit_sums = edits.pop(SUMS, lambda sums: sums)
        for name, edit in edits.items():
            files[name] = edit(files[name])
        digests = {name: hashlib.sha256(text).hexdigest() for name, text in files.items()}
        files[SUMS] = edit_sums(contents.sums(shown, digests))
        files[SEAL] = cms.seal(files[SUMS], self._seal_key(), self.seal_certificate, at)
        targets = self._write(shown.release().folder, files)
        _annotate(targets[f"{LIST}/{ACTS}"], {"head": shown.head.to_json()} if acts_custom is _KEEP else acts_custom)
        origin = origin if since is _KEEP else since
        _annotate(targets[f"{LIST}/{CHANGES}"], {"since": origin} if changes_custom is _KEEP else changes_custom)
        version = shown.release().number if number is None else number
        self.commit(Targets(version=version, expires=expires or shown.release().valid_until, targets=targets))

    def _before(self, old: Targets, lines: Sequence[bytes]) -> tuple[contents.Snapshot | None, Any]:
        """The release before, if these lines continue it."""
        head = old.targets[f"{LIST}/{ACTS}"].custom["head"]
        if len(lines) < head["seq"] or ref_of(lines[: head["seq"]]).id != head["id"]:
            return None, None
        register = fold_anyway(lines[: head["seq"]])
        if register.head.seq != head["seq"]:
            return None, None
        before = contents.Snapshot.take(register, datetime.fromtimestamp(old.version, UTC))
        return before, {"number": old.version, "head": head}

    def _seal_key(self) -> ec.EllipticCurvePrivateKey:
        key = self.keys["seal"]
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def _write(self, folder: str, contents: Mapping[str, bytes]) -> dict[str, TargetFile]:
        plain = self.exports / LIST / folder
        plain.mkdir(exist_ok=True)
        targets = {}
        for name, content in contents.items():
            (plain / name).write_bytes(content)
            target = TargetFile.from_data(f"{LIST}/{name}", content, ["sha256"])
            self.target_path(target).write_bytes(content)
            targets[target.path] = target
        (self.exports / LIST / "latest").write_text(f"{folder}\n")
        return targets


class Heads:
    """The heads' own hand: the offline keys of `root` and `targets`, which are not on the publisher's machine."""

    def __init__(self, site: Site, thief: Thief) -> None:
        self.keys = {role: key_of(site, role) for role in ("root", "targets")}
        self._thief = thief

    @property
    def _metadata(self) -> Path:
        return self._thief.exports / "metadata"

    def root(self) -> Root:
        """The newest root."""
        newest = max(self._metadata.glob("*.root.json"), key=lambda path: int(path.name.split(".")[0]))
        return Metadata[Root].from_file(str(newest)).signed

    def change_root(self, change: Callable[[Root], object], *signers: SigningKey) -> Path:
        """Sign the next root with the heads' key, and with others if they are given."""
        root = self.root()
        root.version += 1
        change(root)
        metadata: Metadata[Root] = Metadata(root)
        for key in (self.keys["root"], *signers):
            metadata.sign(signer(key), append=True)
        path = self._metadata / f"{root.version}.root.json"
        path.write_bytes(metadata.to_bytes())
        return path

    def change_targets(self, change: Callable[[Targets], object]) -> None:
        """Sign the next top-level targets, and let the publisher show them."""
        targets = self._thief.read("targets").signed
        targets.version += 1
        change(targets)
        metadata: Metadata[Targets] = Metadata(targets)
        metadata.sign(signer(self.keys["targets"]))
        metadata.to_file(str(self._metadata / f"{targets.version}.targets.json"))
        self._thief.refer({"targets.json": targets.version})

    def state(self, **changes: Any) -> None:
        """Sign a new `registers/<list>.json`, for instance with another branch, and let the publisher show it."""
        targets = self._thief.read("targets").signed
        pin = json.loads(self._thief.target_path(targets.targets[PIN]).read_bytes()) | changes
        self.replace(encode(pin) + b"\n")

    def replace(self, content: bytes, *algorithms: str) -> None:
        """Sign any content as the pin."""
        target = TargetFile.from_data(PIN, content, list(algorithms or ("sha256",)))
        self._thief.target_path(target).write_bytes(content)
        self.change_targets(lambda targets: targets.targets.update({PIN: target}))


PIN = f"registers/{LIST}.json"


def public_key(key: SigningKey) -> Key:
    """The public half as TUF has it."""
    return signer(key).public_key


def under_another_id(key: Key, number: int, spelled: Callable[[str], str] = str) -> Key:
    """The same key once more, with another id and perhaps another spelling."""
    return SSlibKey(f"{number:064x}", key.keytype, key.scheme, {"public": spelled(key.keyval["public"])})


def _annotate(target: TargetFile, custom: Any) -> None:
    if custom is not None:
        target.unrecognized_fields["custom"] = custom


def _with(measures: Measures, more: Mapping[Name, Measure], drop: frozenset[str]) -> Measures:
    domain = {text: measure for text, measure in measures.domain.items() if text not in drop}
    host = {text: measure for text, measure in measures.host.items() if text not in drop}
    domain |= {name.text: measure for name, measure in more.items() if name.scope is Scope.DOMAIN}
    host |= {name.text: measure for name, measure in more.items() if name.scope is Scope.HOST}
    return Measures(domain, host)


def later(site: Site, by: timedelta) -> datetime:
    """Let a site's clock go on."""
    site.now += by
    return site.now


# --- The scene, and a provider on it ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """A site whose first release is what providers have accepted, an hour after its last act.

    `news` are the acts of the second release, which no provider has seen yet. `first` is the tree before it.
    """

    site: Site
    first: Path
    at: datetime
    news: tuple[bytes, ...]

    @classmethod
    def make(cls, folder: Path, now: datetime) -> Scene:
        site = Site(folder / "site", now)
        public = site.keys.create("agent-3", ec.generate_private_key(ec.SECP256R1()), encrypt=False)
        with site.office("head-1") as office:
            appoint.appoint(office, "agent-3", "agent", public)
        site.block("one.example", "two.example", hosts=["www.three.example"])
        site.block("lapsing.example", review_by=site.now + 4 * HOUR)
        with site.office("agent-3") as office:
            remove.remove(office, [Name("two.example", Scope.DOMAIN)], "lawful", "")
        at = later(site, HOUR)
        site.publish()
        shutil.copytree(site.exports, folder / "first")
        seen = len(published_acts(folder / "first"))
        later(site, HOUR)
        site.block("four.example")
        site.remove("one.example")
        site.publish()
        return cls(site, folder / "first", at, tuple(published_acts(site.exports)[seen:]))

    def moved(self, folder: Path) -> Scene:
        """The same scene, whose folder was copied to another place."""
        return replace(self, site=self.site.moved(folder / "site"), first=folder / "first")

    @property
    def acts(self) -> list[bytes]:
        return published_acts(self.first)

    def key(self, officer: str) -> SigningKey:
        return key_of(self.site, officer)


def published_acts(exports: Path) -> list[bytes]:
    return (exports / LIST / (exports / LIST / "latest").read_text().strip() / ACTS).read_bytes().splitlines()


class Stage:
    """One provider that has accepted the first release, and a thief who holds the tree that it reads."""

    def __init__(self, scene: Scene, folder: Path, url: str = "") -> None:
        self.scene = scene
        self.thief = Thief(scene.site, folder / "tree", scene.first)
        self.heads = Heads(scene.site, self.thief)
        self.provider = Provider(folder / "provider", url or self.thief.url, scene.site.root.read_bytes())
        self.now = scene.at + HOUR
        self.show()
        self.provider.pull(scene.at, accept="any")
        self.kept = self.provider.kept()

    def show(self) -> None:
        """Let the provider see what is in the thief's tree; where it reads the tree itself, it does."""

    @property
    def acts(self) -> list[bytes]:
        return self.scene.acts

    @property
    def trusted_root(self) -> int:
        """The version of the root that the provider has come to."""
        return int(json.loads((self.provider.state / "metadata/root.json").read_bytes())["signed"]["version"])

    def refused(self, match: str, code: int = 3, **options: Any) -> BlocklistError:
        """The attack is refused and nothing that counts has changed."""
        self.show()
        with pytest.raises(BlocklistError, match=match) as caught:
            self.provider.pull(options.pop("now", self.now), **options)
        assert caught.value.exit_code == code, caught.value
        assert caught.value.__class__ is not BlocklistError
        self.untouched()
        return caught.value

    def untouched(self) -> None:
        """Nothing that counts has changed: installed files, record, known acts, receipt; and nothing lies about."""
        assert self.provider.kept() == self.kept
        assert not list(self.provider.folder.rglob(".tmp-*"))

    def accepted(self, now: datetime | None = None, **options: Any) -> None:
        """The release is let in, and becomes what the next attack must not change."""
        self.show()
        outcome = self.provider.pull(now or self.now, **options)
        assert outcome.changed
        assert not outcome.failures
        self.kept = self.provider.kept()

    def back(self, exports: Path) -> None:
        """Put another tree where the provider looks."""
        shutil.rmtree(self.thief.exports)
        shutil.copytree(exports, self.thief.exports)

    def recovers(self) -> None:
        """The office's next release is accepted, whatever the thief had shown before."""
        self.back(self.scene.site.exports)
        self.accepted(self.scene.site.now)
        assert "four.example" in self.provider.installed()
        assert "evil.example" not in self.provider.installed()


MINUTE = timedelta(minutes=1)
EVIL = Name("evil.example", Scope.DOMAIN)


def signed_by_two(site: Site, lines: list[bytes], *domains: str, at: datetime) -> list[bytes]:
    """Names listed by two agents with their own keys and without our program, hence without its guards."""
    wanted = names(*domains)
    body = acts.Add(
        commitment=wanted.commitment(SALT),
        count=len(wanted),
        ground="apology",
        basis="no-identification",
        review_by=at + 30 * DAY,
    )
    lines = [*lines, next_line(lines, "agent-1", key_of(site, "agent-1"), body, at)]
    approval = acts.Approve(act=ref_of(lines), names=wanted, salt=SALT)
    return [*lines, next_line(lines, "agent-2", key_of(site, "agent-2"), approval, at)]


def signed_twice(signed: Any, by: CryptoSigner, keys: Iterable[Key], *others: Any) -> bytes:
    metadata: Metadata[Any] = Metadata(signed)
    for other in others:
        metadata.sign(signer(other), append=True)
    made = metadata.sign(by, append=True)
    for entry in keys:
        metadata.signatures[entry.keyid] = type(made)(entry.keyid, made.signature)
    return metadata.to_bytes()
