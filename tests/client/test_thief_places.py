"""What a thief of places can do: the office's files, its tree, a backup, a subscriber's machine; see `test_thief`.

The comments are the columns of the table.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.fake_resolver import Fake, landing
from kit.fixed import HOUR, LIST
from kit.shell import Shell
from kit.site import no_passphrase
from kit.thief import MINUTE, Theft, holding, propose, stolen
from tuf.api.metadata import Metadata

from blocklist.base.errors import UsageError
from blocklist.keys.encoding import signer
from blocklist.keys.folder import KeyFolder
from blocklist.names.domain_name import Scope
from blocklist.register import acts, replay
from blocklist.register.decoders import read_names
from blocklist.release import receipts

SECRET = "known to the office alone"


# --- The office's files -----------------------------------------------------------------------------------------------


@stolen("reading `lists/`")
def test_reading_lists(theft: Theft) -> None:
    shell, lists = theft.shell, theft.lists
    theft.list_names("gone.example", note="told once")
    shell("--as", "head-1", "dossier", "erase", str(len(theft.log()) - 1), "--reason", "asked")
    asked = ("--to", "platform", "--contact", "abuse@host.example", "--url", "https://host.example/1")
    shell("--as", "agent-1", "request", "asked.example", *asked)
    public = shell.json("key", "new", "agent-4", "--no-passphrase")["public"]
    who = ("--key", public, "--identity", "service number 4")
    shell("--as", "head-1", "officer", "appoint", "agent-4", "--role", "agent", *who)
    seq = propose(shell, "pending.example", by="agent-1", note=SECRET)
    # Can: read all that is confidential, and open what waits.
    for text in ("abuse@host.example", "https://host.example/1", "service number 4", SECRET, "no name, no address"):
        assert holding([lists], text), text
    signed = acts.read_line(theft.register()[seq - 1])
    ((content,),) = theft.sql("dossiers.db", f"SELECT content FROM dossiers WHERE act = '{signed.id}'")  # noqa: S608
    dossier = json.loads(content)
    assert read_names(dossier["names"]).commitment(dossier["salt"]) == signed.act.body.commitment
    # Cannot: sign, since no key is there; read what was erased.
    assert holding([theft.site.keys.path], "PRIVATE KEY")
    assert not holding([lists], "PRIVATE KEY")
    assert not holding([lists], "told once")
    # Who sees it: nobody. Recovery: none; what limits it is that the acts and the exports hold nothing of all this.
    assert theft.faults(expect=0) == []
    theft.goes_on()
    for text in ("pending.example", "host.example", "service number 4", SECRET, "no name, no address"):
        assert not holding([theft.site.exports, *lists.glob("register.db*")], text), text


@stolen("writing `lists/`")
def test_writing_the_acts(theft: Theft) -> None:
    shell, lists = theft.shell, theft.lists
    newest = Path(shutil.copytree(lists, theft.site.folder / "newest"))
    # Can: stop the office. Cannot: change an act unseen: every command that replays it, `publish` and `audit` say so.
    theft.sql("register.db", "DROP TRIGGER acts_update", "UPDATE acts SET envelope = x'7b7d' WHERE seq = 5")
    for words in (["list"], ["--as", "agent-1", "remove", "four.example", "--reason", "error"], ["publish"]):
        shell.refused(*words, code=3, message="act 5: ")
    assert theft.faults()[0][0] == 5
    # Recovery: the newest copy.
    theft.put_back(newest)
    theft.goes_on()
    # Can: offer a chain that is shorter, and genuine. Who sees it: key folders, `publish`, `audit`, every subscriber.
    shorter = theft.register()[: len(theft.acts)]
    theft.sql("register.db", "DROP TRIGGER acts_delete", f"DELETE FROM acts WHERE seq > {len(shorter)}")  # noqa: S608
    shell.refused("list", code=3, message="which these keys have seen")
    shutil.rmtree(theft.site.keys.path / "seen")
    shell.refused("publish", code=3, message="of the last release is not in the register")
    assert theft.faults()
    theft.thief.offer(shorter, theft.wait())
    theft.refused("the register is shorter than it was", now=theft.site.now)
    # Recovery without a copy: every subscriber has the acts.
    theft.lose_register()
    shell("store", "restore", theft.provider.acts_path)
    theft.goes_on("six.example")
    assert theft.faults(expect=0) == []


@stolen("writing `lists/`", "can", "cannot", "sees", "recovery")
def test_writing_dossiers_and_evidence(theft: Theft) -> None:
    lists = theft.lists
    newest = Path(shutil.copytree(lists, theft.site.folder / "newest"))
    proposals = [seq for seq, act in enumerate(theft.log(), 1) if act.kind == "add"]
    # Can: destroy them. Cannot: change them unseen. Who sees it: `audit` alone.
    for spoil in ("UPDATE dossiers SET salt = 'x'", "DELETE FROM dossiers"):
        theft.sql("dossiers.db", spoil)
        assert [seq for seq, _fault in theft.faults()] == proposals
    theft.put_back(newest)
    (evidence,) = (lists / "evidence").iterdir()
    evidence.chmod(0o600)
    evidence.write_bytes(b"name and address!!!\n")
    assert [seq for seq, _fault in theft.faults()] == proposals
    theft.goes_on()
    # Recovery: a backup, since no subscriber has them.
    assert not holding([theft.site.exports, theft.provider.folder], "no name, no address")
    shutil.copytree(newest / "evidence", lists / "evidence", dirs_exist_ok=True)
    assert theft.faults(expect=0) == []


@stolen("writing `lists/`", "can", "sees")
def test_writing_that_a_notice_was_given(theft: Theft) -> None:
    told = theft.site.folder / "told"
    (script := theft.site.folder / "notify").write_text(f"#!/bin/sh\ncat >> {shlex.quote(str(told))}\n")
    script.chmod(0o755)
    theft.shell("publish", "--notify", script)
    theft.wait()
    theft.list_names("five.example")
    theft.published()
    # Can: keep the office's command from being told.
    current = theft.site.tree.current(LIST)
    record = {"release": current.number, "head": current.head.to_json()}
    (theft.lists / f"{LIST}.notified.json").write_text(json.dumps(record))
    theft.shell("publish", "--notify", script)
    assert not told.exists()
    # Who sees it: a subscriber's pull tells the same, from the acts.
    outcome = theft.provider.pull(theft.site.now)
    assert "five.example" in "\n".join(outcome.notice.lines())
    theft.wait()
    theft.list_names("six.example")
    theft.shell("publish", "--notify", script)
    assert "six.example" in told.read_text()
    assert "five.example" not in told.read_text()


@stolen("writing `lists/`", "can", "sees", "recovery")
@pytest.mark.parametrize(("role", "version"), [("root", 2), ("targets", 2), ("root", 1), ("targets", 1)])
def test_writing_what_the_heads_sign(theft: Theft, role: str, version: int) -> None:
    """A version that the thief signed, or one of the heads' own under a later number."""
    trust = theft.lists / "trust"
    metadata = Metadata.from_file(str(trust / f"1.{role}.json"))
    if version == 2:
        metadata.signed.version = version
        metadata.sign(signer(ed25519.Ed25519PrivateKey.generate()))
    # Can: stop the office.
    (trust / f"2.{role}.json").write_bytes(metadata.to_bytes())
    theft.wait()
    theft.list_names("six.example")
    # Who sees it: `publish`, before anybody is shown what the heads did not sign, and `audit`.
    theft.shell.refused("publish", code=3, message=f"2.{role}.json is not signed by its role")
    assert theft.faults() == [(None, f"{trust}/2.{role}.json is not signed by its role")]
    assert not (theft.site.exports / f"metadata/2.{role}.json").exists()
    # Recovery.
    (trust / f"2.{role}.json").unlink()
    theft.goes_on()


