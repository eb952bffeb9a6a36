"""`subscription.yaml`: what is written reads back, and every fault is named at once."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kit.fixed import key
from tuf.api.metadata import Metadata, Root, Snapshot

from blocklist.base.errors import BlocklistError, TargetError, UsageError
from blocklist.client import subscribe, subscription
from blocklist.client.subscription import BRAKES, Subscription, Target
from blocklist.keys.encoding import signer
from blocklist.register.policy import Brakes
from blocklist.register.policy_reader import DocumentError


def new_root(signer_of_it: str = "root", copies: int = 1) -> bytes:
    """A root as `init` makes it."""
    root = Root(version=1, expires=datetime(2199, 1, 1, tzinfo=UTC))
    made = signer(key("root"))
    for role in ("root", "targets", "snapshot", "timestamp"):
        root.add_key(made.public_key, role)
    root.roles["root"].threshold = copies
    metadata = Metadata(root)
    metadata.sign(signer(key(signer_of_it)))
    return metadata.to_bytes()


ROOT = new_root()
DIGEST = hashlib.sha256(ROOT).hexdigest()
URL = "https://blocklist.example/exports"
LIST = "apology-of-terrorism"

FULL = f"""\
url: {URL}/
environment: production
root: "{DIGEST}"
lists:
  {LIST}:
    - format: rpz
      path: zones/list.zone
      check: named-checkzone -q list.example {{file}}
      reload: rndc reload list.example
    - format: hosts
      path: /etc/hosts.blocked
  mirror-sites:
    - format: rpz
      path: /etc/mirrors.zone
brakes:
  added: 5
  added_percent: 10
