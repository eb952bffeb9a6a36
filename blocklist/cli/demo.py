"""`demo`: the main job from a decision to a resolver's file, by the real commands, in a folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from blocklist.base import durable
from blocklist.base.errors import RefusedError, UsageError, VerificationError
from blocklist.base.i18n import _, shown
from blocklist.cli.commands import Settings, Verb, clock, refuse_store
from blocklist.cli.terminal import PASSPHRASE_FILE, finish
from blocklist.register.decoders import format_instant
from blocklist.release.manifest import ACTS, SEAL, SUMS
from blocklist.workspace import DEFAULT_LIST

_STEP_TIMEOUT = 120
_LEAST_AHEAD = 6.0
"""Seconds from the proposal to the review date of the measure that lapses, on a fast machine."""

_ZONE = "provider/rpz.zone"
_WHY = ("--ground", "apology", "--basis", "no-identification", "--ref", "2026-17", "--evidence", "imprint.txt")
_SAYS = (
    ("terrorist-act", "attack of 1 April 2026"),
    ("favourable", "calls its authors heroes"),
    ("public", "yes, without registration"),
    ("context", "none, the page approves"),
)
_OTHERS = ("BLOCKLIST_AS", "BLOCKLIST_STORE", PASSPHRASE_FILE)
_REGISTER = re.compile(r"\b[0-9a-f]{64}\b")


class DemoError(RefusedError):
    """A step did not answer as it has to."""


@dataclass(slots=True)
class _Demo:
    """Runs commands in `folder` and keeps what they answered; `quiet` prints nothing."""

    folder: Path
    quiet: bool
    steps: list[dict[str, object]] = field(default_factory=list)

    def tell(self, text: str = "") -> None:
        if not self.quiet:
            click.echo(text)

    def step(self, text: str) -> None:
        """Say what comes next."""
        self.tell(f"\n# {text}")

    def blocklist(self, arguments: str, *more: str, expect: int = 0, holds: str = "") -> str:
        """Run one command of this program as an operator would type it."""
        words = [*arguments.split(), *more]
        return self.run(["blocklist", *words], [sys.executable, "-m", "blocklist", *words], self.folder, expect, holds)

    def run(self, typed: Sequence[str], command: Sequence[str], folder: Path, expect: int = 0, holds: str = "") -> str:
        """Run a command and show it; `holds` is a part of what it has to answer.

        Raises:
            DemoError: It ended or answered otherwise.
        """
        line = shlex.join(typed)
        self.tell(f"$ {line}")
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=_environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=_STEP_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as fault:
            raise DemoError(
                _("the step '{line}' did not run: {fault}", line=line, fault=fault), self._rest()
            ) from fault
        for answer in done.stdout.splitlines():
            self.tell(f"  {answer}")
        self.steps.append({"command": line, "exit_code": done.returncode, "output": done.stdout})
        if done.returncode != expect or holds not in done.stdout:
            wanted = _("{code} and an answer with '{holds}'", code=expect, holds=holds) if holds else expect
            raise DemoError(
                _(
                    "the step '{line}' ended with exit code {returncode}, not {wanted}",
                    line=line,
                    returncode=done.returncode,
                    wanted=wanted,
                ),
                self._rest(),
            )
        return done.stdout

    def _rest(self) -> str:
        return _("what was made until then is in {folder}", folder=self.folder)

    def show_zone(self, *, holds: str, lacks: str) -> None:
        """Show the installed zone without its comments.

        Raises:
            DemoError: It has not the names that it should.
        """
        text = (self.folder / _ZONE).read_text()
        lines = [line for line in text.splitlines() if not line.startswith(";")]
        self.tell(_("  --- {path}, without its comments", path=_ZONE))
        for line in lines:
            self.tell(f"  {line}")
        if not any(line.startswith(f"{holds} ") for line in lines) or any(lacks in line for line in lines):
            raise DemoError(
                _("{zone} should hold {holds} and not {lacks}", zone=_ZONE, holds=holds, lacks=lacks), self._rest()
            )


def _environment(folder: Path) -> dict[str, str]:
    """The caller's environment with the keys of this demo, and nobody's name, database or passphrase."""
    kept = {key: value for key, value in os.environ.items() if key not in _OTHERS}
    return kept | {"BLOCKLIST_KEYS": str(folder / "keys"), "PYTHONIOENCODING": "utf-8"}


@click.command("demo", cls=Verb)
@click.argument("target", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@click.pass_obj
def demo_command(settings: Settings, target: Path | None) -> None:
    """Run the main job with the real commands, in a folder of its own.

    From a decision to the file that a resolver reads, and on to its end. Without DIR the folder is a new temporary
    one. Takes about 15 seconds and touches nothing outside the folder.
    """
    refuse_store(settings)
    folder = Path(tempfile.mkdtemp(prefix="blocklist-demo-")) if target is None else _prepare(target)
    demo = _Demo(folder.absolute(), quiet=settings.json)
    _found(demo)
    register = _register_of(demo)
    _ask_for_removal(demo)
    per_step = _decide(demo)
    release = _publish(demo)
    _verify_with_stock_tools(demo, release)
    _subscribe(demo)
    _tamper(demo, release, register)
    _let_lapse(demo, per_step)
    _look_back(demo)
    _say_what_is_where(demo, release)
    finish(settings, {"folder": str(demo.folder), "register": register, "steps": demo.steps})


def _prepare(folder: Path) -> Path:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(
            _("{folder} exists and is not an empty folder", folder=folder),
            _("name a new one, or none for a temporary one"),
        )
    durable.make_folder(folder)
    return folder


def _found(demo: _Demo) -> None:
    demo.tell(f"# cd {demo.folder}; export BLOCKLIST_KEYS={demo.folder}/keys")
    demo.step(_("All keys are in one folder and without passphrases, as only a demo has them."))
    demo.step(_("A head of office founds the register of a list, in a test environment."))
    demo.blocklist("init --no-passphrase")
    demo.step(_("Two agents make their keys, and the head appoints them."))
    for agent in ("agent-1", "agent-2"):
        demo.blocklist(f"key new {agent} --no-passphrase")
        demo.blocklist(f"--as head-1 officer appoint {agent} --role agent --key keys/{agent}.pub")


def _register_of(demo: _Demo) -> str:
    match = _REGISTER.search(str(demo.steps[0]["output"]))
    if match is None:
        raise DemoError(_("'blocklist init' did not say which register it founded"), _("report this"))
    return match[0]


def _ask_for_removal(demo: _Demo) -> None:
    demo.step(_("The host of a site is asked to remove it, and has 24 hours: before that nobody can block it."))
    asked = ("--to", "host", "--contact", "abuse@host.example", "--url", "https://page.example/1")
    demo.blocklist("--as agent-1 request page.example", *asked)
    says = [word for ask, text in _SAYS for word in ("--say", f"{ask}={text}")]
    why = ("--ground", "apology", "--basis", "not-removed", "--ref", "2026-16")
    demo.blocklist("--as agent-1 add page.example", *why, *says, expect=1, holds="LCEN art. 6-1 al. 2")


def _decide(demo: _Demo) -> float:
    """Propose and approve a name; returns the seconds that a command takes here."""
    says = [word for ask, text in _SAYS for word in ("--say", f"{ask}={text}")]
    durable.replace(demo.folder / "imprint.txt", b"no name, no address\n")
    demo.step(_("Guards stop what would break the internet: this name is everybody's."))
    demo.blocklist("--as agent-1 add gouv.fr", *_WHY, *says, expect=1, holds="protected: ")
    demo.step(_("This site does not say who publishes it; the proof is kept. It takes two people to block it."))
    start = time.monotonic()
    demo.blocklist("--as agent-1 add bad.example", *_WHY, *says)
    demo.blocklist("--as agent-1 approve 5", expect=1)
    demo.blocklist("--as agent-2 approve 5")
    return (time.monotonic() - start) / 3


def _publish(demo: _Demo) -> str:
    """Publish; returns the release's folder."""
    demo.step(_("A machine publishes what was decided, with keys that can decide nothing."))
    demo.blocklist("publish")
    latest = (demo.folder / "exports" / DEFAULT_LIST / "latest").read_text().strip()
    return f"exports/{DEFAULT_LIST}/{latest}"


