"""What is the same in every run: the list, its shipped files, instants, keys and names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ed25519
from kit.paths import ROOT

from blocklist.keys.encoding import PublicKey
from blocklist.names.domain_name import Names
from blocklist.register import documents
from blocklist.register.policy import Policy

LIST = "apology-of-terrorism"
LISTS = ROOT / "lists"
START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
SALT = "5a" * 32
NONCE = "0c" * 16
SAYS = dict.fromkeys(("terrorist-act", "favourable", "public", "context"), "tested")
"""Answers to what the ground `apology` asks."""


@cache
def shipped_files() -> dict[str, bytes]:
    return {name: (LISTS / name).read_bytes() for name in (f"{LIST}.yaml", "protected.yaml", "platforms.yaml")}


@cache
def shipped_policy() -> Policy:
    return documents.load(shipped_files(), LIST)


@cache
def key(name: str) -> ed25519.Ed25519PrivateKey:
    """The same key for the same name, in every run."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"test key of {name}".encode()).digest())


def key_text(name: str) -> str:
    return PublicKey.wrap(key(name).public_key()).to_base64()


def names(*domains: str, hosts: Iterable[str] = ()) -> Names:
    return Names(tuple(sorted(domains)), tuple(sorted(hosts)))
