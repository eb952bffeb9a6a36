"""What a provider wrote down: `subscription.yaml`."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from blocklist import files, formats
from blocklist.acts import ENVIRONMENTS
from blocklist.client.install import Target
from blocklist.documents import Checker, DocumentError, read_yaml
from blocklist.errors import UsageError
from blocklist.messages import _
from blocklist.policy import Brakes

BRAKES = Brakes(added=20, added_percent=30, removed=0)
"""The provider's brakes unless it writes others; endings are never braked at a provider, so `removed` is not used."""

_MAX_FILE = 1024 * 1024
_REQUIRED = "url list environment root targets"
_OPTIONAL = "brakes never_block ca client_certificate client_key proxy"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEMPLATE = """\
# A subscription to a signed block list. `blocklist pull -c {name}` keeps the targets up to date.

# Where the list is published: https://..., or file:///... for a local tree.
url: {url}

# Which list, and of which environment: a list of another one is refused.
list: {list}
environment: {environment}

# SHA-256 of the publisher's TUF root that you were given; it is the only thing that is trusted from the start.
root: "{root}"

# Which export goes to which file. Optional for each: `check`, a command that must accept the candidate, {{file}}, and
# `reload`, a command to run once the file is in place. Commands run without a shell.
targets:
{targets}
# At most this many names may be added by one release unasked; on a list of over 100 names, at most this percentage.
brakes:
  added: {brakes.added}
  added_percent: {brakes.added_percent}

# Names that are never blocked here without your word, with everything below them.
never_block: []

# For HTTPS, each optional: ca (file), client_certificate and client_key (files), proxy (URL).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A valid subscription; every path is absolute."""

    path: Path
    url: str
    list_id: str
    environment: str
    root: str
    targets: tuple[Target, ...]
    brakes: Brakes
    never_block: frozenset[str]
    ca: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    proxy: str = ""

    @property
    def state(self) -> Path:
        """Where `pull` keeps what it accepted, beside the subscription."""
        return self.path.with_name(f"{self.path.stem}.state")


def write(path: Path, url: str, list_id: str, environment: str, root: bytes, targets: Sequence[Target]) -> Subscription:
    """Write a new subscription and pin `root`.

    Raises:
        UsageError: A value is not valid, or `path` exists.
        TargetError: It could not be written.
    """
    _check_root(root)
    if path.exists():
        raise UsageError(_("{path} exists", path=path), _("edit it, or choose another file with -o"))
    text = _TEMPLATE.format(
        name=path.name,
        url=json.dumps(url),
        list=json.dumps(list_id),
        environment=environment,
        root=hashlib.sha256(root).hexdigest(),
        targets="".join(map(_target_text, targets)),
        brakes=BRAKES,
    )
    subscription = parse(text.encode(), path)
    files.make_folder(path.parent)
    files.make_folder(subscription.state, 0o700)
    files.replace(subscription.state / "root.json", root)
    files.replace(path, text.encode())
    return subscription


def _check_root(root: bytes) -> None:
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    try:
        metadata: Metadata[Root] = Metadata.from_bytes(root)
        metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError, AttributeError) as fault:
        raise UsageError(_("that is not a TUF root that its own keys signed"), _("the office hands it out")) from fault


def _target_text(target: Target) -> str:
    lines = [f"  - format: {target.format}", f"    path: {json.dumps(str(target.path))}"]
    commands = {"check": target.check, "reload": target.reload}
    lines += [f"    {key}: {json.dumps(command)}" for key, command in commands.items() if command]
    return "\n".join(lines) + "\n"


def load(path: Path) -> Subscription:
    """Read a subscription.

    Raises:
        UsageError: It is missing or not valid; every fault is named.
    """
    hint = _("write one with 'blocklist subscribe', or name it with -c")
    return parse(files.read(path, _("the subscription"), _MAX_FILE, hint), path)


