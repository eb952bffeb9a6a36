"""A mirror that is filled file by file: whatever has arrived, a pull finds the old release or the new one, whole."""

from __future__ import annotations

import random
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kit.fixed import HOUR, LIST
from kit.provider import Provider
from kit.ready_made import ready_made
from kit.site import Site

TIMESTAMP = Path("metadata/timestamp.json")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return ready_made(tmp_path / "site", datetime.now(UTC), _one_release)


def _one_release(folder: Path, now: datetime) -> Site:
    made = Site(folder, now)
    made.block("one.example")
    made.publish()
    return made


def files_of(tree: Path) -> set[Path]:
    return {path.relative_to(tree) for path in tree.rglob("*") if path.is_file()}


def new_or_changed(old: Path, new: Path) -> list[Path]:
    """What a tool that copies trees has to send."""
    return sorted(
        path
        for path in files_of(new)
        if not (old / path).exists() or (old / path).read_bytes() != (new / path).read_bytes()
    )


def put(source: Path, mirror: Path, path: Path) -> None:
    """One file, as such tools write it: aside, then renamed."""
    target = mirror / path
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    shutil.copyfile(source / path, aside)
    aside.replace(target)


def verifies_by_hand(mirror: Path) -> None:
    """What providers with curl and openssl do with what `latest` names."""
    folder = mirror / LIST / (mirror / LIST / "latest").read_text().strip()
    command = ["openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", "SHA256SUMS.p7s"]
    command += ["-content", "SHA256SUMS", "-CAfile", mirror / "seal.pem", "-no-CApath", "-no-CAstore"]
    subprocess.run([*command, "-out", "/dev/null"], cwd=folder, check=True, capture_output=True)
    subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)


@pytest.mark.parametrize("order", ["as printed", "any", "another"])
def test_a_pull_after_every_file(site: Site, tmp_path: Path, order: str) -> None:
    """The timestamp last is all that matters to subscribers; `latest` last of the others, to those without them."""
    mirror = tmp_path / "mirror"
    shutil.copytree(site.exports, mirror)
    provider = Provider(tmp_path / "isp", mirror.as_uri(), site.root.read_bytes())
    provider.pull(site.now, accept="any")
    before = provider.kept()
    site.now += HOUR
    site.block("two.example")
    site.publish()
    sent = [path for path in new_or_changed(mirror, site.exports) if path != TIMESTAMP]
    if order != "as printed":
        random.Random(order).shuffle(sent)
        sent.sort(key=lambda path: path.name == "latest")
    assert len(sent) > 20
    for path in sent:
        put(site.exports, mirror, path)
        assert not provider.pull(site.now).changed
        assert provider.kept() == before
        if order == "as printed" or path.name == "latest":
            verifies_by_hand(mirror)
    put(site.exports, mirror, TIMESTAMP)
    assert provider.pull(site.now).changed
    assert "two.example A" in provider.installed()
    assert files_of(mirror) == files_of(site.exports)


def test_a_mirror_that_stopped_half_way_is_filled_by_the_next_copy(site: Site, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    shutil.copytree(site.exports, mirror)
    provider = Provider(tmp_path / "isp", mirror.as_uri(), site.root.read_bytes())
    provider.pull(site.now, accept="any")
    for number in range(3):
        site.now += HOUR
        site.block(f"more-{number}.example")
        site.publish()
        for path in new_or_changed(mirror, site.exports)[:7]:  # and then the line breaks
            if path != TIMESTAMP:
                put(site.exports, mirror, path)
        assert not provider.pull(site.now).changed
    for path in sorted(new_or_changed(mirror, site.exports), key=lambda path: path == TIMESTAMP):
        put(site.exports, mirror, path)
    assert provider.pull(site.now).changed
    assert "more-2.example A" in provider.installed()
