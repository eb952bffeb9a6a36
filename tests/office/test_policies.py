"""`policy` check, show, diff and adopt; what an adoption means; the articles that refusals cite."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.chain import Chain
from kit.fixed import HOUR, LIST, LISTS, START, shipped_files, shipped_policy
from kit.ready_made import ready_made
from kit.site import Site, draft_checksum

from blocklist.base.errors import RefusedError, UsageError
from blocklist.cli.commands import main
from blocklist.names.domain_name import Name, Scope
from blocklist.office import appoint
from blocklist.office.adopt import adopt, in_force, read
from blocklist.register import acts, documents
from blocklist.register.decoders import format_instant
from blocklist.register.policy import ARTICLES, FORMATS, REGIMES, Policy
from blocklist.register.policy_diff import Change, amend, describe_adoption, diff, written, written_duration
from blocklist.register.policy_reader import from_json

OTHER = "mirror-sites"


def changed(**changes: Any) -> Policy:
    return from_json(shipped_policy().to_json() | changes)


def edited(folder: Path, *changes: tuple[str, str], name: str = f"{LIST}.yaml", list_id: str = LIST) -> Path:
    """A policy in a folder of its own, with each text replaced once; returns its file."""
    folder.mkdir(exist_ok=True)
    for file in ("protected.yaml", "platforms.yaml", f"{list_id}.yaml"):
        if not (folder / file).exists():
            shutil.copy(LISTS / file, folder / file)
    for old, new in changes:
        text = (folder / name).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        (folder / name).write_text(text.replace(old, new))
    return folder / f"{list_id}.yaml"


def protecting(folder: Path, *names: str) -> Path:
    """The shipped policy with more protected names."""
    path = edited(folder)
    with (folder / "protected.yaml").open("a") as stream:
        stream.writelines(f"- {name}\n" for name in names)
    return path


def _for_production(folder: Path, now: datetime) -> Site:
    return Site(folder, now, "production")


_FOUND: dict[str, Callable[[Path, datetime], Site]] = {"test": Site, "production": _for_production}


class Office:
    """Runs commands in a workspace with head-1, agent-1 and agent-2."""

    def __init__(self, folder: Path, environment: str = "test") -> None:
        self.site = ready_made(folder, datetime.now(UTC), _FOUND[environment])
        self.folder = folder

    def __call__(self, *words: str | Path, expect: int = 0) -> Result:
        result = CliRunner().invoke(main, ["-C", str(self.site.workspace.path), *map(str, words)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert result.exit_code == expect, result.output
        return result

    def json(self, *words: str | Path) -> Any:
        return json.loads(self("--json", *words).stdout)

    def refused(self, *words: str | Path, code: int, message: str) -> str:
        result = self(*words, expect=code)
        assert re.search(message, result.stderr), result.stderr
        assert result.stdout == ""
        return result.stderr

    def acts(self) -> int:
        with self.site.office() as office:
            return office.register.head.seq


@pytest.fixture(autouse=True)
def nobody_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BLOCKLIST_AS", "BLOCKLIST_PASSPHRASE_FILE", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BLOCKLIST_KEYS", str(tmp_path / "office/keys"))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "office")


# Articles


def test_every_regime_says_where_each_rule_comes_from() -> None:
    for regime in REGIMES.values():
        assert tuple(regime.articles) == ARTICLES
    first = shipped_policy()
    assert {key: first.article(key) for key in ARTICLES} == {
        "request": "LCEN art. 6-1 al. 1",
        "notice": "LCEN art. 6-1 al. 2",
        "identification": "LCEN art. 6-1 al. 2",
        "oversight": "LCEN art. 6-1 al. 3",
        "officers": "décret 2015-125 art. 1",
        "block": "décret 2015-125 art. 3",
        "review": "décret 2015-125 art. 4",
        "remove": "décret 2015-125 art. 4",
    }
    assert {changed(regime="other").article(key) for key in ARTICLES} == {""}
    with pytest.raises(KeyError):
        first.article("penalty")


def test_articles_are_no_part_of_what_is_signed() -> None:
    assert not {"articles", "article"} & shipped_policy().to_json().keys()


# Differences


def test_no_difference() -> None:
    assert diff(shipped_policy(), shipped_policy()) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"review": 56 * 86400}, [Change("review", "12w", "8w")]),
        ({"notice": 2 * 86400}, [Change("notice", "24h", "2d")]),
        ({"ttl": 60}, [Change("ttl", 300, 60)]),
        ({"formats": ["rpz"]}, [Change("formats", list(FORMATS[1:]), [])]),
        ({"formats": [*FORMATS[::-1]]}, [Change("formats", list(FORMATS), [*FORMATS[::-1]])]),
        ({"approvals": {"add": 2, "adopt": 1}}, [Change("approvals.add", 1, 2), Change("approvals.adopt", None, 1)]),
        (
            {"action": {"kind": "nxdomain"}},
            [
                Change("action.kind", "address", "nxdomain"),
                Change("action.a", ["192.0.2.1"], None),
                Change("action.aaaa", ["2001:db8::1"], None),
            ],
        ),
        ({"own": []}, [Change("own", ["exports.blocklist.example"], None)]),
    ],
)
def test_fields_that_differ(changes: dict[str, Any], expected: list[Change]) -> None:
    assert diff(shipped_policy(), changed(**changes)) == expected


def test_protected_names_are_those_that_go_and_those_that_come() -> None:
    old = shipped_policy()
    names = sorted({*old.protected, "new.example"} - {"gouv.fr"})
    (change,) = diff(old, changed(protected=names))
    assert change == Change("protected", ["gouv.fr"], ["new.example"])
    assert list(change.lines()) == ["protected:", "  - gouv.fr", "  + new.example"]


def test_platforms_grounds_and_texts_by_their_keys() -> None:
    value = json.loads(json.dumps(shipped_policy().to_json()))
    value["platforms"]["new.example"] = "host"
    del value["grounds"]["provocation"]
    value["grounds"]["apology"]["asks"][0]["texts"]["en"] = "Which one?"
    value["legal_basis"][3]["checked"] = True
    changes = {change.key: change for change in diff(shipped_policy(), from_json(value))}
    assert changes["platforms.new.example"] == Change("platforms.new.example", None, "host")
    assert changes["grounds.provocation.article"].new is None
    assert changes["grounds.apology.asks.terrorist-act.texts.en"].new == "Which one?"
    (checked,) = [change for key, change in changes.items() if key.startswith("legal_basis.")]
    assert (checked.old, checked.new) == (False, True)
    assert "SREN" in checked.key
    assert list(checked.lines())[1:] == ["  - false", "  + true"]


def test_texts_of_one_reference_are_told_apart_by_their_place() -> None:
    value = json.loads(json.dumps(shipped_policy().to_json()))
    for basis in value["legal_basis"]:
        basis["reference"] = "Code"
    same = from_json(value)
    value["legal_basis"][1]["source"] = "elsewhere"
    assert [change.key for change in diff(same, from_json(value))] == ["legal_basis.1.source"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0h"), (1, "1s"), (90, "90s"), (5400, "90m"), (43200, "12h"), (86400, "24h"), (172800, "2d")),
        *((604800, "1w"), (7257600, "12w"), (88 * 86400, "88d"), (90000, "25h")),
    ],
)
def test_durations_as_people_write_them(seconds: int, text: str) -> None:
    assert written_duration(seconds) == text


def test_the_written_form_has_the_durations_of_the_file() -> None:
    file = yaml.safe_load(shipped_files()[f"{LIST}.yaml"])
    shown = written(shipped_policy())
    assert {key: shown[key] for key in ("notice", "review", "warn", "freshness", "keep", "ttl")} == {
        key: file[key] for key in ("notice", "review", "warn", "freshness", "keep", "ttl")
    }


# What an adoption means


def test_names_that_a_new_policy_withholds_and_releases() -> None:
    chain = Chain()
    chain.block("one.example", "two.example", hosts=["www.three.example"])
    now = chain.tick()
    protecting = changed(protected=sorted({*shipped_policy().protected, "one.example", "three.example"}))
    found = amend(chain.register, protecting, now)
    assert found.withheld == (Name("one.example", Scope.DOMAIN), Name("www.three.example", Scope.HOST))
    assert found.released == ()
    chain.add_act("head-1", acts.Adopt(policy=protecting.to_json(), files={"a.yaml": "0" * 64}, rules=1))
    back = amend(chain.register, shipped_policy(), chain.tick())
    assert (back.withheld, back.released) == ((), found.withheld)
    assert any("2 listed names are no longer protected" in line for line in back.lines())
    lapsed = amend(chain.register, shipped_policy(), now + timedelta(weeks=13))
    assert lapsed.released == ()


def test_additions_that_could_not_be_approved_any_more() -> None:
    chain = Chain()
    chain.propose("one.example")
    provocation = {"provocation": shipped_policy().to_json()["grounds"]["provocation"]}  # type: ignore[index]
    found = amend(chain.register, changed(grounds=provocation), chain.tick())
    assert [seq for seq, _ in found.stuck] == [4]
    assert any("act 4 can then not be approved: apology is not a ground" in line for line in found.lines())
    (seq, why) = amend(chain.register, changed(review=7 * 86400, warn=3600), chain.at).stuck[0]
    assert (seq, "review" in why) == (4, True)
    assert amend(chain.register, changed(ttl=60), chain.at).stuck == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value | {"id": "second"}, f"policy of second, the register is of {LIST}"),
        (lambda value: value | {"regime": "other"}, "never changes: it is lcen-6-1, not other"),
    ],
)
def test_a_list_never_changes_its_id_or_regime(change: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        amend(Chain().register, from_json(change(shipped_policy().to_json())), START)


def test_what_a_second_head_is_shown() -> None:
    chain = Chain()
    chain.block("one.example")
    value = shipped_policy().to_json() | {"review": 7 * 86400, "warn": 3600}
    value["protected"] = sorted({*shipped_policy().protected, "one.example"})
    body = acts.Adopt(policy=value, files={"a.yaml": "0" * 64}, rules=1)
    lines = describe_adoption(chain.register, body, chain.tick())
    assert lines[:2] == ["review: 12w -> 1w", "warn: 2w -> 1h"]
    assert lines[-2:] == ["1 listed name is protected then, and withheld from every release:", "  one.example"]
    same = acts.Adopt(policy=shipped_policy().to_json(), files={"a.yaml": "0" * 64}, rules=1)
    assert describe_adoption(chain.register, same, chain.at) == ["no difference from the policy in force"]


# policy check


def test_check_says_what_it_is_and_warns(office: Office) -> None:
    shown = office("policy", "check", LISTS / f"{LIST}.yaml").stderr
    assert f"{LIST} is a valid policy, regime lcen-6-1" in shown
    assert "review period 12w, notice 24h, a release is valid for 12h" in shown
    assert "warning: 4 texts of law are not checked" in shown
    assert "warning: 192.0.2.1 cannot be reached; 'publish' refuses it in production" in shown
    assert "2001:db8::1" in shown
    members = office.json("policy", "check", LISTS / f"{OTHER}.yaml")
    assert (members["list"], members["regime"], members["notice"]) == (OTHER, "other", 0)
    assert members["documentation_addresses"] == []
    assert sorted(members["files"]) == [f"{OTHER}.yaml", "platforms.yaml", "protected.yaml"]


def test_check_needs_no_register(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["-C", str(tmp_path), "policy", "check", str(LISTS / f"{LIST}.yaml")])
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == []


def test_check_reports_all_faults_of_all_files_at_once(office: Office, tmp_path: Path) -> None:
    path = edited(tmp_path / "new", ("review: 12w", "review: 89d"), ("notice: 24h", "notice: 23h"))
    (path.parent / "platforms.yaml").unlink()
    with (path.parent / "protected.yaml").open("a") as stream:
        stream.write("- GOUV.FR\n")
    shown = office.refused("policy", "check", path, code=2, message="has 4 faults")
    assert "'89d'; allowed: 1h to 88d (décret 2015-125 art. 4: a check at least each quarter)" in shown
    assert "'23h'; allowed: 24h to 30d (LCEN art. 6-1 al. 2: the host has 24 hours to remove)" in shown
    assert "platforms: " in shown
    assert "protected." in shown


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.yaml", "the policy .* cannot be read"),
        ("policy.txt", "cannot be the policy of a list"),
        ("second.yaml", "has 1 fault\n.*second, as the file is called"),
    ],
)
def test_check_of_other_files(name: str, message: str, office: Office, tmp_path: Path) -> None:
    path = edited(tmp_path / "new")
    for copy in ("policy.txt", "second.yaml"):
        shutil.copy(path, path.parent / copy)
    office.refused("policy", "check", path.parent / name, code=2, message=message)


# policy show


def test_show_prints_the_policy_in_force_and_who_adopted_it(office: Office) -> None:
    shown = office("policy", "show").stdout
    assert re.match(r"# in force since 20\d\d-.*, by act 1 of head-1\n", shown)
    value = yaml.safe_load(shown)
    assert (value["review"], value["notice"], value["id"]) == ("12w", "24h", LIST)
    members = office.json("policy", "show")
    assert members["policy"] == json.loads(json.dumps(shipped_policy().to_json()))
    assert (members["act"], members["by"], members["since"]) == (1, "head-1", format_instant(office.site.now))


def test_show_at_an_instant_before_and_after_an_adoption(office: Office, tmp_path: Path) -> None:
    site, founded = office.site, office.site.now
    contents = read(edited(tmp_path / "new", ("review: 12w", "review: 8w")))[1]
    site.now = founded + HOUR
    with site.office("head-1") as opened:
        adopt(opened, contents)
        before, after = in_force(opened, founded + HOUR - timedelta(seconds=1)), in_force(opened, founded + HOUR)
        assert (before.act, before.since, before.policy.review) == (1, founded, 84 * 86400)
        assert (after.act, after.since, after.policy.review) == (4, founded + HOUR, 56 * 86400)
        assert in_force(opened, founded).act == 1
        with pytest.raises(UsageError, match="the register was founded later"):
            in_force(opened, founded - timedelta(seconds=1))


def test_show_before_the_founding_or_at_no_date(office: Office) -> None:
    office.refused("policy", "show", "--at", "2020-01-01", code=2, message="founded later, on 20")
    office.refused("policy", "show", "--at", "yesterday", code=2, message="a date is")
    assert office.json("policy", "show", "--at", "2199-01-01")["act"] == 1


# policy diff


def test_diff_of_the_same_policy(office: Office) -> None:
    result = office("policy", "diff", LISTS / f"{LIST}.yaml")
    assert (result.stdout, result.stderr.strip()) == ("", "no difference from the policy in force")
    assert office.json("policy", "diff", LISTS / f"{LIST}.yaml") == {
        **{"changes": [], "withheld": [], "released": []},
        "stuck": [],
    }


def test_diff_shows_fields_and_names(office: Office, tmp_path: Path) -> None:
    office.site.block("one.example", "two.example")
    path = protecting(tmp_path / "new", "one.example")
    edited(path.parent, ("ttl: 300", "ttl: 60"))
    shown = office("policy", "diff", path).stdout
    assert shown.splitlines() == [
        "ttl: 300 -> 60",
        "protected:",
        "  + one.example",
        "1 listed name is protected then, and withheld from every release:",
        "  one.example",
    ]
    members = office.json("policy", "diff", path)
    assert members["withheld"] == ["one.example"]
    assert members["changes"] == [
        {"key": "ttl", "old": 300, "new": 60},
        {"key": "protected", "old": [], "new": ["one.example"]},
    ]
    assert office.acts() == 5


# policy adopt


def test_adopting_a_policy_that_protects_a_listed_name_withholds_it(office: Office, tmp_path: Path) -> None:
    site = office.site
    site.block("one.example", "two.example")
    site.publish()
    path = protecting(tmp_path / "new", "one.example")
    shown = office("--as", "head-1", "policy", "adopt", path).stderr
    assert "withheld from every release:\n  one.example" in shown
    assert "act 6: the policy is adopted; the next release follows it" in shown
    site.now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    zone = (site.publish(draft_checksum(site)).path / "rpz.zone").read_text()
    assert "two.example" in zone
    assert "one.example CNAME" not in zone
    assert "\none.example" not in zone
    assert office.json("policy", "show")["act"] == 6


def test_adopting_the_same_policy_signs_nothing(office: Office) -> None:
    result = office("--as", "head-1", "policy", "adopt", LISTS / f"{LIST}.yaml")
    assert "no difference from the policy in force; nothing was signed" in result.stderr
    assert office.json("--as", "head-1", "policy", "adopt", LISTS / f"{LIST}.yaml")["act"] is None
    assert office.acts() == 3


def test_adoptions_that_are_refused_change_nothing(office: Office, tmp_path: Path) -> None:
    good = edited(tmp_path / "good", ("ttl: 300", "ttl: 60"))
    regime = edited(tmp_path / "regime", ("regime: lcen-6-1", "regime: other"))
    long = edited(tmp_path / "long", ("review: 12w", "review: 89d"))
    office.refused("policy", "adopt", good, code=2, message="no officer is named")
    office.refused("--as", "agent-1", "policy", "adopt", good, code=2, message="agent-1 is not a head of office")
    office.refused("--as", "head-1", "policy", "adopt", long, code=2, message="décret 2015-125 art. 4")
    office.refused("--as", "head-1", "policy", "adopt", regime, code=2, message="regime of a list never changes")
    office.refused("policy", "diff", regime, code=2, message="regime of a list never changes")
    wrong = LISTS / f"{OTHER}.yaml"
    office.refused("--as", "head-1", "policy", "adopt", wrong, code=2, message=f"is the policy of {OTHER}")
    assert office.acts() == 3


def test_a_terminal_is_asked(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    words = ("--as", "head-1", "policy", "adopt", edited(tmp_path / "new", ("ttl: 300", "ttl: 60")))
    assert "ttl: 300 -> 60\nAdopt this policy?" in office(*words, expect=130).stderr
    assert office.acts() == 3
    office(*words, "--yes")
    assert office.acts() == 4


def test_in_production_another_head_sees_the_difference_and_approves(tmp_path: Path) -> None:
    office = Office(tmp_path / "office", "production")
    public = office.site.keys.create("head-2", ed25519.Ed25519PrivateKey.generate(), encrypt=False)
    with office.site.office("head-1") as opened:
        appoint.appoint(opened, "head-2", "head", public)
    path = edited(tmp_path / "new", ("review: 12w", "review: 8w"))
    members = office.json("--as", "head-1", "policy", "adopt", path)
    assert (members["act"], members["waits"]) == (5, True)
    assert members["changes"] == [{"key": "review", "old": "12w", "new": "8w"}]
    assert office.json("policy", "show")["act"] == 1
    office("--as", "head-1", "approve", "5", expect=1)
    assert "review: 12w -> 8w" in office("--as", "head-2", "approve", "5").stderr
    shown = office.json("policy", "show")
    assert (shown["act"], shown["by"], shown["policy"]["review"]) == (5, "head-1", 56 * 86400)


def test_a_policy_that_another_head_adopted_meanwhile(office: Office, tmp_path: Path) -> None:
    """What was shown is a difference from a policy that is not in force any more."""
    mine = read(edited(tmp_path / "mine", ("ttl: 300", "ttl: 60")))[1]
    theirs = read(edited(tmp_path / "theirs", ("ttl: 300", "ttl: 120")))[1]
    with office.site.office("head-1") as first, office.site.office("head-1") as second:
        adopt(second, theirs)
        with pytest.raises(RefusedError, match="another policy was adopted meanwhile"):
            adopt(first, mine)
    assert office.acts() == 4


def test_what_is_adopted_is_what_was_checked(office: Office, tmp_path: Path) -> None:
    valid, contents = read(edited(tmp_path / "new", ("ttl: 300", "ttl: 60")))
    with office.site.office("head-1") as opened:
        signed = adopt(opened, contents)
    assert isinstance(signed.act.body, acts.Adopt)
    assert from_json(signed.act.body.policy) == valid
    assert signed.act.body.files == documents.digests(contents)


# Several lists on the command line


def test_commands_name_their_list(office: Office) -> None:
    founded = office("init", "--list", OTHER, "--head", "head-x", "--no-passphrase").stderr
    assert f"{OTHER} (test) founded register" in founded
    assert "needs --list" in founded
    office.refused("policy", "show", code=2, message=f"several lists: {LIST}, {OTHER}")
    assert office.json("--list", OTHER, "policy", "show")["policy"]["regime"] == "other"
    assert office.json("policy", "show", "--list", LIST)["policy"]["regime"] == "lcen-6-1"
    office.refused("--list", "third", "policy", "show", code=2, message="has no list third")
    office("--list", OTHER, "publish")
    office("--list", LIST, "publish")
    again = office.json("--list", OTHER, "init", "--head", "head-x", "--no-passphrase")
    assert (again["list"], again["created"]) == (OTHER, False)
    production = ("init", "--list", OTHER, "--environment", "production", "--no-passphrase")
    office.refused(*production, code=2, message="this workspace is of environment test")


def test_an_encrypted_targets_key_is_opened_with_its_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new head's keys get a new passphrase, asked for twice; the heads' key is opened with the one that it has."""
    asked: list[str] = []
    answers = {"the new": "first secret", "the key": "first secret"}

    def prompt(text: str, **_: object) -> str:
        asked.append(text)
        return answers["the key" if "the key targets-" in text else "the new"]

    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    monkeypatch.setenv("BLOCKLIST_KEYS", str(tmp_path / "keys"))

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, ["-C", str(tmp_path / "office"), *words])

    assert run("init").exit_code == 0
    answers["the new"] = "second secret"
    asked.clear()
    assert run("init", "--list", OTHER, "--head", "head-x").exit_code == 0
    assert [text for text in asked if "the key targets-" in text] != []
    assert len(asked) == 4  # the targets key, the new passphrase twice, the new head's key to sign the founding