@stolen("one account's cache")
def test_one_accounts_cache(theft: Theft, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, folder = theft.shell, theft.lists / "cache"
    monkeypatch.setattr(replay, "KEEP_AFTER", 0)
    shell("list")
    (path,) = folder.iterdir()
    lying = replay.decode(path.read_bytes())
    domains = lying.register._measures[Scope.DOMAIN]
    domains["lie.example"] = domains["four.example"]
    path.write_bytes(replay.encode(lying))
    # Can: show that officer a false state, on which the officer acts.
    assert "lie.example" in shell("list").stdout
    false = shell.json("--as", "agent-1", "remove", "lie.example", "--reason", "error")["act"]
    # Cannot: mislead others, nor with a file for them. Who sees it: they, `publish`, `audit` and every subscriber.
    shutil.copy(path, folder / f"{LIST}.54321.json")
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: 54321)
        shell.refused("list", code=3, message=f"act {false}: lie.example was never listed")
    shell.refused("publish", code=3, message=f"act {false}: lie.example was never listed")
    assert theft.faults() == [(false, "lie.example was never listed")]
    theft.thief.offer(theft.register(), theft.wait())
    theft.refused(f"act {false}: lie.example was never listed", now=theft.site.now)
    # Recovery: the cache goes, and the account sees it too. Another one sets the act aside, and this one forgets it.
    shutil.rmtree(folder)
    shell.refused("list", code=3, message=f"act {false}: ")
    shell.refused("store", "repair", code=3, message=f"lacks act {false}, which these keys have seen")
    with monkeypatch.context() as other:
        other.setenv("BLOCKLIST_KEYS", str(theft.site.folder / "other-keys"))
        assert [entry["seq"] for entry in shell.json("store", "repair")["acts"]] == [false]
    shutil.rmtree(theft.site.keys.path / "seen")
    theft.goes_on()


