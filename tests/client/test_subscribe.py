"""`subscribe`: by options and by questions; several lists and files; the root as a file or by its SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml
from kit.fixed import LIST
from kit.shell import Shell

from blocklist.client import subscription
from blocklist.client.subscription import Target


def root_of(shell: Shell) -> Path:
    return shell.office / "exports/metadata/1.root.json"


def test_several_lists_and_files_by_options(listed: Shell) -> None:
    path = listed.folder / "isp/lists.yaml"
    listed(
        *("subscribe", (listed.office / "exports").as_uri(), "--environment", "test", "--root", root_of(listed)),
        *("--list", LIST, "--list", "mirror-sites"),
        *("--to", f"{LIST}/rpz={listed.folder}/a.zone", "--to", f"{LIST}/hosts={listed.folder}/a=b.hosts"),
        *("--to", f"mirror-sites/rpz={listed.folder}/m.zone"),
        *("--check", "rpz=named-checkzone -q x {file}", "--reload", "all --of=them", "--reload", "rpz=rndc reload x"),
        *("--proxy", "http://proxy.example:3128", "--ca", "ca.pem", "-o", path),
    )
    made = subscription.load(path)
    zone = Target("rpz", listed.folder / "a.zone", "named-checkzone -q x {file}", "rndc reload x")
    assert made.lists == {
        LIST: (zone, Target("hosts", listed.folder / "a=b.hosts", "", "all --of=them")),
        "mirror-sites": (Target("rpz", listed.folder / "m.zone", zone.check, zone.reload),),
    }
    assert (made.proxy, made.ca) == ("http://proxy.example:3128", listed.folder / "ca.pem")
    comments = [line for line in path.read_text().splitlines() if line.startswith("# ")]
    assert len(comments) > 12  # each key is explained, those that are not used too


def test_the_root_by_its_digest_comes_from_the_publisher(listed: Shell) -> None:
    digest = hashlib.sha256(root_of(listed).read_bytes()).hexdigest()
    words = ("--list", LIST, "--environment", "test", "--to", f"rpz={listed.folder}/rpz.zone")
    url = (listed.office / "exports").as_uri()
    config = listed.folder / "pinned.yaml"
    listed("subscribe", url, "--root", digest, *words, "-o", config)
    assert (listed.folder / "pinned.state/root.json").read_bytes() == root_of(listed).read_bytes()
    listed("pull", "-c", config, "--accept")
    other = listed.folder / "other.yaml"
    listed.refused(
        *("subscribe", url, "--root", "0" * 64, *words, "-o", other), code=3, message="shows no root with the SHA-256"
    )
    listed.refused(
        *("subscribe", "https://127.0.0.1:1/", "--root", digest, *words, "-o", other), code=5, message="does not answer"
    )
    assert not other.exists()
    assert not other.with_suffix(".state").exists()


def test_a_later_root_can_be_pinned_by_its_digest(listed: Shell) -> None:
    """The office may hand out the SHA-256 of any version: it is looked for among those that are published."""
    folder = root_of(listed).parent
    later = root_of(listed).read_bytes() + b"\n"
    (folder / "2.root.json").write_bytes(later)
    config = listed.folder / "pinned.yaml"
    words = ("--list", LIST, "--environment", "test", "--to", f"rpz={listed.folder}/rpz.zone", "-o", config)
    listed("subscribe", folder.parent.as_uri(), "--root", hashlib.sha256(later).hexdigest(), *words)
    assert (listed.folder / "pinned.state/root.json").read_bytes() == later


def test_questions_on_a_terminal(listed: Shell) -> None:
    listed.terminal()
    config = listed.folder / "asked.yaml"
    answers = [
        *((listed.office / "exports").as_uri(), str(root_of(listed)), LIST),
        *("rpz", str(listed.folder / "rpz.zone"), "named-checkzone -q blocked {file}", ""),
        *("y", "hosts", str(listed.folder / "hosts"), "", "true"),
        "",
    ]
    asked = listed("subscribe", "--environment", "test", "-o", config, input="\n".join(answers) + "\n")
    assert "Address of the publisher" in asked.stderr
    assert "with {file} for the candidate" in asked.stderr
    made = subscription.load(config)
    assert made.lists[LIST] == (
        Target("rpz", listed.folder / "rpz.zone", "named-checkzone -q blocked {file}"),
        Target("hosts", listed.folder / "hosts", "", "true"),
    )
    assert listed("pull", "-c", config, "--accept").exit_code == 0


def test_questions_about_the_transport(listed: Shell) -> None:
    listed.terminal()
    config = listed.folder / "asked.yaml"
    words = ("https://x.example/", "--root", root_of(listed), "--list", LIST)
    answers = ["isp.pem", "isp.key", "", "", f"{listed.folder}/rpz.zone", "", "", "n"]
    listed("subscribe", *words, "-o", config, input="\n".join(answers) + "\n")
    made = subscription.load(config)
    assert (made.client_certificate, made.client_key) == (listed.folder / "isp.pem", listed.folder / "isp.key")
    assert made.ca is None
    assert yaml.safe_load(config.read_text())["environment"] == "production"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "address, --list, --root and --to are needed"),
        (("https://x.example/", "--list", LIST, "--root", "r"), "are needed"),
        (("https://x.example/", "--list", LIST, "--list", "b", "--root", "r", "--to", "rpz=/a"), "LIST/FORMAT=PATH"),
        (("https://x.example/", "--list", LIST, "--root", "r", "--to", "other/rpz=/a"), "LIST/FORMAT=PATH"),
        (("https://x.example/", "--list", LIST, "--root", "r", "--to", "rpz="), "FORMAT=PATH"),
    ],
)
def test_what_is_missing_is_named(listed: Shell, words: tuple[str, ...], message: str) -> None:
    listed.refused("subscribe", *words, code=2, message=message)


def test_a_certificate_without_its_key(listed: Shell) -> None:
    to = ("--to", f"rpz={listed.folder}/rpz.zone")
    words = ("https://x.example/", "--list", LIST, "--root", root_of(listed), *to, "--client-certificate", "isp.pem")
    listed.refused("subscribe", *words, code=2, message="client_key: 'one without the other'")