def _verify_with_stock_tools(demo: _Demo, release: str) -> None:
    demo.step(_("Anyone can check the seal and the sums with tools that every server has."))
    folder = demo.folder / release
    seal = shlex.split(
        f"openssl cms -verify -cades -binary -inform DER -in {SEAL} -content {SUMS}"
        " -CAfile ../../seal.pem -no-CApath -no-CAstore -out /dev/null"
    )
    demo.tell(f"$ cd {release}")
    for command in (seal, ["sha256sum", "--strict", "-c", SUMS]):
        if shutil.which(command[0]):
            demo.run(command, command, folder)
        else:
            demo.tell(_("  (skipped: {program} is not installed here)", program=command[0]))
    demo.tell("$ cd -")


def _subscribe(demo: _Demo) -> None:
    demo.step(_("An internet provider pins the root, pulls, replays every signature, and installs."))
    demo.blocklist(
        f"subscribe {(demo.folder / 'exports').as_uri()} --list {DEFAULT_LIST} --environment test"
        f" --root exports/metadata/1.root.json --to rpz={_ZONE} -o provider/subscription.yaml"
    )
    demo.blocklist("pull -c provider/subscription.yaml --accept")
    demo.show_zone(holds="bad.example", lacks="brief.example")


def _tamper(demo: _Demo, release: str, register: str) -> None:
    demo.step(_("Somebody changes one letter in a copy of the release: bad.example becomes bid.example."))
    copy = demo.folder / "tampered"
    shutil.copytree(demo.folder / release, copy)
    zone = copy / "rpz.zone"
    zone.write_bytes(zone.read_bytes().replace(b"bad.example", b"bid.example", 1))
    demo.blocklist(
        f"verify tampered --cert exports/seal.pem --register {register}",
        expect=VerificationError.exit_code,
    )