# --- The tree, a backup, a subscriber's machine -----------------------------------------------------------------------


@stolen("web server")
def test_a_web_server(theft: Theft, tmp_path: Path) -> None:
    tree = theft.thief.exports
    # Can: read the list and the acts; show the same for ever, or nothing. Who sees it: the subscriber.
    assert holding([tree], "www.three.example")
    assert theft.provider.attempt(theft.scene.at + 12 * HOUR - MINUTE).exit_code == 0
    theft.refused("was valid until", 4, now=theft.scene.at + 12 * HOUR)
    shutil.rmtree(tree / "metadata")
    theft.refused("does not answer as a publisher", 5)
    # Cannot: serve another octet of what counts.
    for name, said in (("timestamp.json", "not genuine"), ("acts.jsonl", "not the file that was signed")):
        theft.back(theft.site.exports)
        for path in tree.rglob(f"*{name}"):
            path.write_bytes(path.read_bytes()[:-9] + b"x" + path.read_bytes()[-8:])
        theft.refused(said, now=theft.site.now)
    # Can: show an older release that is still valid to who has seen no newer one. Cannot: to who has.
    theft.back(theft.scene.first)
    newcomer = theft.newcomer()
    newcomer.pull(theft.site.now, accept="any")
    assert "one.example A " in newcomer.installed()
    theft.back(theft.site.exports)
    theft.accepted(theft.site.now)
    theft.back(theft.scene.first)
    theft.refused("version", now=theft.site.now)
    # Recovery: the tree on another server.
    elsewhere = Path(shutil.copytree(theft.site.exports, tmp_path / "elsewhere"))
    for provider in (theft.provider, newcomer):
        provider.edit(url=elsewhere.as_uri())
        assert provider.pull(theft.site.now).error is None
        assert "four.example A " in provider.installed()


