"""The systemd units of the guide: systemd understands every line of them, and they give the program little power."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import RawConfigParser
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from kit.nginx import DOCS
from kit.provider import Provider
from kit.site import Site

from blocklist.cli.commands import main

UNITS = DOCS / "systemd"
SERVICE, TIMER, METRICS = "blocklist-pull.service", "blocklist-pull.timer", "metrics.conf"
PUBLISH, PUBLISH_TIMER = "blocklist-publish.service", "blocklist-publish.timer"
PROGRAM = "/opt/blocklist/bin/blocklist"


def analyze(*words: object) -> str:
    """All that `systemd-analyze` prints."""
    command = ["systemd-analyze", "--no-pager", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout + (f"exit {done.returncode}" if done.returncode else "")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units where systemd looks for them. Of their text only the path of the program is another: it is a stub."""
    program = tmp_path / "blocklist"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    folder = tmp_path / "units"
    for name in (SERVICE, TIMER, METRICS, PUBLISH, PUBLISH_TIMER):
        text = (UNITS / name).read_text(encoding="utf-8")
        path = folder / text.splitlines()[0].removeprefix("# /etc/systemd/system/")
        path.parent.mkdir(parents=True, exist_ok=True)
        assert PROGRAM in text or name.endswith(".timer")
        path.write_text(text.replace(PROGRAM, str(program)), encoding="utf-8")
    return folder


def test_systemd_has_nothing_to_say(installed: Path) -> None:
    assert analyze("verify", *(installed / name for name in (SERVICE, TIMER, PUBLISH, PUBLISH_TIMER))) == ""


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        (SERVICE, "NoNewPrivilege=yes", "Unknown key 'NoNewPrivilege'"),
        (SERVICE, "SystemCallFilter=@nonsense", "Unknown system call group"),
        (SERVICE, "RestrictAddressFamilies=AF_NONSENSE", "address family"),
        (TIMER, "OnCalendar=now and then", "calendar"),
        (f"{SERVICE}.d/{METRICS}", "ReadWritePath=/var/lib", "Unknown key 'ReadWritePath'"),
        (f"{SERVICE}.d/{METRICS}", "ReadWritePaths=var", "path is not absolute"),
    ],
)
def test_a_fault_would_be_said(installed: Path, name: str, line: str, said: str) -> None:
    path = installed / name
    section = "[Timer]" if name == TIMER else "[Service]"
    path.write_text(path.read_text().replace(f"{section}\n", f"{section}\n{line}\n"))
    assert said in analyze("verify", installed / name.split(".d/")[0])


def test_a_program_that_is_not_there_would_be_said() -> None:
    assert f"{PROGRAM} is not executable" in analyze("verify", UNITS / SERVICE)


@pytest.mark.parametrize("name", [SERVICE, PUBLISH])
def test_the_sandbox_leaves_little(installed: Path, name: str) -> None:
    """On the scale of systemd 0 is nothing and 10 is all. What is left is the network, and the account's own files."""
    said = analyze("security", "--offline=true", "--threshold=29", installed / name)
    exposure = float(re.findall(r"Overall exposure level for \S+: ([\d.]+)", said)[0])
    assert exposure < 3.0
    assert "exit" not in said
    open_to_all = installed / "open.service"
    open_to_all.write_text(f"[Service]\nType=oneshot\nExecStart={PROGRAM}\n")
    assert "exit 1" in analyze("security", "--offline=true", "--threshold=29", open_to_all)


# systemd tells nobody when a setting of a sandbox is not there, so what the guide promises is looked for.
PROMISED = {
    "Type": "oneshot",
    "User": "blocklist",
    "UMask": "0077",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "CapabilityBoundingSet": "",
    "SystemCallFilter": "@system-service",
    "MemoryDenyWriteExecute": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    "ReadWritePaths": "/var/lib/bind/blocklist",
    "StateDirectory": "blocklist",
}


def settings(name: str, section: str) -> dict[str, str]:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name, encoding="utf-8")
    return dict(parser[section])