def _tamper_tree(demo: _Demo) -> None:
    """Change the acts in the published tree, let the provider refuse them, and put them back."""
    demo.step(_("Somebody changes the published tree itself: the provider refuses, and its installed file stays."))
    targets = demo.folder / f"exports/targets/{DEFAULT_LIST}"
    acts = max(targets.glob(f"*.{ACTS}"), key=lambda path: path.stat().st_size)
    genuine, installed = acts.with_name("genuine"), (demo.folder / _ZONE).read_bytes()
    acts.rename(genuine)  # not written over: the release's own folder holds the same file under another name
    acts.write_bytes(genuine.read_bytes()[:-2] + b" \n")
    refused = VerificationError.exit_code
    demo.blocklist("pull -c provider/subscription.yaml", expect=refused)
    if (demo.folder / _ZONE).read_bytes() != installed:
        raise DemoError(_("{zone} was changed by a refused pull", zone=_ZONE), _("report this"))
    genuine.replace(acts)
    demo.step(_("The tree is as it was published again."))


def _let_lapse(demo: _Demo, per_step: float) -> None:
    # Add, approve and publish have to end before the date; on a slow machine it is taken further ahead.
    ahead = max(_LEAST_AHEAD, 6 * per_step)
    review_by = clock().replace(microsecond=0) + timedelta(seconds=int(ahead) + 1)
    demo.step(_("A measure ends at its date unless an officer verifies it again. This one, like the first, is short."))
    like = ("--like", "bad.example", "--review-by", format_instant(review_by))
    demo.blocklist("--as agent-1 add brief.example", *like)
    demo.blocklist("--as agent-2 approve 7")
    demo.blocklist("publish")
    _tamper_tree(demo)
    demo.blocklist("pull -c provider/subscription.yaml")
    demo.show_zone(holds="brief.example", lacks="page.example")
    demo.step(_("Nobody verifies it again. Waiting for {until} …", until=shown(review_by)))
    _wait_until(review_by)
    demo.step(_("Its date has passed: the next release leaves it out, and so does the provider."))
    demo.blocklist("publish")
    demo.blocklist("pull -c provider/subscription.yaml")
    demo.show_zone(holds="bad.example", lacks="brief.example")


def _look_back(demo: _Demo) -> None:
    demo.step(_("How the provider stands; and its receipt, which it hands to the office."))
    demo.blocklist("status -c provider/subscription.yaml")
    receipt = f"provider/subscription.state/lists/{DEFAULT_LIST}/receipt.json"
    demo.blocklist(f"receipt add {receipt} --provider isp-one")
    demo.step(_("What has to be done now, and what is known of one site."))
    demo.blocklist("due", expect=1)
    demo.blocklist("show bad.example")
    demo.step(_("The whole history, checked from its first act."))
    demo.blocklist("audit")


def _wait_until(instant: datetime) -> None:
    while (left := (instant - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(left, 0.5))


def _say_what_is_where(demo: _Demo, release: str) -> None:
    program = Path(sys.executable).parent
    demo.tell(_("\nDone. In {folder}:", folder=demo.folder))
    demo.tell(_("  lists/      the register (register.db), the confidential dossiers, the policy to edit"))
    demo.tell(_("  keys/       private keys: head-1, agent-1, agent-2, the publisher's, the seal authority's"))
    demo.tell(_("  exports/    the published tree, for any web server; a release is {release}", release=release))
    demo.tell(_("  provider/   the provider's subscription, what it accepted last, and rpz.zone for its resolver"))
    demo.tell(_("\nTo go on:"))
    demo.tell(f"  cd {shlex.quote(str(demo.folder))}")
    demo.tell(f"  export PATH={shlex.quote(str(program))}:$PATH BLOCKLIST_KEYS=$PWD/keys")
    for line in (
        "blocklist status; blocklist list; blocklist log bad.example",
        "blocklist --as agent-1 remove bad.example --reason lawful",
        "blocklist publish; blocklist pull -c provider/subscription.yaml",
        "blocklist --help",
    ):
        demo.tell(f"  {line}")
