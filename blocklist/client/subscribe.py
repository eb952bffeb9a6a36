"""Writing a subscription, and pinning the root that it trusts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from blocklist.base import durable
from blocklist.base.errors import UsageError, VerificationError
from blocklist.base.i18n import _
from blocklist.client.state import NO_NEWER_ROOT
from blocklist.client.subscription import BRAKES, SHA256, Subscription, Target, parse
from blocklist.client.transport import KEEP, Deadline, transport, unusable

MAX_ROOT = 512 * 1024
_MAX_VERSIONS = 64
"""Versions of the root that are looked through for the one with the SHA-256 that was given."""

_TEMPLATE = """\
# A subscription to signed block lists. `blocklist pull -c {name}` keeps the targets up to date.

# Where the lists are published: https://..., or file:///... for a local tree.
url: {url}

# Test or production: a publisher of the other one is refused.
environment: {environment}

# SHA-256 of the publisher's TUF root that you were given; it is the only thing that is trusted from the start.
root: "{root}"

# The lists, and which export of each goes to which file. Optional for each file: `check`, a command that must accept
# the candidate, {{file}}, and `reload`, a command to run once the file is in place. Commands run without a shell.
lists:
{lists}
# At most this many names may be added to a list by one pull unasked; to a list of over 100 names, at most this
# percentage. What ends is never held back.
brakes:
  added: {brakes.added}
  added_percent: {brakes.added_percent}

# Names that are never blocked here without your word, with everything below them.
never_block: []

# For HTTPS: the authority of the publisher's certificate (else the system's), your own certificate and key, a proxy.
{transport}
# For receipts: the id under which the office knows you, and the private key that signs them.
# provider: isp-one
# receipt_key: isp-one.pem
"""


def write(
    path: Path,
    url: str,
    environment: str,
    root: bytes,
    lists: Sequence[tuple[str, Sequence[Target]]],
    options: Sequence[tuple[str, str]] = (),
) -> Subscription:
    """Write a new subscription and pin `root`.

    Args:
        path: The file; its state folder is made beside it.
        url: Where the lists are published.
        environment: Test or production.
        root: The publisher's TUF root.
        lists: Each list with its targets.
        options: Of `ca`, `client_certificate`, `client_key` and `proxy`, those that are wanted.

    Raises:
        UsageError: A value is not valid, or `path` exists.
        TargetError: It could not be written.
    """
    _check_root(root)
    made = compose(path, url, environment, hashlib.sha256(root).hexdigest(), lists, options)
    durable.make_folder(path.parent)
    durable.make_folder(made[0].state, 0o700)
    durable.replace(made[0].state / "root.json", root)
    durable.replace(path, made[1])
    return made[0]


def compose(
    path: Path,
    url: str,
    environment: str,
    root: str,
    lists: Sequence[tuple[str, Sequence[Target]]],
    options: Sequence[tuple[str, str]] = (),
) -> tuple[Subscription, bytes]:
    """A new subscription, and the content of its file; nothing is written.

    Raises:
        UsageError: A value is not valid, or `path` exists.
    """
    if path.exists():
        raise UsageError(_("{path} exists", path=path), _("edit it, or choose another file with -o"))
    content = _TEMPLATE.format(
        name=path.name,
        url=json.dumps(url),
        environment=environment,
        root=root,
        lists="".join(_list_text(list_id, targets) for list_id, targets in lists),
        brakes=BRAKES,
        transport=_options_text(dict(options)),
    ).encode()
    return parse(content, path), content


def _list_text(list_id: str, targets: Iterable[Target]) -> str:
    return f"  {json.dumps(list_id)}:\n" + "".join(map(_target_text, targets))


def _target_text(target: Target) -> str:
    lines = [f"    - format: {target.format}", f"      path: {json.dumps(str(target.path))}"]
    commands = {"check": target.check, "reload": target.reload}
    lines += [f"      {key}: {json.dumps(command)}" for key, command in commands.items() if command]
    return "\n".join(lines) + "\n"


def _options_text(options: dict[str, str]) -> str:
    samples = {
        "ca": "publisher-ca.pem",
        "client_certificate": "provider.pem",
        "client_key": "provider.key",
        "proxy": "http://proxy.isp.example:3128",
    }
    lines = [f"{key}: {json.dumps(options[key])}" if key in options else f"# {key}: {samples[key]}" for key in samples]
    return "\n".join(lines) + "\n"


def fetch_root(draft: Subscription) -> bytes:
    """The publisher's root with the SHA-256 that a subscription pins; its digest makes it trusted, not the server.

    Raises:
        VerificationError: The publisher shows no root with that digest.
        UnreachableError: It does not answer.
    """
    with closing(transport(draft, Deadline(draft.deadline))) as way:
        for version in range(1, _MAX_VERSIONS + 1):
            url = f"{draft.metadata_url}/{version}.root.json"
            answer = way.get(url)
            if version > 1 and answer.status in NO_NEWER_ROOT:
                break
            if answer.status != 200:
                raise unusable(draft.base, url, answer.status)
            root = b""
            for chunk in answer.chunks:
                root += chunk
                if len(root) > MAX_ROOT:
                    raise VerificationError(_("the root at {url} is too large", url=draft.base), _(KEEP))
            if hashlib.sha256(root).hexdigest() == draft.root:
                return root
    raise VerificationError(
        _("{url} shows no root with the SHA-256 {root}", url=draft.base, root=draft.root),
        _("compare address and SHA-256 with what the office handed out"),
    )


def is_digest(text: str) -> bool:
    """Whether this is the SHA-256 of a root, and no file name."""
    return SHA256.fullmatch(text) is not None


def _check_root(root: bytes) -> None:
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    from blocklist.client.fetch import check_keys

    try:
        metadata: Metadata[Root] = Metadata.from_bytes(root)
        metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
        check_keys(metadata.signed.keys.values())
    except VerificationError as fault:
        raise UsageError(fault.message, _("the office hands it out")) from fault
    except (RepositoryError, ValueError, AttributeError) as fault:
        raise UsageError(_("that is not a TUF root that its own keys signed"), _("the office hands it out")) from fault
