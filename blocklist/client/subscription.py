"""What a provider wrote down (`subscription.yaml`), and what the operator says to one pull."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from blocklist.base import durable
from blocklist.base.errors import UsageError
from blocklist.base.i18n import Progress, _, later, quietly
from blocklist.client.state import state_folder
from blocklist.register.documents import read_yaml
from blocklist.register.policy import DAY, FORMATS, MINUTE, Brakes, Range
from blocklist.register.policy_reader import Checker, check_name

if TYPE_CHECKING:
    from blocklist.release.contents import Plan


BRAKES = Brakes(added=20, added_percent=30, removed=0)
"""The provider's brakes unless it writes others; endings are never braked at a provider, so `removed` is not used."""

ENVIRONMENTS = ("test", "production")
SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_FILE = 1024 * 1024
_REQUIRED = "url environment root lists"
_OPTIONAL = "brakes never_block deadline ca client_certificate client_key proxy provider receipt_key"
_DEADLINE = Range(MINUTE, DAY, later("1m to 1d"))
_FILES = ("ca", "client_certificate", "client_key", "receipt_key")


@dataclass(frozen=True, slots=True)
class Target:
    """One file that `pull` keeps: its format, its path, and the operator's own commands.

    In `check`, `{file}` stands for the candidate; `reload` runs after the file is in place.
    """

    format: str
    path: Path
    check: str = ""
    reload: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A valid subscription; every path is absolute. `lists` has the targets of each list.

    `stamp` is how the file system saw the file before it was read; `deadline` is in seconds.
    """

    path: Path
    stamp: str = field(default="", compare=False)
    url: str
    environment: str
    root: str
    lists: Mapping[str, tuple[Target, ...]]
    brakes: Brakes = BRAKES
    never_block: frozenset[str] = field(default_factory=frozenset)
    ca: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    deadline: int = 10 * MINUTE
    proxy: str = ""
    provider: str = ""
    receipt_key: Path | None = None

    @property
    def state(self) -> Path:
        """Where `pull` keeps what it accepted, beside the subscription."""
        return state_folder(self.path)

    @property
    def base(self) -> str:
        """The publisher's address without a slash at its end."""
        return self.url.rstrip("/")

    @property
    def metadata_url(self) -> str:
        """Where the TUF metadata are."""
        return f"{self.base}/metadata"


def load(path: Path) -> Subscription:
    """Read a subscription.

    Raises:
        UsageError: It is missing or not valid; every fault is named.
    """
    hint = _("write one with 'blocklist subscribe', or name it with -c")
    stamp = durable.stamp(path)
    return parse(durable.read(path, _("the subscription"), _MAX_FILE, hint), path, stamp)


def parse(content: bytes, path: Path, stamp: str = "") -> Subscription:
    """Read a subscription from its bytes; relative paths in it start at its folder.

    Raises:
        DocumentError: It is not valid; every fault is named.
    """
    checker = Checker(str(path), written=True)
    entries = checker.section(read_yaml({path.name: content}, path.name, "", checker), "", _REQUIRED, _OPTIONAL)
    subscription = _read(checker, entries, path.absolute(), stamp)
    checker.finish()
    return subscription


def _read(checker: Checker, entries: Mapping[str, object], path: Path, stamp: str) -> Subscription:
    """Read every key, so that every fault is noted; the result means nothing when there are faults."""
    folder = path.parent
    named = {key: folder / checker.text(entries[key], key) for key in _FILES if key in entries}
    subscription = Subscription(
        path=path,
        stamp=stamp,
        url=_url(checker, entries["url"]),
        environment=checker.choice(entries["environment"], "environment", ENVIRONMENTS),
        root=_digest(checker, entries["root"]),
        lists=_lists(checker, entries["lists"], folder),
        brakes=_brakes(checker, entries["brakes"]) if "brakes" in entries else BRAKES,
        never_block=_never_block(checker, entries.get("never_block", [])),
        deadline=checker.duration(entries.get("deadline", "10m"), "deadline", _DEADLINE),
        proxy=checker.text(entries["proxy"], "proxy") if "proxy" in entries else "",
        provider=checker.identifier(entries["provider"], "provider") if "provider" in entries else "",
        **named,
    )
    if (subscription.client_certificate is None) != (subscription.client_key is None):
        checker.fault("client_key", _("one without the other"), _("client_certificate and client_key together"))
    if subscription.receipt_key is not None and "provider" not in entries:
        checker.fault("provider", _("missing"), _("the id under which the office knows the key of receipts"))
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
    if isinstance(value, str) and SHA256.fullmatch(value):
        return value
    checker.fault("root", value, _("the SHA-256 of the publisher's root: 64 hexadecimal digits, in quotes"))
    return ""


