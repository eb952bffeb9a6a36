"""The command line: what each command answers, on which stream, with which exit code, and never a traceback."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
from kit.fixed import LIST, LISTS
from kit.shell import SAYS, WHY, Shell
from kit.site import Site

from blocklist.base.errors import TargetError
from blocklist.cli.commands import GROUPS, MODULES, main, read_date

SUBCOMMANDS = {
    "receipt": ["add"],
    "trust": ["show", "threshold", "rotate", "renew", "branch", "sign", "discard"],
    "key": ["new", "attach", "change-passphrase", "list"],
    "officer": ["appoint", "revoke", "list"],
    "policy": ["check", "show", "diff", "adopt"],
    "dossier": ["show", "export", "erase"],
    "store": ["copy", "repair", "restore", "schema"],
}
COMMANDS = [[name, *rest] for name in MODULES for rest in [[], *([sub] for sub in SUBCOMMANDS.get(name, []))]]


def passphrase_file(folder: Path, secret: str) -> dict[str, str]:
    path = folder / f"passphrase-{len(secret)}"
    path.write_text(f"{secret}\n")
    return {"BLOCKLIST_PASSPHRASE_FILE": str(path)}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# Help


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str], empty: Shell) -> None:
    shown = empty(*command, "--help", where=False).stdout
    assert shown.startswith(f"Usage: main {' '.join(command)} ")
    assert shown == empty(*command, "-h", where=False).stdout
    if command[0] not in SUBCOMMANDS or len(command) > 1:
        for option in ("-C DIR", "--as ID", "--list ID", "--store URL", "--lang [en|fr]", "--json"):
            assert option in shown


def test_the_help_groups_every_command_by_who_uses_it(empty: Shell) -> None:
    shown = empty("--help", where=False).stdout
    for title, names in GROUPS.items():
        section = shown.split(f"\n{title}:\n")[1].split("\n\n")[0]
        rows = [line for line in section.splitlines() if line]
        assert [line.split()[0] for line in rows] == list(names)  # one row each: no text is wrapped
        assert not [line for line in rows if line.endswith("...")]


@pytest.mark.parametrize("group", [[], ["key"], ["officer"]])
def test_a_group_without_a_command_shows_its_help(group: list[str], empty: Shell) -> None:
    result = empty(*group, expect=2, where=False)
    assert result.stdout == ""
    assert result.stderr.startswith("Usage:")


def test_version(empty: Shell) -> None:
    assert re.fullmatch(r"blocklist, version \d+\.\d+\.\d+\S*\n", empty("--version", where=False).stdout)


# The main job, once as JSON and once for people


def test_json_of_the_main_job(empty: Shell) -> None:
    run = empty.json
    founded = run("init", "--no-passphrase")
    assert re.fullmatch("[0-9a-f]{64}", founded["register"])
    assert (founded["list"], founded["environment"], founded["head"], founded["created"]) == (
        *(LIST, "test", "head-1"),
        True,
    )
    for number, agent in ((2, "agent-1"), (3, "agent-2")):
        key = run("key", "new", agent, "--no-passphrase")
        assert Path(key["public"]).is_file()
        appointed = run("--as", "head-1", "officer", "appoint", agent, "--role", "agent", "--key", key["public"])
        assert (appointed["act"], appointed["officer"], appointed["waits"]) == (number, agent, False)
    added = run("--as", "agent-1", "add", "Bad.Example.", "www.worse.example", *WHY)
    assert (added["act"], added["names"]) == (4, ["bad.example", "www.worse.example"])
    assert added["scopes"] == {"bad.example": "domain", "www.worse.example": "host"}
    assert [entry["state"] for entry in run("list")["measures"]] == ["pending", "pending"]
    waiting = run("--as", "agent-2", "status")["waiting"]
    assert waiting == [{"act": 4, "kind": "add", "by": "agent-1", "mine": True}]
    approved = run("--as", "agent-2", "approve", "4")
    assert (approved["act"], approved["acts"], approved["names"]) == (5, [5], ["bad.example", "www.worse.example"])
    planned = run("plan")
    assert re.fullmatch("[0-9a-f]{32}", planned["checksum"])
    assert (planned["added"], planned["removed"], planned["lapsed"]) == (["bad.example", "www.worse.example"], [], [])
    published = run("publish")
    assert datetime.strptime(Path(published["path"]).name, "%Y%m%dT%H%M%SZ").replace(
        tzinfo=UTC
    ) == datetime.fromtimestamp(published["release"], UTC)
    assert run("publish") | {"checksum": ""} == published | {"changed": False, "added": [], "checksum": ""}
    _check_provider_json(empty, founded["register"], published["release"])
    _check_later_json(empty)


def _check_provider_json(empty: Shell, register: str, release: int) -> None:
    config = empty.subscribe()
    (pulled,) = empty.json("pull", "-c", config, "--accept")["lists"]
    zone = empty.folder / "isp/rpz.zone"
    assert (pulled["release"], pulled["installed"], pulled["changed"]) == (release, [str(zone)], True)
    assert pulled["added"] == ["bad.example", "www.worse.example"]
    assert "\n*.bad.example A 192.0.2.1\n" in zone.read_text()
    assert empty.json("pull", "-c", config)["lists"][0]["changed"] is False
    sealed = empty.json("verify", empty.release, "--cert", empty.office / "exports/seal.pem")
    assert sealed["names"] is None
    replayed = ("verify", empty.release, "--cert", empty.office / "exports/seal.pem", "--register", register)
    assert empty.json(*replayed)["names"] == 2


def _check_later_json(empty: Shell) -> None:
    run = empty.json
    reviewed = run("--as", "agent-2", "review", "bad.example", "--outcome", "still-unlawful", "--note", "seen")
    assert (reviewed["act"], reviewed["names"]) == (6, ["bad.example"])
    removed = run("--as", "agent-1", "remove", "www.worse.example", "--reason", "lawful")
    assert (removed["act"], removed["names"], removed["scopes"]) == (
        *(7, ["www.worse.example"]),
        {"www.worse.example": "host"},
    )
    assert run("plan")["removed"] == ["www.worse.example"]
    assert [entry["name"] for entry in run("list", "--state", "removed")["measures"]] == ["www.worse.example"]
    shown = run("show", "www.worse.example")
    assert (shown["measures"][0]["state"], shown["measures"][0]["reason"]) == ("removed", "lawful")
    assert [act["kind"] for act in shown["acts"]] == ["add", "approve", "remove"]
    assert [act["act"] for act in run("log")["acts"]] == [1, 2, 3, 4, 5, 6, 7]
    assert [act["act"] for act in run("log", "bad.example")["acts"]] == [4, 5, 6]
    run("--as", "agent-1", "add", "third.example", *WHY)
    assert run("--as", "agent-2", "reject", "8", "--reason", "not public") == {"act": 9, "rejected": 8}
    assert run("--as", "head-1", "officer", "revoke", "agent-2", "--reason", "left") == {
        **{"act": 10, "officer": "agent-2", "waits": False}
    }
    officers = {entry["id"]: entry for entry in run("officer", "list")["officers"]}
    assert officers.keys() == {"head-1", "agent-1", "agent-2"}
    assert officers["agent-1"]["until"] is None
    assert officers["agent-2"]["until"] is not None
    audited = run("audit")
    assert (audited["acts"], audited["faults"]) == (10, [])
    assert audited["head"] == run("log")["acts"][-1]["id"]
    status = run("status")
    assert (status["listed"], status["acts"], status["waiting"]) == (1, 10, [])


def test_text_of_the_main_job_keeps_data_and_messages_apart(empty: Shell) -> None:
    """What a command did is said on standard error; only what was asked for is on standard output."""
    writes: list[tuple[tuple[str | Path, ...], str]] = [
        (("init", "--no-passphrase"), "founded register [0-9a-f]{64}"),
        (("key", "new", "agent-1", "--no-passphrase"), r"fingerprint \w{4}-\w{4}"),
        (("key", "new", "agent-2", "--no-passphrase"), "give .*agent-2.pub to a head"),
        (_appoint("agent-1"), "^act 2: agent-1 is agent"),
        (_appoint("agent-2"), "^act 3: agent-2 is agent"),
        (("--as", "agent-1", "add", "bad.example", *WHY), "act 4: 1 name proposed"),
        (("--as", "agent-2", "approve", "4"), "act 5: act 4 approved; in force with the next release"),
        (("publish",), r"release \d{8}T\d{6}Z published: 1 name; 1 added, 0 removed, 0 lapsed"),
        (("publish",), "nothing is to be published"),
        (("--as", "agent-1", "review", "bad.example", "--outcome", "disappeared"), "act 6: 1 name reviewed"),
        (("--as", "agent-1", "add", "bad.example", *WHY), "act 7"),
        (("--as", "agent-2", "reject", "7", "--reason", "gone"), "act 8: act 7 rejected"),
        (("--as", "head-1", "officer", "revoke", "agent-2", "--reason", "left"), "act 9: agent-2 is revoked"),
    ]
    for args, said in writes:
        result = empty(*args)
        assert result.stdout == "", args
        assert re.search(said, result.stderr), result.stderr
    reads: list[tuple[tuple[str, ...], str]] = [
        (("list",), r"^NAME +SCOPE +STATE +REVIEW BY"),
        (("show", "bad.example"), r"state +removed \(the site has disappeared\)"),
        (("log",), r"\n9 +\S+ \S+ +head-1 +revoke +agent-2"),
        (("status",), "9 acts"),
        (("officer", "list"), "^OFFICER"),
        (("plan",), r"-  bad.example +domain +act \d+: .*\n(?s:.*)0 added, 1 removed, 0 lapsed"),
        (("audit",), "^9 acts checked"),
    ]
    for words, printed in reads:
        assert re.search(printed, empty(*words).stdout), words
    assert "no measure is lapsed" in empty("list", "--state", "lapsed").stderr
    assert "no act is about other.example" in empty("log", "other.example").stderr


def _appoint(agent: str) -> tuple[str, ...]:
    return ("--as", "head-1", "officer", "appoint", agent, "--role", "agent", "--key", f"keys/{agent}.pub")


# Common options


def test_the_workspace_is_named_before_or_after_the_command(listed: Shell) -> None:
    before = listed("-C", listed.office, "list", where=False).stdout
    after = listed("list", "-C", listed.office, where=False).stdout
    assert before == after
    assert "bad.example" in before
    listed.refused("list", where=False, code=2, message="there is no register in")


def test_the_officer_comes_from_the_environment_unless_as_is_given(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOCKLIST_AS", "agent-1")
    shell("add", "bad.example", *WHY)
    shell.refused("approve", "4", code=1, message="agent-1 made act 4 and cannot approve it")
    shell("--as", "agent-2", "approve", "4")
    shell("add", "worse.example", *WHY)
    shell("approve", "6", "--as", "agent-2")
    assert [act["by"] for act in shell.json("log")["acts"]][3:] == ["agent-1", "agent-2", "agent-1", "agent-2"]


def test_output_survives_a_terminal_that_cannot_show_a_character(listed: Shell) -> None:
    listed("--as", "agent-1", "add", "müller.example", *WHY)
    command = [sys.executable, "-m", "blocklist", "-C", str(listed.office)]
    environment = {"PYTHONIOENCODING": "iso8859-5", "BLOCKLIST_KEYS": str(listed.keys)}
    text = subprocess.run([*command, "list"], env=environment, capture_output=True, check=True).stdout
    assert rb"m\xfcller.example" in text
    shown = subprocess.run([*command, "--json", "list"], env=environment, capture_output=True, check=True).stdout
    assert "müller.example" in {entry["unicode"] for entry in json.loads(shown)["measures"]}


def test_a_reader_that_has_left_gets_no_traceback(listed: Shell) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "blocklist", "-C", str(listed.office), "log"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"BLOCKLIST_KEYS": str(listed.keys)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("words", [["log"], ["--json", "list"], ["--help"]])
def test_output_onto_a_full_disk_gets_no_traceback(listed: Shell, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "blocklist", "-C", str(listed.office), *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env={"BLOCKLIST_KEYS": str(listed.keys)},
            text=True,
        )
    assert ended.returncode == TargetError.exit_code
    assert ended.stderr.startswith("blocklist: error: the output cannot be written: No space left on device\n")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["show", "no.test"], 2), (["due"], 0)])
def test_the_exit_code_and_all_output_outlive_the_program(listed: Shell, words: list[str], code: int) -> None:
    """It leaves without giving back its memory, but not before everything is written."""
    command = [sys.executable, "-m", "blocklist", "-C", str(listed.office), *words]
    environment = {"BLOCKLIST_KEYS": str(listed.keys)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    inside = listed(*words, expect=code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (inside.exit_code, inside.stdout, inside.stderr)


# init


def test_init_twice_changes_nothing_and_says_so(empty: Shell) -> None:
    first = empty.json("init", "--no-passphrase")
    before = digests(empty.folder)
    second = empty("init")
    assert "is there already, nothing was changed" in second.stderr
    assert empty.json("init") == first | {"created": False}
    assert {path: digest for path, digest in digests(empty.folder).items() if ".db-" not in path} == before


def test_init_does_not_take_over_an_open_key_unasked(empty: Shell, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("correct horse\n")
    secret = {"BLOCKLIST_PASSPHRASE_FILE": str(tmp_path / "words")}
    empty("key", "new", "head-1", "--no-passphrase")
    message = "the key head-1 in .* has no passphrase\n.*--no-passphrase if it is meant"
    empty.refused("init", code=2, message=message, env=secret)
    empty("init", "--head", "head-2", env=secret)
    assert empty.json("officer", "list")["officers"][0]["id"] == "head-2"


def test_init_with_another_environment_is_refused(shell: Shell) -> None:
    shell.refused("init", "--environment", "production", code=2, message="environment test\n.*test is not production")


def test_init_shows_every_fault_of_a_policy_and_makes_nothing(empty: Shell) -> None:
    lists = empty.office / "lists"
    lists.mkdir(parents=True)
    text = (LISTS / f"{LIST}.yaml").read_text()
    for right, wrong in (("review: 12w", "review: 14w"), ("freshness: 12h", "freshness: 24h"), ("ttl: 300", "tl: 300")):
        assert right in text
        text = text.replace(right, wrong)
    (lists / f"{LIST}.yaml").write_text(text)
    result = empty.refused("init", "--no-passphrase", code=2, message="faults")
    for key in ("review", "freshness", "tl", "ttl"):
        assert re.search(rf"hint: (\S+: )?{key}\b", result.stderr), result.stderr
    assert not (lists / "register.db").exists() or not empty.json("audit", expect=2)
    assert not list(empty.keys.glob("*.pem"))


def test_init_into_a_folder_that_is_a_file(empty: Shell) -> None:
    empty.office.write_text("a file")
    empty.refused("init", "--no-passphrase", code=6, message="could not be written")


def test_production_is_spelled_and_takes_two_heads(empty: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in passphrase_file(empty.folder, "correct horse").items():
        monkeypatch.setenv(name, value)
    assert empty.json("init", "--environment", "production")["environment"] == "production"
    assert sorted(path.name.rsplit("-", 1)[0] for path in empty.keys.glob("*.p12")) == [
        *("head", "root", "seal-authority", "targets"),
    ]
    public = {}
    for officer in ("head-2", "agent-1"):
        public[officer] = empty.json("key", "new", officer, "--no-passphrase")["public"]
    appoint = ("--as", "head-1", "officer", "appoint")
    first = empty.json(*appoint, "head-2", "--role", "head", "--key", public["head-2"])
    second = empty(*appoint, "agent-1", "--role", "agent", "--key", public["agent-1"])
    assert first["waits"] is False
    assert "act 3: waits for another head's approval" in second.stderr
    add = ("--as", "agent-1", "add", "bad.example.com", *WHY)
    empty.refused(*add, code=2, message="agent-1 is not an officer of this register")
    shown = empty("--as", "head-2", "approve", "3").stderr
    assert "by head-1: appoint\n  appointed agent-1 as agent, key " in shown
    assert "warning: heads in office: 2" in empty("status").stdout
    empty.refused("--as", "agent-1", "add", "bad.example", *WHY, code=1, message="unknown-suffix")
    empty(*add)
    empty.refused("publish", code=1, message="the landing address 192.0.2.1 cannot be reached")


def test_a_list_that_is_not_shipped(empty: Shell) -> None:
    empty.refused(
        "init", "--list", "other", "--no-passphrase", code=2, message="other.yaml cannot be read.*\\n.*write one"
    )


# Keys and passphrases


def test_keys_have_a_passphrase_that_a_file_can_give(shell: Shell) -> None:
    right, wrong = passphrase_file(shell.folder, "correct horse"), passphrase_file(shell.folder, "battery")
    shell("key", "new", "agent-3", env=right)
    assert not (shell.keys / "agent-3.pem").exists()
    shell("--as", "head-1", "officer", "appoint", "agent-3", "--role", "agent", "--key", shell.keys / "agent-3.pub")
    add = ("--as", "agent-3", "add", "bad.example", *WHY)
    acts = shell.acts()
    shell.refused(*add, code=2, message="the passphrase does not open the key agent-3", env=wrong)
    shell.refused(*add, code=2, message="the passphrase for the key agent-3 .*no terminal\n.*PASSPHRASE_FILE")
    assert shell.acts() == acts
    shell(*add, env=right)
    shell.terminal()
    shell("--as", "agent-3", "reject", "5", "--reason", "oops", "--yes", input="correct horse\n")


def test_a_new_passphrase_is_asked_for_twice(empty: Shell) -> None:
    empty.terminal()
    empty.refused("key", "new", "agent-1", code=2, message="the two passphrases differ", input="one\ntwo\n")
    assert not list(empty.keys.glob("agent-1.p*[!b]"))  # no private key
    empty("key", "new", "agent-1", input="one\none\n")
    assert (empty.keys / "agent-1.p12").stat().st_mode & 0o777 == 0o600


def test_key_refusals(empty: Shell) -> None:
    empty.refused("key", "new", "agent-1", code=2, message="no terminal\n.*BLOCKLIST_PASSPHRASE_FILE")
    blank = passphrase_file(empty.folder, "")
    empty.refused("key", "new", "agent-1", code=2, message="is empty", env=blank)
    absent = {"BLOCKLIST_PASSPHRASE_FILE": str(empty.folder / "absent")}
    empty.refused("key", "new", "agent-1", code=2, message="the passphrase file .* cannot be read", env=absent)
    empty("key", "new", "agent-1", "--no-passphrase")
    empty.refused("key", "new", "agent-1", "--no-passphrase", code=1, message="never overwritten")


@pytest.mark.parametrize("name", ["Agent", "1st", "root", "a" * 33, "a.b", ""])
def test_an_id_that_is_none_is_a_usage_error(name: str, shell: Shell) -> None:
    key = shell.keys / "agent-1.pub"
    for command in (
        ("key", "new", name, "--no-passphrase"),
        ("--as", "head-1", "officer", "appoint", name, "--role", "agent", "--key", key),
        ("--as", "head-1", "officer", "revoke", name, "--reason", "left"),
        ("init", "--head", name),
        ("init", "--list", name),
    ):
        shell.refused(*command, code=2, message="is not an id")


def test_signing_without_a_usable_key(shell: Shell) -> None:
    add = ("--as", "agent-1", "add", "bad.example", *WHY)
    private = shell.keys / "agent-1.pem"
    private.chmod(0o644)
    shell.refused(*add, code=2, message="can be read by others\n.*chmod 600")
    private.unlink()
    shell.refused(*add, code=2, message="there is no key agent-1 in .*\n.*BLOCKLIST_KEYS")
    private.write_bytes((shell.keys / "agent-2.pem").read_bytes())
    private.chmod(0o600)
    shell.refused(*add, code=3, message="not signed with the key of agent-1")
    assert shell.acts() == 3


def test_publish_needs_the_publishers_keys(listed: Shell) -> None:
    listed("--as", "agent-1", "remove", "bad.example", "--reason", "error")
    (path,) = listed.keys.glob("timestamp-*.pem")
    path.rename(path.with_suffix(".away"))
    listed.refused("publish", code=2, message="there is no key timestamp-")
    path.with_suffix(".away").rename(path)
    listed("publish")


# Refusals


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--as", "nobody", "add", "x.example", *WHY], 2, "nobody is not an officer of this register"),
        (["add", "x.example", *WHY], 2, "no officer is named\n.*--as ID, or set BLOCKLIST_AS"),
        (["--as", "agent-1", "add", "https://x.example/page", *WHY], 2, "it is a URL"),
        (["--as", "agent-1", "add", "192.0.2.7", *WHY], 2, "address"),
        (["--as", "agent-1", "add", "gouv.fr", *WHY], 1, "protected: gouv.fr(.|\n)*refused by the guards"),
        (["--as", "agent-1", "add", "fr", "github.io", *WHY], 2, "'fr'"),
        (["--as", "agent-1", "add", "blogspot.com", *WHY], 1, "private-suffix|shared-platform"),
        (["--as", "agent-1", "add", "probe.blocklist.example", *WHY], 1, "own-infrastructure"),
        (["--as", "agent-1", "add", "x.example", "y.x.example", *WHY], 1, "covered"),
        (["--as", "agent-1", "add", "x.example", "--ground", "none", *WHY[2:]], 1, "choose from apology, provocation"),
        (["--as", "agent-1", "add", "x.example", "--ground", "apology"], 2, "--basis is missing"),
        (["--as", "agent-1", "add", *WHY], 2, "Missing argument 'NAME...'\n.*add --help"),
        (
            ["--as", "agent-1", "add", "x.example", *WHY, "--review-by", "soon"],
            2,
            "a date is 2027-02-14, or an instant",
        ),
        (["--as", "agent-1", "add", "x.example", *WHY, "--review-by", "2020-01-01"], 1, "not within the review period"),
        (["--as", "agent-1", "add", "x.example", *WHY, "--review-by", "2198-01-01"], 1, "décret 2015-125 art. 4"),
        (["--as", "agent-1", "add", "x.example", *WHY, "--evidence", "absent.png"], 2, "evidence absent.png cannot be"),
        (["--as", "agent-1", "approve", "99"], 2, "act 99 does not wait for an approval"),
        (["--as", "agent-1", "approve", "one"], 2, "not a valid integer"),
        (["--as", "agent-1", "reject", "2", "--reason", "no"], 2, "act 2 does not wait"),
        (["--as", "agent-1", "remove", "x.example", "--reason", "lawful"], 2, "x.example was never listed"),
        (["--as", "agent-1", "review", "x.example", "--outcome", "lawful"], 2, "x.example was never listed"),
        (["--as", "agent-1", "officer", "revoke", "agent-2", "--reason", "x"], 1, "agent-1 is agent.* for head"),
        (["--as", "head-1", "officer", "revoke", "head-1", "--reason", "x"], 1, "the only head"),
        (["--as", "head-1", "officer", "revoke", "agent-9", "--reason", "x"], 1, "not an officer in office"),
        (["--as", "head-1", "add", "x.example", *WHY], 1, "head-1 is head; an act add is for agent"),
        (["show", "x.example"], 2, "never asked about, proposed or listed"),
        (["show", "http://x.example"], 2, "it is a URL"),
        (["publish", "--accept", "0" * 32], 1, "the plan is [0-9a-f]{32}, not 0"),
        (["pull"], 2, "subscription.yaml cannot be read"),
        (["pull", "-c", "."], 2, "cannot be read: Is a directory"),
        (["verify", ".", "--cert", "absent.pem"], 2, "SHA256SUMS cannot be read.*\n.*one release"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["list", "--state", "gone"], 2, "'gone' is not one of"),
    ],
)
def test_refusals_change_nothing(words: list[str], code: int, message: str, shell: Shell) -> None:
    shell.refused(*words, code=code, message=message)
    assert shell.acts() == 3


def test_a_basis_that_needs_requests_is_refused(shell: Shell) -> None:
    (shell.folder / "names.txt").write_text("x.example\n")
    words = ("--ground", "apology", "--basis", "not-removed", "--ref", "1", *SAYS)
    for command in (("add", "x.example"), ("import", "names.txt")):
        message = "no open removal request names x.example\n.*LCEN art. 6-1 al. 2"
        shell.refused("--as", "agent-1", *command, *words, code=1, message=message)


def test_a_name_that_is_listed_cannot_be_added_again(listed: Shell) -> None:
    listed.refused("--as", "agent-1", "add", "BAD.example", *WHY, code=1, message="listed already")
    listed("--as", "agent-1", "remove", "bad.example", "--reason", "annulled")
    listed("--as", "agent-1", "add", "bad.example", *WHY)
    listed.refused("--as", "agent-2", "approve", "7", code=1, message="annulled\n.*by a head")
    listed("--as", "head-1", "approve", "7")


def test_an_author_cannot_approve(shell: Shell) -> None:
    shell("--as", "agent-1", "add", "bad.example", *WHY)
    shell.refused("--as", "agent-1", "approve", "4", code=1, message="cannot approve it\n.*two people")
    assert "nothing waits for you" in shell("--as", "agent-1", "approve").stderr
    assert shell.acts() == 4


def test_a_key_belongs_to_one_officer(shell: Shell) -> None:
    key = shell.keys / "agent-1.pub"
    appoint = ("--as", "head-1", "officer", "appoint", "agent-3", "--role", "agent", "--key")
    shell.refused(*appoint, key, code=1, message="the key of agent-3 belongs to agent-1")
    shell.refused(*appoint, shell.keys / "absent.pub", code=2, message="the public key .* cannot be read")
    shell.refused(*appoint, LISTS / "protected.yaml", code=2, message="no public key in PEM form")


@pytest.mark.parametrize("command", [["list"], ["status"], ["audit"], ["plan"], ["publish"], ["--as", "a", "approve"]])
def test_a_workspace_that_is_not_initialised(command: list[str], empty: Shell) -> None:
    empty.refused(*command, code=2, message="there is no register in .*\n.*blocklist init")
    assert not empty.office.exists()


def test_a_register_that_lost_acts_is_refused(listed: Shell, tmp_path: Path) -> None:
    with closing(sqlite3.connect(listed.office / "lists/register.db")) as database, database:
        database.execute("DROP TRIGGER acts_delete")
        database.execute("DELETE FROM acts WHERE seq > 3")
    for command in (("list",), ("publish",), ("--as", "agent-1", "add", "x.example", *WHY)):
        listed.refused(*command, code=3, message="act 5")
    result = listed("--json", "audit", expect=3)
    assert 5 in [fault["act"] for fault in json.loads(result.stdout)["faults"]]
    # Its release, a dossier of no act, and the trigger that is gone.
    assert "blocklist: error: 2 faults in the register" in result.stderr


def test_audit_finds_a_dropped_act_and_goes_on(listed: Shell) -> None:
    with closing(sqlite3.connect(listed.office / "lists/register.db")) as database, database:
        database.execute("DROP TRIGGER acts_delete")
        database.execute("DELETE FROM acts WHERE seq = 3")
    result = listed("audit", expect=3)
    assert re.search("act 3: it does not follow act 2|act 4: it does not follow act 2", result.stdout)
    assert "blocklist: error:" in result.stderr


# Dates


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2027-03-27", "2027-03-27T23:00:00+00:00"),
        ("2027-03-28", "2027-03-28T22:00:00+00:00"),  # summer time began in the night
        ("2027-10-30", "2027-10-30T22:00:00+00:00"),
        ("2027-10-31", "2027-10-31T23:00:00+00:00"),  # and ended
        ("2027-02-14T12:00:01Z", "2027-02-14T12:00:01+00:00"),
        ("2028-02-29", "2028-02-29T23:00:00+00:00"),
    ],
)
def test_a_date_is_the_end_of_a_day_in_paris_or_an_instant_in_utc(text: str, instant: str) -> None:
    found = read_date(*_parameter(), text)
    assert found is not None
    assert found.isoformat() == instant


@pytest.mark.parametrize(
    "text", ["2027-02-29", "14/02/2027", "2027-02-14T12:00:00", "2027-02-14T12:00:00+01:00", "20270214", "", "tomorrow"]
)
def test_other_dates_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="a date is 2027-02-14"):
        read_date(*_parameter(), text)


def _parameter() -> tuple[click.Context, click.Parameter]:
    return click.Context(main), main.params[0]


def test_what_is_signed_for_a_date_is_its_instant(shell: Shell) -> None:
    day = datetime.now(UTC).date() + timedelta(days=20)
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), ZoneInfo("Europe/Paris"))
    shell("--as", "agent-1", "add", "bad.example", *WHY, "--review-by", day.isoformat())
    (entry,) = shell.json("list")["measures"]
    assert entry["review_by"] == f"{midnight.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    shell("--as", "agent-2", "approve", "4")
    shell("--as", "agent-1", "review", "bad.example", "--outcome", "still-unlawful", "--review-by", f"{day}T12:34:56Z")
    assert shell.json("list")["measures"][0]["review_by"] == f"{day}T12:34:56Z"
    assert date.fromisoformat(shell.json("list")["measures"][0]["review_by"][:10]) == day


# Asking on a terminal


def test_a_terminal_is_asked_before_anything_is_signed(shell: Shell) -> None:
    shell.terminal()
    add = ("--as", "agent-1", "add", "www.bad.example", *WHY)
    result = shell.refused(*add, code=130, message="nothing was changed", input="n\n")
    assert "www.bad.example only; bad.example and other names below it stay reachable" in result.stderr
    assert shell.acts() == 3
    shell(*add, input="y\n")
    shell("--as", "agent-1", "add", "worse.example", *WHY, "--yes")
    assert shell.acts() == 5
    result = shell("--as", "agent-2", "approve", input="y\nn\n")
    assert "Approve act 4?" in result.stderr
    assert "Approve act 5?" in result.stderr
    assert [entry["act"] for entry in shell.json("status")["waiting"]] == [5]


def test_approve_without_numbers_needs_a_terminal_or_yes(shell: Shell) -> None:
    for name in ("bad.example", "worse.example"):
        shell("--as", "agent-1", "add", name, *WHY)
    shell.refused("--as", "agent-2", "approve", code=2, message="no terminal to ask about .*: 4, 5")
    approved = shell.json("--as", "agent-2", "approve", "--yes")
    assert (approved["acts"], approved["names"]) == ([6, 7], ["bad.example", "worse.example"])


def test_approvals_are_signed_together_or_not_at_all(shell: Shell) -> None:
    shell("--as", "agent-1", "add", "www.bad.example", "worse.example", *WHY)
    shell("--as", "agent-1", "add", "bad.example", *WHY)
    shell("--as", "agent-1", "add", "third.example", *WHY)
    refused = shell.refused("--as", "agent-2", "approve", "4", "5", "6", code=1, message="1 name is refused")
    assert "www.bad.example is covered by bad.example" in refused.stderr
    assert shell.acts() == 6
    assert shell.json("--as", "agent-2", "approve", "4", "6", "4")["acts"] == [7, 8]


@pytest.mark.parametrize("date", ["9999-12-31", "0001-01-01", "2027-W06-7", "2027-02-30", "tomorrow"])
def test_a_date_that_is_none_is_a_usage_error(shell: Shell, date: str) -> None:
    shell.refused("--as", "agent-1", "add", "bad.example", *WHY, "--review-by", date, code=2, message="a date is 2027")


def test_a_passphrase_that_is_no_text_is_a_usage_error(empty: Shell, tmp_path: Path) -> None:
    (tmp_path / "words").write_bytes(b"pass\xe9word\n")
    secret = {"BLOCKLIST_PASSPHRASE_FILE": str(tmp_path / "words")}
    empty.refused("key", "new", "agent-9", code=2, message="is not text in UTF-8", env=secret)


def test_a_lost_register_is_not_founded_anew(listed: Shell) -> None:
    (listed.office / "lists/register.db").unlink()
    listed.refused("publish", code=2, message="there is no register in .*\n.*newest backup")
    listed.refused("init", "--no-passphrase", code=3, message="the register of .* is gone\n.*newest backup")


@pytest.mark.parametrize(
    "lost", ["targets", "metadata/1.root.json", "seal.pem", LIST, "targets/registers", f"{LIST}/latest"]
)
def test_a_damaged_tree_is_found_and_mended(listed: Shell, lost: str) -> None:
    tree, config = listed.office / "exports", listed.subscribe()
    root = (tree / "metadata/1.root.json").read_bytes()
    listed("pull", "-c", config, "--accept")
    shutil.rmtree(tree / lost) if (tree / lost).is_dir() else (tree / lost).unlink()
    faults = listed.json("audit", expect=3)["faults"]
    assert any(lost in fault["message"] for fault in faults)
    listed("publish")
    assert listed.json("audit")["faults"] == []
    assert (tree / "metadata/1.root.json").read_bytes() == root
    listed("pull", "-c", config)


def test_an_emptied_tree_gets_no_new_root(listed: Shell) -> None:
    tree, config = listed.office / "exports", listed.subscribe()
    root = (tree / "metadata/1.root.json").read_bytes()
    listed("pull", "-c", config, "--accept")
    shutil.rmtree(tree)
    listed("init", "--no-passphrase")
    listed("publish")
    assert (tree / "metadata/1.root.json").read_bytes() == root
    listed("pull", "-c", config)


# import


@pytest.mark.parametrize(
    ("content", "format_id"),
    [
        ("one.example\n# a remark\nhttps://two.example/x\nthree.example\n", "names"),
        ("0.0.0.0 one.example\n\n0.0.0.0 two.example/x\n0.0.0.0 three.example\n", "hosts"),
        ("domain;since\none.example;1\ntwo.example/x;2\nthree.example;3\n", "csv"),
        ("- one.example\n\n- two.example/x\n- three.example\n", "yaml"),
    ],
)
def test_import_reports_every_refused_line(content: str, format_id: str, shell: Shell) -> None:
    path = shell.folder / "names"
    path.write_text(content)
    command = ("--as", "agent-1", "import", path, *WHY)
    result = shell.refused(*command, code=1, message="1 of 3 names in .* are refused, nothing was signed")
    assert "line 3: " in result.stderr
    assert shell.json(*command, expect=1)["acts"] == []
    assert shell.acts() == 3
    imported = shell.json(*command, "--skip-refused", "--format", format_id)
    (refused,) = imported["refused"]
    assert imported["acts"] == [4]
    assert refused["line"] == 3
    assert "two.example" in refused["name"]
    assert refused["reason"]
    assert [entry["name"] for entry in shell.json("list")["measures"]] == ["one.example", "three.example"]


def test_import_of_a_file_that_is_not_there(shell: Shell) -> None:
    shell.refused("--as", "agent-1", "import", "absent", *WHY, code=2, message="the file absent cannot be read")


# Brakes, at the office and at the provider


@pytest.fixture
def many(listed: Shell) -> Iterator[tuple[Shell, Path]]:
    """bad.example installed at a provider; 21 more names approved, not published."""
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    names = listed.folder / "names.txt"
    names.write_text("".join(f"site-{number}.example\n" for number in range(21)))
    listed("--as", "agent-1", "import", names, *WHY)
    listed("--as", "agent-2", "approve", "6")
    yield listed, config


def test_brakes_stop_a_mass_addition_twice(many: tuple[Shell, Path]) -> None:
    shell, config = many
    assert "braked: 21 names are added, more than 20" in shell("plan").stderr
    planned = shell.json("plan")
    assert planned["braked"]
    refused = shell("publish", expect=1)
    assert "21 names are added, more than 20" in refused.stderr
    assert f"blocklist publish --accept {planned['checksum']}" in refused.stderr
    assert "+ site-0.example (domain) added" in refused.stdout
    assert json.loads(shell("--json", "publish", expect=1).stdout)["checksum"] == planned["checksum"]
    shell("publish", "--accept", planned["checksum"])
    zone = (shell.folder / "isp/rpz.zone").read_bytes()
    braked = shell("pull", "-c", config, expect=1)
    assert "+ site-0.example (domain) added" in braked.stdout
    assert (shell.folder / "isp/rpz.zone").read_bytes() == zone
    (told,) = json.loads(shell("--json", "pull", "-c", config, expect=1).stdout)["lists"]
    assert (len(told["added"]), told["exit_code"], told["changed"]) == (21, 1, False)
    shell("pull", "-c", config, "--accept", expect=1)  # a bare --accept is for first pulls only
    match = re.search("--accept ([0-9a-f]{32})", braked.stderr)
    assert match is not None
    assert shell.json("pull", "-c", config, "--accept", match[1])["lists"][0]["changed"] is True


def test_names_that_a_provider_never_blocks(listed: Shell) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    _rewrite(config, "never_block", "[worse.example]")
    listed("--as", "agent-1", "add", "www.worse.example", *WHY)
    listed("--as", "agent-2", "approve", "6")
    listed("publish")
    result = listed("pull", "-c", config, expect=1)
    assert "www.worse.example must never be blocked here" in result.stderr


# The provider


def test_a_first_pull_asks(listed: Shell) -> None:
    config = listed.subscribe()
    zone = listed.folder / "isp/rpz.zone"
    refused = listed("pull", "-c", config, expect=1)
    assert re.search("a first pull needs your word; names to install: 1\n.*pull --accept", refused.stderr)
    assert "+ bad.example (domain) added" in refused.stdout
    listed.terminal()
    listed("pull", "-c", config, input="n\n", expect=1)
    assert not zone.exists()
    shown = listed("pull", "-c", config, input="y\n").stdout
    assert "+ bad.example (domain) added" in shown
    assert zone.exists()


def test_a_target_that_somebody_else_wrote(listed: Shell) -> None:
    config = listed.subscribe()
    zone = listed.folder / "isp/rpz.zone"
    zone.write_text("; mine\n")
    result = listed("pull", "-c", config, "--accept", expect=1)
    assert re.search("was not written by this program\n.*--adopt", result.stderr)
    assert zone.read_text() == "; mine\n"
    listed("pull", "-c", config, "--accept", "--adopt")
    assert zone.with_name("rpz.zone.previous").read_text() == "; mine\n"


def test_targets_that_cannot_be_changed(listed: Shell) -> None:
    folder = listed.folder / "isp"
    config = listed.subscribe("--to", f"rpz={folder}/absent/rpz.zone", "--to", f"hosts={folder}/hosts")
    result = listed("pull", "-c", config, "--accept", expect=6)
    assert "absent" in result.stderr
    assert (folder / "hosts").exists()  # one target's failure never holds the others
    other = listed.subscribe("--to", f"rpz={folder}/rpz.zone", "--reload", "false", name="second.yaml")
    result = listed("pull", "-c", other, "--accept", expect=6)
    assert "false exited with 1" in result.stderr
    assert not (folder / "rpz.zone").exists()


def test_a_check_command_that_says_no(listed: Shell) -> None:
    config = listed.subscribe()
    config.write_text(re.sub(r"(      path: .*)", r'\1\n      check: "grep -q never {file}"', config.read_text()))
    result = listed("pull", "-c", config, "--accept", expect=1)
    assert re.search(r"the check of .*rpz.zone failed: grep exited with 1\n.*the installed file stays", result.stderr)


def test_subscribe_refusals(listed: Shell) -> None:
    root = listed.office / "exports/metadata/1.root.json"
    to = ("--to", f"rpz={listed.folder}/rpz.zone")
    words: list[tuple[tuple[str | Path, ...], str]] = [
        (("http://x.example/", "--root", root, *to), "url: 'http://x.example/'; allowed: https://HOST"),
        (("https://x.example/", "--root", "absent", *to), "the root absent cannot be read"),
        (("https://x.example/", "--root", root, "--to", "rpz"), "'rpz' is not FORMAT=PATH"),
        (("https://x.example/", "--root", root, "--to", "bind=/x"), "0.format: 'bind'; allowed: csv, dnsmasq"),
        (("https://x.example/", "--root", root, *to, *to), "one path twice"),
    ]
    for args, message in words:
        listed.refused("subscribe", *args, "--list", LIST, code=2, message=message)
    config = listed.subscribe()
    listed.refused("subscribe", "https://x.example/", "--root", root, *to, "--list", LIST, "-o", config,
                   code=2, message="exists\n.*choose another file")  # fmt: skip


def test_a_subscription_shows_all_its_faults(empty: Shell) -> None:
    path = empty.folder / "subscription.yaml"
    path.write_text("url: ftp://x.example\nenvironment: testing\nroot: 12\nlists: {X: []}\nmore: 1\n")
    result = empty.refused("pull", "-c", path, code=2, message="has 6 faults")
    for key in ("url", "lists.X", "environment", "root", "more"):
        assert re.search(rf"^blocklist: hint: {key}: ", result.stderr, re.MULTILINE)
    path.write_text("url: [")
    empty.refused("pull", "-c", path, code=2, message="subscription.yaml")


def _rewrite(config: Path, key: str, value: str) -> None:
    text, count = re.subn(rf"(?m)^{key}: .*$", f"{key}: {value}", config.read_text())
    assert count == 1
    config.write_text(text)


def _to_other_root(shell: Shell, config: Path) -> None:
    other = Site(shell.folder / "other", datetime.now(UTC))
    other.publish()
    _rewrite(config, "url", other.exports.as_uri())


def _to_production(_: Shell, config: Path) -> None:
    _rewrite(config, "environment", "production")


def _to_other_list(_: Shell, config: Path) -> None:
    config.write_text(config.read_text().replace(f'"{LIST}":', "other:"))


def _to_nobody(_: Shell, config: Path) -> None:
    _rewrite(config, "url", "https://127.0.0.1:1/")


def _to_changed_root(_: Shell, config: Path) -> None:
    root = config.with_name("subscription.state") / "root.json"
    root.write_bytes(root.read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (_to_other_root, 3, "not genuine"),
        (_to_production, 3, "test is not production"),
        (_to_other_list, 2, "publishes no other/acts.jsonl"),
        (_to_nobody, 5, "https://127.0.0.1:1/metadata/2.root.json does not answer"),
        (_to_changed_root, 3, "is not the root that"),
    ],
)
def test_a_pull_from_elsewhere(change: Callable[[Shell, Path], None], code: int, message: str, listed: Shell) -> None:
    config = listed.subscribe()
    listed("pull", "-c", config, "--accept")
    before = (listed.folder / "isp/rpz.zone").read_bytes()
    change(listed, config)
    listed.refused("pull", "-c", config, "--accept", code=code, message=message)
    assert (listed.folder / "isp/rpz.zone").read_bytes() == before


def test_a_stale_release(empty: Shell) -> None:
    site = Site(empty.folder, datetime.now(UTC) - timedelta(hours=13))
    site.block("bad.example")
    site.publish()
    assert "warning: the last release is stale since" in empty("status").stdout
    config = empty.subscribe()
    empty.refused("pull", "-c", config, "--accept", code=4, message="no longer valid")
    verify = ("verify", empty.release, "--cert", empty.office / "exports/seal.pem")
    empty.refused(*verify, code=4, message="is genuine, and its validity ended at")
    empty("publish")
    empty("pull", "-c", config, "--accept")


def test_verify(listed: Shell) -> None:
    certificate = listed.office / "exports/seal.pem"
    register = listed.json("audit")["register"]
    verify = ("verify", listed.release, "--cert", certificate)
    result = listed(*verify)
    assert result.stdout == ""
    assert "seal only" in result.stderr
    assert "1 name, two officers signed for it" in listed(*verify, "--register", register).stderr
    listed.refused(*verify, "--register", "0" * 64, code=3, message="the acts are those of register")
    (listed.release / "hosts.txt").unlink()
    assert "not here, so not checked: hosts.txt" in listed(*verify).stderr
    listed.refused(*verify, "--register", register, code=2, message="hosts.txt is missing")
    zone = listed.release / "rpz.zone"
    zone.write_bytes(zone.read_bytes().replace(b"bad", b"sad"))
    listed.refused(*verify, code=3, message="rpz.zone is not the file that was sealed")
    other = Site(listed.folder / "other", datetime.now(UTC))
    listed.refused(*verify[:2], "--cert", other.exports / "seal.pem", code=3, message=".")


# Looking


def test_lapsing_names_are_announced(listed: Shell) -> None:
    soon = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    listed("--as", "agent-1", "review", "bad.example", "--outcome", "still-unlawful", "--review-by", soon)
    shown = listed("status").stdout
    assert "1 name listed, 1 to be reviewed soon" in shown
    assert "blocklist review bad.example" in shown
    assert [entry["name"] for entry in listed.json("status")["lapsing"]] == ["bad.example"]


def test_many_names_are_cut_short_on_the_screen_only(many: tuple[Shell, Path]) -> None:
    shell, _ = many
    names = [f"other-{number}.example" for number in range(51)]
    shown = shell("--as", "agent-1", "add", *names, *WHY).stderr
    assert "  other-29.example and every" in shown
    assert "  other-30.example and every" not in shown
    assert "  … and 21 more names" in shown
    shell("--as", "agent-2", "approve", "8")
    assert "… and 22 more" in shell("publish", expect=1).stdout
    assert len(shell.json("plan")["added"]) == 72
    assert "site-0.example, site-1.example, site-10.example and 18 more" in " ".join(shell("log").stdout.split())
    assert len(shell.json("list")["measures"]) == 73
