"""The documents say what is true: commands parse, tables agree with the code, nothing names a machine."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from kit.docs import DOCS, ROOT, TEXT, blocks, rows, section, ticked
from kit.fixed import LIST, LISTS

import blocklist
from blocklist.cli.commands import MODULES, main
from blocklist.client import subscription
from blocklist.names import guards
from blocklist.register import acts
from blocklist.register.lifecycle import MAY_SIGN

DEMO = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/blocklist demo"


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every call of the program in the documents: where, and the words after the program's name."""
    for name, text in TEXT.items():
        lines = [line for code in blocks(text, "sh") for line in code.splitlines()]
        lines += [line[2:] for code in blocks(text, "console") for line in code.splitlines() if line.startswith("$ ")]
        lines += re.findall(r"(?m)^ExecStart=(.*)$", text) + re.findall(r"(?m)^(?:[\d*/]+ ){5}(.*)$", text)
        for line in lines:
            line = re.sub(r"^sudo -u \w+ ", "", line)
            for part in re.split(r"&&|\|\||[;|]", line):
                words = shlex.split(part, comments=True)
                for place, word in enumerate(words):
                    if Path(word).name == "blocklist" and (word == "blocklist" or word.endswith("bin/blocklist")):
                        yield name, words[place + 1 :]
                        break


COMMAND_LINES = list(command_lines())


def parse(words: list[str]) -> click.Context:
    """Let click read a command line without running anything."""
    context = main.make_context("blocklist", list(words))
    group: click.Group = main
    while True:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, rest, parent=context)
        if not isinstance(command, click.Group):
            return context
        group = command