never_block: [isp.example, intranet.example.com]
ca: tls/ca.pem
client_certificate: tls/client.pem
client_key: tls/client.key
proxy: http://proxy.example:3128
provider: isp-one
receipt_key: isp-one.pem
deadline: 30m
"""


def parse(text: str, path: Path = Path("/provider/list.yaml")) -> Subscription:
    return subscription.parse(text.encode(), path)


def faults(text: str) -> dict[str, str]:
    with pytest.raises(DocumentError) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    assert all(str(fault) in caught.value.hint for fault in caught.value.faults)
    return {fault.key: fault.allowed for fault in caught.value.faults}


def edited(old: str, new: str) -> str:
    assert FULL.count(old) == 1, old
    return FULL.replace(old, new)


def test_every_field() -> None:
    read = parse(FULL)
    assert (read.url, read.environment, read.root) == (f"{URL}/", "production", DIGEST)
    assert read.base == URL
    assert read.lists == {
        LIST: (
            Target(
                "rpz",
                Path("/provider/zones/list.zone"),
                "named-checkzone -q list.example {file}",
                "rndc reload list.example",
            ),
            Target("hosts", Path("/etc/hosts.blocked")),
        ),
        "mirror-sites": (Target("rpz", Path("/etc/mirrors.zone")),),
    }
    assert read.brakes == Brakes(5, 10, 0)
    assert read.never_block == {"isp.example", "intranet.example.com"}
    assert read.ca == Path("/provider/tls/ca.pem")
    assert read.client_certificate == Path("/provider/tls/client.pem")
    assert read.client_key == Path("/provider/tls/client.key")
    assert read.proxy == "http://proxy.example:3128"
    assert (read.provider, read.receipt_key) == ("isp-one", Path("/provider/isp-one.pem"))
    assert read.deadline == 30 * 60
    assert read.state == Path("/provider/list.state")


def test_only_what_is_required_and_what_then_holds() -> None:
    required = FULL.split("brakes:")[0]
    read = parse(required)
    assert read.brakes == BRAKES == Brakes(20, 30, 0)
    assert read.deadline == 600
    assert read.never_block == frozenset()
    assert (read.ca, read.client_certificate, read.client_key, read.proxy) == (None, None, None, "")


def test_relative_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read = parse(FULL, Path("here/list.yaml"))
    assert read.path == tmp_path / "here/list.yaml"
    assert read.lists[LIST][0].path == tmp_path / "here/zones/list.zone"
    assert read.state == tmp_path / "here/list.state"


def test_what_is_written_reads_back_and_explains_itself(tmp_path: Path) -> None:
    path = tmp_path / "new/list.yaml"
    targets = [
        Target(
            "rpz", tmp_path / "a: \"zone\" # with 'quotes' é.zone", "named-checkzone -q x {file}", "rndc reload 'a b'"
        ),
        Target("hosts", tmp_path / "hosts"),
    ]
    options = {"client_certificate": "/a b.pem", "client_key": "/a.key", "proxy": "http://proxy.example:3128"}
    lists = [(LIST, targets), ("other", [Target("json", tmp_path / "other.json")])]
    made = subscribe.write(path, URL, "test", ROOT, lists, list(options.items()))
    assert made == subscription.load(path)
    assert made.lists == {list_id: tuple(wanted) for list_id, wanted in lists}
    assert (made.url, made.environment, made.root) == (URL, "test", DIGEST)
    assert (made.client_certificate, made.client_key) == (Path("/a b.pem"), Path("/a.key"))
    assert (made.ca, made.proxy) == (None, "http://proxy.example:3128")
    assert (made.state / "root.json").read_bytes() == ROOT
    assert made.state.stat().st_mode & 0o777 == 0o700
    text = path.read_text()
    for field in ("url", "environment", "root", "lists", "brakes", "never_block"):
        comment = text.split(f"\n{field}:")[0].rsplit("\n", 1)[-1]
        assert comment.startswith("# "), field
    assert "client_certificate" in text
    assert text.isascii() or "é" in text


@pytest.mark.parametrize("list_id", ["no", "on", "y", "true", "null", "off"])
def test_a_list_may_be_called_what_yaml_takes_for_something_else(tmp_path: Path, list_id: str) -> None:
    made = subscribe.write(tmp_path / "list.yaml", URL, "test", ROOT, [(list_id, [Target("rpz", tmp_path / "z")])])
    assert list(made.lists) == [list_id]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        subscribe.write(path, URL, "test", ROOT, [(LIST, [Target("rpz", tmp_path / "z")])])
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "root",
    [b"", b"{}", b"<html>", ROOT[:-5], new_root("somebody"), new_root(copies=2), Metadata(Snapshot()).to_bytes()],
    ids=["nothing", "no metadata", "a page", "half of it", "signed by another", "too few signatures", "another role"],
)
def test_what_is_no_root_is_not_pinned(tmp_path: Path, root: bytes) -> None:
    with pytest.raises(UsageError, match="not a TUF root"):
        subscribe.write(tmp_path / "list.yaml", URL, "test", root, [(LIST, [Target("rpz", tmp_path / "z")])])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "list_id", "format_id"), [("http://x.example", LIST, "rpz"), (URL, "Not An Id", "rpz"), (URL, LIST, "bind")]
)
def test_what_would_not_read_back_is_not_written(tmp_path: Path, url: str, list_id: str, format_id: str) -> None:
    with pytest.raises(DocumentError):
        subscribe.write(tmp_path / "list.yaml", url, "test", ROOT, [(list_id, [Target(format_id, tmp_path / "z")])])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TargetError) as caught:
        subscribe.write(tmp_path / "file/list.yaml", URL, "test", ROOT, [(LIST, [Target("rpz", tmp_path / "z")])])
    assert caught.value.exit_code == 6


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        subscription.load(tmp_path / "none.yaml")
    assert "blocklist subscribe" in caught.value.hint


def test_every_fault_at_once() -> None:
    text = f"""\
url: http://blocklist.example
environment: staging
root: {DIGEST[:-1]}
lists:
  Upper:
    - format: bind
      path: ""
      reload: "rndc 'reload"
    - path: x
brakes:
  added: -1