def test_the_settings_that_the_guide_speaks_of() -> None:
    service, timer = settings(SERVICE, "Service"), settings(TIMER, "Timer")
    assert {key: service.get(key) for key in PROMISED} == PROMISED
    assert "SuccessExitStatus" not in service  # a pull that failed is a unit that failed
    assert service["TimeoutStartSec"] == "20min"
    assert (timer["OnCalendar"], timer["Persistent"]) == ("*:0/15", "yes")
    assert "RandomizedDelaySec" in timer


def test_the_calendar_means_every_quarter_of_an_hour() -> None:
    shown = analyze(
        "calendar", "--iterations=5", "--base-time=2026-11-22 12:00:00 UTC", settings(TIMER, "Timer")["OnCalendar"]
    )
    assert re.findall(r"12:\d\d:00|13:\d\d:00", shown)[-4:] != []
    assert sorted({int(minute) for minute in re.findall(r"\d\d:(\d\d):00 UTC", shown)}) == [0, 15, 30, 45]


def test_the_publisher_reads_no_dossier_and_changes_no_root() -> None:
    service = settings(PUBLISH, "Service")
    assert service["InaccessiblePaths"].split() == [
        "-/srv/blocklist/lists/evidence",
        "-/srv/blocklist/lists/dossiers.db",
    ]
    assert service["ReadOnlyPaths"] == "-/srv/blocklist/lists/trust"
    assert (service["User"], service["ProtectSystem"], service["NoNewPrivileges"]) == ("publisher", "strict", "yes")
    assert settings(PUBLISH_TIMER, "Timer")["OnCalendar"] == "*:0/5"


@pytest.mark.parametrize("name", [SERVICE, METRICS])
def test_the_command_is_one_of_the_program(name: str) -> None:
    program, *words = settings(name, "Service")["ExecStart"].split()
    assert program == PROGRAM
    context = main.make_context("blocklist", words)
    verb, command, rest = main.resolve_command(context, [*context._protected_args, *context.args])
    assert verb == "pull"
    assert isinstance(command, click.Command)
    said = command.make_context("pull", rest, parent=context).params
    assert str(said["config"]) == "/var/lib/blocklist/subscription.yaml"
    assert settings(SERVICE, "Service")["ReadOnlyPaths"] == f"-{said['config']}"
    if name == METRICS:
        assert Path(settings(name, "Service")["ReadWritePaths"]) == said["metrics"].parent


UNDER_THE_RULE = """
import ctypes, mmap, platform, runpy, struct, sys
mmap_number, mprotect_number = {"x86_64": (9, 10), "aarch64": (222, 226)}[platform.machine()]
LOAD, AND, IS, RETURN = 0x20, 0x54, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050001
lines = [
    (LOAD, 0, 0, 0), (IS, 1, 0, mmap_number), (IS, 4, 8, mprotect_number),
    (LOAD, 0, 0, 32), (AND, 0, 0, mmap.PROT_WRITE | mmap.PROT_EXEC),
    (IS, 4, 0, mmap.PROT_WRITE | mmap.PROT_EXEC), (RETURN, 0, 0, ALLOW),
    (LOAD, 0, 0, 32), (AND, 0, 0, mmap.PROT_EXEC), (IS, 0, 1, mmap.PROT_EXEC),
    (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW),
]
code = b"".join(struct.pack("HBBI", *line) for line in lines)
kept = ctypes.create_string_buffer(code, len(code))
program = struct.pack("HxxxxxxP", len(lines), ctypes.addressof(kept))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
assert libc.prctl(22, 2, program) == 0, ctypes.get_errno()  # seccomp with a filter
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    print("the rule holds")
sys.argv[0] = "blocklist"
runpy.run_module("blocklist", run_name="__main__", alter_sys=True)
"""


def test_a_pull_works_without_memory_that_is_both_written_and_run(tmp_path: Path) -> None:
    """`MemoryDenyWriteExecute`, which is a filter of seccomp like this one (systemd.exec(5)): no library needs more."""
    site = Site(tmp_path / "site", datetime.now(UTC))
    site.block("one.example")
    site.publish()
    provider = Provider(tmp_path / "isp", site.exports.as_uri(), site.root.read_bytes())
    words = [sys.executable, "-c", UNDER_THE_RULE, "pull", "-c", provider.subscription.path, "--accept"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the rule holds\n"
    assert "one.example A " in provider.installed()