def verbs(group: click.Group = main, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, those of groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from verbs(command, f"{path}{name} ")
        else:
            yield path + name, command


def test_the_documents_hold_commands() -> None:
    """So that the next test does not pass on nothing."""
    assert len(COMMAND_LINES) > 40
    assert {name for name, _ in COMMAND_LINES} == {
        *("README.md", "agents.md", "heads.md", "oversight.md", "administrators.md", "providers.md"),
        *("lint.md", "runbook.md", "verify.md"),
    }


@pytest.mark.parametrize(
    ("name", "words"), COMMAND_LINES, ids=[f"{name}-{' '.join(words)[:70]}" for name, words in COMMAND_LINES]
)
def test_every_command_in_the_documents_parses(name: str, words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize(
    "words", [["publish", "--force"], ["ad", "x.example"], ["approve", "SEQ"], ["key", "old", "a"]]
)
def test_a_wrong_command_would_be_found(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(words)


def test_every_command_is_documented() -> None:
    named = {" ".join(words[:depth]) for _, words in _without_options() for depth in (1, 2, 3)}
    inline = set(re.findall(r"`(?:blocklist )?([a-z]+(?: [a-z-]+){0,2})`", "\n".join(TEXT.values())))
    assert {name for name, _ in verbs()} - named - inline == set()


def test_the_readme_names_every_command_once_for_each_role() -> None:
    table = section("README.md", "Commands by role")
    for _who, commands in rows(table):
        assert len(ticked(commands)) == len(set(ticked(commands)))
    named = {name for _who, commands in rows(table) for name in ticked(commands)}
    assert named == {name for name, _ in verbs()}


def test_every_option_is_documented() -> None:
    text = "\n".join(TEXT.values())
    missing = [
        f"{name} {parameter.opts[0]}"
        for name, command in verbs()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not any(re.search(rf"{opt}\b", text) for opt in parameter.opts)
    ]
    assert missing == []


def _without_options() -> Iterator[tuple[str, list[str]]]:
    for name, words in COMMAND_LINES:
        rest = list(words)
        while rest and rest[0] in ("-C", "--as", "--store"):
            rest = rest[2:]
        yield name, rest


def test_no_other_command_is_named() -> None:
    for name, text in TEXT.items():
        for command in re.findall(r"`blocklist ([a-z][a-z-]*)", text):
            assert command in MODULES, (name, command)


def test_the_two_commands_of_the_readme() -> None:
    first = list(blocks(TEXT["README.md"], "sh"))[:2]
    assert [code.strip() for code in first] == [DEMO, "tests/run"]
    script = ROOT / "tests/run"
    for path in (script, ROOT / ".ci/run"):
        assert path.stat().st_mode & 0o111
        assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    assert "tests/run" in (ROOT / ".ci/run").read_text()


def test_the_readme_has_the_ten_promises() -> None:
    promises = TEXT["README.md"].split("## What it promises")[1].split("\n## ")[0]
    assert re.findall(r"(?m)^(\d+)\. \*\*", promises) == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    for link in (link for link in links if "://" not in link):
        target, _, anchor = link.partition("#")
        other = path.parent / target if target else path
        assert other.exists(), link
        titles = re.findall(r"(?m)^#+ (.*)$", other.read_text()) if anchor else []
        anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
        assert not anchor or anchor in anchors, link


# Tables that repeat the code


def test_the_kinds_of_acts_are_those_of_the_code() -> None:
    table = TEXT["design.md"].split("Further fields by kind")[1].split("Another act is cited")[0]
    written = {row[0].strip("`"): row for row in rows(table)}
    assert written.keys() == acts.KINDS.keys()
    for kind, (_, signers, said) in written.items():
        assert set(signers.split(", ")) == MAY_SIGN.get(kind, {"head"})
        readers, optional = acts._readers(kind)
        assert [field for field in readers if f"`{field}`" not in said] == []
        assert set(re.findall(r"\[`(\w+)`\]", said)) == optional


def test_what_the_grounds_ask_is_the_shipped_policy() -> None:
    policy = yaml.safe_load((LISTS / f"{LIST}.yaml").read_text())
    written = {row[0].strip("`"): ticked(row[1]) for row in rows(section("agents.md", "What the grounds ask"))}
    assert written == {ground: [ask["id"] for ask in said["asks"]] for ground, said in policy["grounds"].items()}


def test_samples_answer_what_their_ground_asks() -> None:
    policy = yaml.safe_load((LISTS / f"{LIST}.yaml").read_text())
    for _, words in COMMAND_LINES:
        values = parse(words).params
        if "says" in values and not values.get("like"):
            assert [ask["id"] for ask in policy["grounds"][values["ground"]]["asks"]] == list(values["says"])
            assert values["basis"] == "not-removed" or values["evidence"]


def test_every_guard_is_explained() -> None:
    source = Path(guards.__file__).read_text()
    written = {row[0].strip("`") for row in rows(section("agents.md", "Guards"))}
    assert written == set(re.findall(r'(?m)"(unknown-suffix|[a-z]+-[a-z]+|protected|covered)"', source)) & written
    assert len(written) == 7


def test_the_policy_table_is_the_shipped_policy() -> None:
    policy = yaml.safe_load((LISTS / f"{LIST}.yaml").read_text())
    written = {field: row for row in rows(section("heads.md", "Fields of the policy")) for field in ticked(row[0])}
    assert written.keys() == policy.keys()
    for field, value in policy.items():
        shown = ticked(written[field][1])
        if field in ("id", "regime", "notice", "review", "warn", "ttl", "freshness", "keep", "probe"):
            assert shown == [str(value)]
        elif field in ("approvals", "brakes"):
            assert shown == [f"{key}: {entry}" for key, entry in value.items()]
        elif field in ("grounds", "formats", "own"):
            assert shown == list(value)
        elif field == "action":
            assert shown == [value["kind"]]


def test_the_messages_that_are_explained_exist() -> None:
    """Each fixed part of a message in the runbook stands in the code."""
    source = " ".join(path.read_text() for path in Path(blocklist.__file__).parent.rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    for row in rows(section("runbook.md", "Messages")):
        message = row[1].strip("`")
        parts = [part.strip() for part in re.split(r"…|\bN\b|\b20\b|: No space left on device", message)]
        assert [part for part in parts if part and part not in source] == [], message


def test_exit_codes_are_those_of_the_program() -> None:
    from blocklist.base import errors

    classes = [errors.RefusedError, errors.UsageError, errors.VerificationError, errors.StaleError]
    codes = [cls.exit_code for cls in [*classes, errors.UnreachableError, errors.TargetError]]
    assert [row[0] for row in rows(section("providers.md", "Exit codes"))] == ["0", *map(str, codes)]


def test_the_worst_exit_code_is_that_of_the_program() -> None:
    from blocklist.client.install import _SEVERITY

    (order,) = re.findall(r"the worst decides, in this order: ([\d, ]+\d)\.", section("providers.md", "Exit codes"))
    assert order == ", ".join(map(str, _SEVERITY))


def test_the_keys_of_a_subscription_are_explained() -> None:
    written = {key for row in rows(section("providers.md", "The subscription")) for key in ticked(row[0])}
    known = f"{subscription._REQUIRED} {subscription._OPTIONAL}".split()
    assert written == set(known)


def test_every_metric_is_explained_and_alerts_name_no_other() -> None:
    from blocklist.client.status import _METRICS

    text = TEXT["providers.md"].split("\n## Monitoring\n")[1].split("\n## ")[0]
    assert [ticked(row[0])[0] for row in rows(text)] == [f"blocklist_{name}" for name in _METRICS]
    alerts = yaml.safe_load((ROOT / "docs/prometheus/blocklist.rules.yaml").read_text())
    (group,) = alerts["groups"]
    named = {name for rule in group["rules"] for name in re.findall(r"blocklist_\w+", rule["expr"])}
    assert len(group["rules"]) == 5
    assert named <= {f"blocklist_{name}" for name in _METRICS}


# What is to be typed into other programs


SERVER_COMMANDS = {
    *("named-checkzone", "rndc", "unbound-checkconf", "unbound-control", "rec_control"),
    *("dnsmasq", "systemctl", "knotc", "sh"),
}


def test_the_subscription_in_the_guide_is_valid(tmp_path: Path) -> None:
    (text,) = [code for code in blocks(TEXT["providers.md"], "yaml") if code.startswith("url:")]
    read = subscription.parse(text.encode(), tmp_path / "subscription.yaml")
    assert read.environment == "production"
    for code in blocks("\n".join(TEXT.values()), "yaml"):
        for command in re.findall(r'(?m)^ +(?:check|reload): "(.*)"$', code):
            assert shlex.split(command)[0] in SERVER_COMMANDS


# The project speaks of itself alone


def _files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    names = [name for name in listing.stdout.decode().split("\0") if name]
    return [path for name in names if (path := ROOT / name).is_file()] or [
        *DOCS,
        *ROOT.glob("blocklist/**/*.py"),
        *(path for path in ROOT.glob("tests/*") if path.is_file()),
    ]


MACHINES = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + r"home/\w", "/" + "tmp/venv"]))
REGISTRIES = re.compile("|".join(["pypi" + r"\.", "python" + "hosted", "npmjs" + r"\.", "crates" + r"\.io"]))


def test_no_file_names_a_machine_or_a_registry() -> None:
    files = _files()
    assert ROOT / "README.md" in files
    found = []
    for path in files:
        text = path.read_text(errors="replace")
        # Registries are among the names that must never be blocked.
        patterns = [MACHINES] if path.name == "protected.yaml" else [MACHINES, REGISTRIES]
        found += [f"{path}: {match[0]}" for pattern in patterns for match in pattern.finditer(text)]
    assert found == []


def test_samples_use_reserved_names() -> None:
    """Names that the documents ask about, add, show, review or remove as examples are reserved ones (RFC 2606)."""
    checked = 0
    for _, words in COMMAND_LINES:
        values = parse(words).params
        named = [*(values.get("names") or ()), *([values["name"]] if values.get("name") else [])]
        assert [name for name in named if not name.endswith(".example")] == []
        checked += len(named)
    assert checked > 15


def test_the_versions_agree() -> None:
    assert (
        f"## [{blocklist.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
        or "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    )
