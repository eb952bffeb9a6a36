"""Tokens of SoftHSM, which tests can make, take away, and wear out."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blocklist.keys import tokens
from blocklist.keys.tokens import Choice

MODULE = next(
    path
    for pattern in ("softhsm/libsofthsm2.so", "*/softhsm/libsofthsm2.so")
    for path in sorted(Path("/usr/lib").glob(pattern))
)
PIN, OFFICER_PIN = "246810", "13579111"
_FLAGS = b"\x00\x00\x00\x00\x80\x00SK" + b"\x00" * 7 + b"\x02"
"""How SoftHSM's file of a token introduces its flags: a vendor's attribute, of the kind of a number."""


@dataclass(frozen=True)
class Token:
    """A token that is plugged in, until it is taken away."""

    label: str
    serial: str
    folder: Path
    drawer: Path

    def take_away(self) -> None:
        self.drawer.parent.mkdir(exist_ok=True)
        self.folder.rename(self.drawer)
        tokens.forget()

    def put_back(self) -> None:
        self.drawer.rename(self.folder)
        tokens.forget()

    def flag(self, bits: int) -> None:
        """Have the token say so of itself, as one does whose PIN was mistaken too often; SoftHSM counts nothing."""
        path = self.folder / "token.object"
        content = path.read_bytes()
        start = content.index(_FLAGS) + len(_FLAGS)
        flags = int.from_bytes(content[start : start + 8]) | bits
        path.write_bytes(content[:start] + flags.to_bytes(8) + content[start + 8 :])
        tokens.forget()


@dataclass(frozen=True)
class Hsm:
    """A machine with SoftHSM, without any token at first; PINs are in files."""

    folder: Path

    @classmethod
    def at(cls, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Hsm:
        (folder / "tokens").mkdir(parents=True)
        (folder / "conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
        monkeypatch.setenv("SOFTHSM2_CONF", str(folder / "conf"))
        monkeypatch.setenv("BLOCKLIST_PKCS11_MODULE", str(MODULE))
        hsm = cls(folder)
        monkeypatch.setenv("BLOCKLIST_PIN_FILE", str(hsm.pin_file(PIN)))
        return hsm

    def pin_file(self, pin: str) -> Path:
        path = self.folder / f"pin-{pin}"
        path.write_text(f"{pin}\n")
        path.chmod(0o600)
        return path

    def token(self, label: str, pin: str = PIN) -> Token:
        before = set((self.folder / "tokens").iterdir())
        command = ["softhsm2-util", "--init-token", "--free", "--label", label]
        subprocess.run([*command, "--pin", pin, "--so-pin", OFFICER_PIN], capture_output=True, check=True)
        (folder,) = set((self.folder / "tokens").iterdir()) - before
        content = (folder / "token.object").read_bytes()
        start = content.index(b"\x80\x00SJ") + 4 + 8 + 8
        token = Token(label, content[start : start + 16].decode(), folder, self.folder / "drawer" / folder.name)
        tokens.forget()
        return token

    def choice(self, label: str | None = None, serial: str | None = None) -> Choice:
        return Choice(MODULE, label, serial)


_FUNCTIONS = [
    "C_Initialize",
    "C_Finalize",
    "C_GetInfo",
    "C_GetFunctionList",
    "C_GetSlotList",
    "C_GetSlotInfo",
    "C_GetTokenInfo",
    "C_GetMechanismList",
    "C_GetMechanismInfo",
    "C_InitToken",
    "C_InitPIN",
    "C_SetPIN",
    "C_OpenSession",
    "C_CloseSession",
    "C_CloseAllSessions",
    "C_GetSessionInfo",
    "C_GetOperationState",
    "C_SetOperationState",
    "C_Login",
    "C_Logout",
    "C_CreateObject",
    "C_CopyObject",
    "C_DestroyObject",
    "C_GetObjectSize",
    "C_GetAttributeValue",
    "C_SetAttributeValue",
    "C_FindObjectsInit",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_EncryptInit",
    "C_Encrypt",
    "C_EncryptUpdate",
    "C_EncryptFinal",
    "C_DecryptInit",
    "C_Decrypt",
    "C_DecryptUpdate",
    "C_DecryptFinal",
    "C_DigestInit",
    "C_Digest",
    "C_DigestUpdate",
    "C_DigestKey",
    "C_DigestFinal",
    "C_SignInit",
    "C_Sign",
    "C_SignUpdate",
    "C_SignFinal",
    "C_SignRecoverInit",
    "C_SignRecover",
    "C_VerifyInit",
    "C_Verify",
    "C_VerifyUpdate",
    "C_VerifyFinal",
    "C_VerifyRecoverInit",
    "C_VerifyRecover",
    "C_DigestEncryptUpdate",
    "C_DecryptDigestUpdate",
    "C_SignEncryptUpdate",
    "C_DecryptVerifyUpdate",
    "C_GenerateKey",
    "C_GenerateKeyPair",
]
"""The start of CK_FUNCTION_LIST, in the order of PKCS#11."""


@contextmanager
def instead_of(name: str, function: Callable[..., int], *arguments: Any) -> Iterator[Any]:
    """Have the module do something else in one of its functions: what hardware does, and no software token.

    Args:
        name: Such as `C_Login`.
        function: Takes what the module gets, returns a CK_RV.
        arguments: Their ctypes.

    Yields:
        The function that was there.
    """
    library, functions = ctypes.CDLL(str(MODULE)), ctypes.c_void_p()
    library.C_GetFunctionList(ctypes.byref(functions))
    assert functions.value is not None
    # The version comes first, two octets that the alignment of a pointer makes eight.
    table = (ctypes.c_void_p * len(_FUNCTIONS)).from_address(functions.value + ctypes.sizeof(ctypes.c_void_p))
    place, kind = _FUNCTIONS.index(name), ctypes.CFUNCTYPE(ctypes.c_ulong, *arguments)
    before = table[place]
    assert before == ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert before is not None
    ours = kind(function)
    table[place] = ctypes.cast(ours, ctypes.c_void_p).value
    try:
        yield kind(before)
    finally:
        table[place] = before


def right_pin(what: str, last_try: bool) -> bytes:
    return PIN.encode()