never_block: [UPPER.example, "*.example"]
client_key: x
receipt_key: x
proxi: http://proxy.example
"""
    found = faults(text)
    assert set(found) == {
        "url",
        "environment",
        "root",
        "lists.Upper",
        "lists.Upper.0.format",
        "lists.Upper.0.path",
        "lists.Upper.0.reload",
        "lists.Upper.1.format",
        "brakes.added",
        "brakes.added_percent",
        "never_block.0",
        "never_block.1",
        "client_key",
        "provider",
        "proxi",
    }
    assert "did you mean proxy?" in found["proxi"]


@pytest.mark.parametrize(
    "url",
    [
        "http://blocklist.example/",
        "ftp://blocklist.example/",
        "HTTPS://blocklist.example/",
        "https://user:password@blocklist.example/",
        "https://user@blocklist.example/",
        "https://blocklist.example/?list=1",
        "https://blocklist.example/?",
        "https://blocklist.example/#top",
        "https://blocklist.example:99999/",
        "https://blocklist.example:port/",
        "https://[2001:db8::1/",
        "https:///exports",
        "https:blocklist.example",
        "https://block list.example/",
        "//blocklist.example/",
        "blocklist.example",
        "file://host/exports",
        "file:exports",
        "file:///exports?x",
        "data:text/plain,x",
        "",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    assert set(faults(edited(f"url: {URL}/", f'url: "{url}"'))) == {"url"}


@pytest.mark.parametrize(
    "url", ["https://blocklist.example", "https://[2001:db8::1]:8443/a/b/", "file:///srv/exports", "file:///a%20b"]
)
def test_addresses_that_are_good(url: str) -> None:
    assert parse(edited(f"url: {URL}/", f'url: "{url}"')).url == url


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (DIGEST, DIGEST.upper(), "root"),
        (DIGEST, DIGEST[:-1] + "g", "root"),
        (f'root: "{DIGEST}"', f"root: {'1' * 64}", "root"),
        ("path: /etc/hosts.blocked", "path: zones/list.zone", "lists"),
        ("path: /etc/mirrors.zone", "path: zones/list.zone", "lists"),
        ("environment: production", "environment: Production", "environment"),
        ("added: 5", "added: 5.0", "brakes.added"),
        ("added_percent: 10", "added_percent: 101", "brakes.added_percent"),
        ("added: 5", "added: yes", "brakes.added"),
        ("check: named-checkzone -q list.example {file}", 'check: "named-checkzone \'x"', f"lists.{LIST}.0.check"),
        ("check: named-checkzone -q list.example {file}", 'check: " "', f"lists.{LIST}.0.check"),
        ("client_certificate: tls/client.pem\n", "", "client_key"),
        ("client_key: tls/client.key\n", "", "client_key"),
        ("never_block: [isp.example, intranet.example.com]", "never_block: isp.example", "never_block"),
        ("ca: tls/ca.pem", "ca: [tls/ca.pem]", "ca"),
        ("environment: production", "environment: production\nenvironment: test", "environment"),
        ("provider: isp-one", "provider: Isp One", "provider"),
        ("provider: isp-one\n", "", "provider"),
        (f"  {LIST}:", "  metadata:", "lists.metadata"),
    ],
)
def test_a_fault_in_one_place(old: str, new: str, key: str) -> None:
    assert set(faults(edited(old, new))) == {key}


@pytest.mark.parametrize("text", ["", "[]", "just text", "url: [", "a: &a [*a]", "!!python/object:x {}", "\x00"])
def test_anything_else_is_no_subscription(text: str) -> None:
    with pytest.raises(BlocklistError) as caught:
        parse(text)
    assert caught.value.exit_code == 2


def test_too_large_or_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(UsageError, match="larger than"):
        subscription.load(path)
    path.write_bytes(b"url: \xff\xfe")
    with pytest.raises(DocumentError):
        subscription.load(path)


def test_no_targets() -> None:
    start, end = FULL.index("lists:"), FULL.index("brakes:")
    assert set(faults(FULL[:start] + "lists: {}\n" + FULL[end:])) == {"lists"}
    assert set(faults(FULL[:start] + "lists: []\n" + FULL[end:])) == {"lists"}
    assert set(faults(FULL[:start] + f"lists: {{{LIST}: []}}\n" + FULL[end:])) == {f"lists.{LIST}"}
    assert set(faults(FULL[:start] + FULL[end:])) == {"lists"}