@stolen("an old backup")
def test_an_old_backup(theft: Theft, tmp_path: Path) -> None:
    shell, folder, keys = theft.shell, theft.site.folder, theft.site.keys.path
    KeyFolder(keys, lambda _: b"a passphrase").create("agent-4", ed25519.Ed25519PrivateKey.generate(), encrypt=True)
    theft.list_names("gone.example", note="told once")
    told = len(theft.log()) - 1
    theft.published()
    old = Path(shutil.copytree(folder, tmp_path / "old"))
    theft.wait()
    shell("--as", "head-1", "dossier", "erase", str(told), "--reason", "asked")
    theft.goes_on()
    newest = Path(shutil.copytree(theft.lists, tmp_path / "newest"))
    # Can: know what was in it then, and use what keys lay in it open.
    assert not holding([theft.lists], "told once")
    assert holding([old / "office/lists"], "told once")
    assert KeyFolder(old / "keys", no_passphrase).private("agent-1")
    with pytest.raises(UsageError, match="does not open"):
        KeyFolder(old / "keys", lambda _: b"guessed").private("agent-4")
    # Cannot: be taken for the present. Who sees it: key folders, the publisher, and every subscriber.
    theft.put_back(old / "office/lists")
    shell.refused("list", code=3, message="which these keys have seen")
    shutil.rmtree(keys / "seen")
    shell.refused("publish", code=3, message="of the last release is not in the register")
    theft.monkeypatch.setenv("BLOCKLIST_KEYS", str(old / "keys"))
    theft.wait(7 * HOUR)
    Shell(old, theft.monkeypatch)("publish")
    theft.back(old / "office/exports")
    theft.refused("the register is shorter than it was", now=theft.site.now)
    # Recovery: the newest copy.
    theft.monkeypatch.setenv("BLOCKLIST_KEYS", str(keys))
    theft.put_back(newest)
    theft.goes_on("six.example")


@stolen("provider's machine")
def test_a_providers_machine(theft: Theft, tmp_path: Path) -> None:
    shell, provider = theft.shell, theft.provider
    key = ed25519.Ed25519PrivateKey.generate()
    keys = KeyFolder(provider.folder / "keys", no_passphrase)
    keys.create("isp-one", key, encrypt=False)
    (theft.lists / "providers").mkdir()
    shutil.copy(keys.path / "isp-one.pub", theft.lists / "providers")
    provider.edit(provider="isp-one", receipt_key=keys.path / "isp-one.pem")
    theft.back(theft.site.exports)
    theft.accepted(theft.site.now)
    shell("receipt", "add", provider.list_state.receipt_path)
    genuine = provider.installed()
    # Can: show the list and the acts; change or unload the list there.
    assert holding([provider.folder], "www.three.example")
    (provider.folder / "installed.rpz").write_text(genuine.replace("four.example", "evil.example"))
    # Who sees it: `status`, and the next pull puts it back; whoever asks the resolver from another machine.
    status = shell.json("status", "-c", provider.subscription.path)["lists"][0]
    assert [entry["state"] for entry in status["targets"]] == ["changed", "installed"]
    assert provider.pull(theft.site.now).changed
    assert provider.installed() == genuine
    with closing(Fake(lambda query, _: [landing(query, "203.0.113.9").to_wire()])) as resolver:
        asked = shell.json("check", "--resolver", str(resolver.server), "--rate", "0", expect=1)
    assert asked["counts"]["probe"] == {"not-blocked": 2}
    # Can, with the receipt key, which is there: state what it likes. Cannot: for another provider, or let it count.
    false, log = replace(theft.receipt(), names=0, applied=theft.wait()), theft.log()
    inbox = tmp_path / "receipt.json"
    inbox.write_bytes(receipts.write(replace(false, provider="isp-two"), key))
    shutil.copy(theft.site.keys.path / "agent-1.pub", theft.lists / "providers/isp-two.pub")
    shell.refused("receipt", "add", inbox, code=3, message="is not signed with the key of isp-two")
    inbox.write_bytes(receipts.write(false, key))
    assert shell.json("receipt", "add", inbox)["receipts"][0]["signed"]
    assert theft.log() == log
    # Who sees it: the office, when receipts stop.
    theft.goes_on()
    theft.wait(25 * HOUR)
    late = [told for event in shell.json("show", "five.example")["events"] for told in event["providers"]]
    assert [(told["provider"], told["applied"], told["late"]) for told in late] == [("isp-one", None, True)]
    # Recovery: install anew, with the root that was handed out.
    theft.published()
    again = theft.newcomer()
    again.pull(theft.site.now, accept="any")
    assert again.accepted()["head"]["id"] == theft.log()[-1].id
    assert "four.example A " in again.installed()