def _lists(checker: Checker, value: object, folder: Path) -> dict[str, tuple[Target, ...]]:
    entries = checker.pairs(value, "lists")
    if isinstance(value, dict) and not 1 <= len(entries) <= 32:
        checker.fault("lists", _("{count} lists", count=len(entries)), _("1 to 32 lists, each with its targets"))
    lists = {
        checker.identifier(list_id, f"lists.{list_id}"): tuple(_targets(checker, targets, f"lists.{list_id}", folder))
        for list_id, targets in entries.items()
    }
    paths = [target.path for targets in lists.values() for target in targets]
    if len(set(paths)) != len(paths):
        checker.fault("lists", _("one path twice"), _("each path once"))
    return lists


def _targets(checker: Checker, value: object, path: str, folder: Path) -> Iterator[Target]:
    for key, item in checker.items(value, path, 1, 64):
        entry = checker.section(item, key, "format path", "check reload")
        commands = {
            name: _command(checker, entry[name], f"{key}.{name}") for name in ("check", "reload") if name in entry
        }
        format_id = checker.choice(entry["format"], f"{key}.format", sorted(FORMATS))
        yield Target(format_id, folder / checker.text(entry["path"], f"{key}.path"), **commands)


def _command(checker: Checker, value: object, key: str) -> str:
    text = checker.text(value, key, 2000)
    try:
        shlex.split(text)
    except ValueError:
        checker.fault(key, text, _("words separated by blanks, with quotes that match"))
    return text


def _never_block(checker: Checker, value: object) -> frozenset[str]:
    return frozenset(check_name(checker, name, key) for key, name in checker.items(value, "never_block", 0, 10_000))


def _brakes(checker: Checker, value: object) -> Brakes:
    entry = checker.section(value, "brakes", "added added_percent")
    added = checker.integer(entry["added"], "brakes.added", 0, 10_000_000)
    return Brakes(added, checker.integer(entry["added_percent"], "brakes.added_percent", 0, 100), 0)


def require_list(subscription: Subscription, list_id: str | None) -> str:
    """The list of a subscription that was named, or its only one.

    Raises:
        UsageError: There are several and none was named, or it has none of that id.
    """
    there = ", ".join(subscription.lists)
    if list_id is None and len(subscription.lists) == 1:
        return next(iter(subscription.lists))
    if list_id is None:
        raise UsageError(_("this subscription has several lists: {lists}", lists=there), _("name one with --list"))
    if list_id not in subscription.lists:
        raise UsageError(
            _("this subscription has no list {list_id}; it has {lists}", list_id=list_id, lists=there),
            _("check --list"),
        )
    return list_id


ANY_CHANGE = "any"
"""What `--accept` without a checksum stands for; it is enough for a first pull only."""


class Options(NamedTuple):
    """What the operator said to one pull.

    Attributes:
        accept: `ANY_CHANGE` lets a first pull in; a plan's checksum lets exactly that plan through the brakes.
        adopt: Replace files at the targets' paths that this program did not write.
        resume: Go on after a rollback.
        prune_lapsed: Leave out names whose review date has passed while no newer release comes.
        confirm: Asked at a first pull without `accept`.
        progress: Told about long work.
    """

    accept: str | None = None
    adopt: bool = False
    resume: bool = False
    prune_lapsed: bool = False
    confirm: Callable[[Plan], bool] = lambda _: False
    progress: Progress = quietly