def parse(content: bytes, path: Path) -> Subscription:
    """Read a subscription from its bytes; relative paths in it start at its folder.

    Raises:
        DocumentError: It is not valid; every fault is named.
    """
    checker = Checker(written=True)
    entries = checker.section(read_yaml({path.name: content}, path.name, "", checker), "", _REQUIRED, _OPTIONAL)
    subscription = _read(checker, entries, path.absolute())
    if checker.faults:
        raise DocumentError(str(path), checker.faults)
    return subscription


def _read(checker: Checker, entries: Mapping[str, object], path: Path) -> Subscription:
    """Read every key, so that every fault is noted; the result means nothing when there are faults."""
    folder = path.parent

    def file(key: str) -> Path | None:
        return folder / checker.text(entries[key], key) if key in entries else None

    subscription = Subscription(
        path=path,
        url=_url(checker, entries["url"]),
        list_id=checker.identifier(entries["list"], "list"),
        environment=checker.choice(entries["environment"], "environment", ENVIRONMENTS),
        root=_digest(checker, entries["root"]),
        targets=_targets(checker, entries["targets"], folder),
        brakes=_brakes(checker, entries["brakes"]) if "brakes" in entries else BRAKES,
        never_block=_never_block(checker, entries.get("never_block", [])),
        ca=file("ca"),
        client_certificate=file("client_certificate"),
        client_key=file("client_key"),
        proxy=checker.text(entries["proxy"], "proxy") if "proxy" in entries else "",
    )
    if (subscription.client_certificate is None) != (subscription.client_key is None):
        checker.fault("client_key", _("one without the other"), _("client_certificate and client_key together"))
    return subscription


def _url(checker: Checker, value: object) -> str:
    text = checker.text(value, "url")
    if text and not _is_url(text):
        checker.fault("url", text, _("https://HOST/..., or file:///FOLDER for a local tree; no password, no query"))
    return text


def _is_url(text: str) -> bool:
    if text.startswith("file:///"):
        return not set("?#") & set(text)
    try:
        parts = urlsplit(text)
        return text.startswith("https://") and bool(parts.hostname) and parts.port != 0 and not set("?#@ ") & set(text)
    except ValueError:  # half an IPv6 address, or a port that is no number
        return False


def _digest(checker: Checker, value: object) -> str:
    if isinstance(value, str) and _SHA256.fullmatch(value):
        return value
    checker.fault("root", value, _("the SHA-256 of the publisher's root: 64 hexadecimal digits, in quotes"))
    return ""


def _targets(checker: Checker, value: object, folder: Path) -> tuple[Target, ...]:
    targets = []
    for key, item in checker.items(value, "targets", 1, 64):
        entry = checker.section(item, key, "format path", "check reload")
        commands = {
            name: _command(checker, entry[name], f"{key}.{name}") for name in ("check", "reload") if name in entry
        }
        format_id = checker.choice(entry["format"], f"{key}.format", sorted(formats.FORMATS))
        targets.append(Target(format_id, folder / checker.text(entry["path"], f"{key}.path"), **commands))
    if len({target.path for target in targets}) != len(targets):
        checker.fault("targets", _("one path twice"), _("each path once"))
    return tuple(targets)


def _command(checker: Checker, value: object, key: str) -> str:
    text = checker.text(value, key, 2000)
    try:
        shlex.split(text)
    except ValueError:
        checker.fault(key, text, _("words separated by blanks, with quotes that match"))
    return text


def _never_block(checker: Checker, value: object) -> frozenset[str]:
    return frozenset(checker.name(name, key) for key, name in checker.items(value, "never_block", 0, 10_000))


def _brakes(checker: Checker, value: object) -> Brakes:
    entry = checker.section(value, "brakes", "added added_percent")
    added = checker.integer(entry["added"], "brakes.added", 0, 10_000_000)
    return Brakes(added, checker.integer(entry["added_percent"], "brakes.added_percent", 0, 100), 0)
