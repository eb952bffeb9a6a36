"""Each server's own check takes every format, with every kind of name and every action."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.chain import Chain
from kit.effort import EXAMPLES
from kit.fixed import START
from kit.rendered import ACTIONS, LONG_TITLE, LONGEST, ODD_LISTS, ZONE, measures, render, with_action

from blocklist.release.contents import Snapshot, exports


def checked(text: str, folder: Path, zone: str = ZONE) -> str:
    """What `named-checkzone` says, as strict about names as `named` is for a primary zone: it must accept the file."""
    path = folder / "rpz.zone"
    path.write_text(text)
    done = subprocess.run(["named-checkzone", "-k", "fail", zone, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def accepted(text: str, path: Path, *command: str) -> None:
    path.write_text(text)
    done = subprocess.run([*command, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def accepted_by_dnsmasq(text: str, folder: Path) -> None:
    accepted(text, folder / "dnsmasq.conf", "dnsmasq", "--test", "-C")


def accepted_by_unbound(text: str, folder: Path) -> None:
    accepted(text, folder / "unbound.conf", "unbound-checkconf")


def accepted_by_all(texts: dict[str, str], folder: Path) -> None:
    """Each server's own check of its configuration."""
    checked(texts["rpz"], folder)
    if "dnsmasq" in texts:
        accepted_by_dnsmasq(texts["dnsmasq"], folder)
        accepted_by_unbound(texts["unbound"], folder)


@pytest.mark.parametrize("action", ACTIONS)
def test_rpz_is_accepted_by_bind(action: str, tmp_path: Path) -> None:
    text = render("rpz", with_action(action))
    assert f"loaded serial {int(START.timestamp())}" in checked(text, tmp_path)
    assert "$ORIGIN" not in text


def test_rpz_takes_any_name_for_its_zone(tmp_path: Path) -> None:
    text = render("rpz", with_action("address"))
    for zone in ("rpz", "a.test", ZONE):
        checked(text, tmp_path, zone)


def test_bind_refuses_what_the_format_avoids(tmp_path: Path) -> None:
    """The two traps are real: an address at a name with an underscore, and a name that is too long."""
    text = render("rpz", with_action("address"))
    with pytest.raises(AssertionError, match="bad owner name"):
        checked(f"{text}a_b.example A 192.0.2.1\n", tmp_path)
    with pytest.raises(AssertionError, match=r"ran out of space|too long"):
        checked(f"{text}*.{'e' * 60}.{LONGEST} A 192.0.2.1\n", tmp_path)


@pytest.mark.parametrize("action", ACTIONS)
def test_servers_accept_every_kind_of_name_with_every_action(action: str, tmp_path: Path) -> None:
    valid = with_action(action)
    accepted_by_all({format_id: render(format_id, valid) for format_id in valid.formats}, tmp_path)


@settings(max_examples=15 * EXAMPLES, deadline=None)
@given(ODD_LISTS, ODD_LISTS, st.sampled_from(list(ACTIONS)))
def test_servers_accept_any_list(domains: set[str], hosts: set[str], action: str) -> None:
    shown, valid = measures(sorted(domains), sorted(hosts | {"probe.example"})), with_action(action)
    texts = {format_id: render(format_id, valid, shown) for format_id in valid.formats}
    with tempfile.TemporaryDirectory() as folder:
        accepted_by_all(texts, Path(folder))


def test_bind_takes_a_list_of_nothing(tmp_path: Path) -> None:
    chain = Chain()
    ((_, chunks),) = exports(Snapshot.take(chain.register, chain.at), ["rpz"])
    checked(b"".join(chunks).decode(), tmp_path)


def test_dnsmasq_takes_a_long_title_over_several_lines(tmp_path: Path) -> None:
    """In one line, what follows 1,024 octets of a comment would be an option to it."""
    text = render("dnsmasq", with_action("address", title=LONG_TITLE))
    accepted_by_dnsmasq(text, tmp_path)
    with pytest.raises(AssertionError, match="bad option"):
        accepted_by_dnsmasq(f"# {'x ' * 1200}\n{text}", tmp_path)
