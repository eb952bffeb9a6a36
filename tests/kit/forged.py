"""Acts that no honest program would write, signed for real with the keys of `kit.fixed.key`."""

from __future__ import annotations

import base64
import json
from typing import Any

from kit.fixed import key

from blocklist.keys.encoding import PublicKey
from blocklist.register import acts
from blocklist.register.acts import SignedAct


def forged_line(line: bytes, **changes: Any) -> bytes:
    """An envelope whose payload was changed, with the old signature."""
    envelope = json.loads(line)
    payload = json.loads(base64.b64decode(envelope["payload"])) | changes
    envelope["payload"] = base64.b64encode(
        json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    ).decode()
    return json.dumps(envelope, separators=(",", ":")).encode()


def members(signed: SignedAct) -> dict[str, Any]:
    """The payload of an act as JSON, free to be changed."""
    return dict(json.loads(signed.payload))


def canonical(value: object) -> bytes:
    """Compact JSON with sorted keys, whatever it holds."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def envelope(payload: bytes, by: str, **changes: str) -> bytes:
    """An envelope line around any bytes, signed with the key of `by`; `changes` replaces `keyid` or `sig`."""
    signature = {
        "keyid": PublicKey.wrap(key(by).public_key()).keyid,
        "sig": base64.b64encode(key(by).sign(acts.authenticated_bytes(payload))).decode(),
    } | changes
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": acts.PAYLOAD_TYPE,
            "signatures": [signature],
        }
    )


def resigned(signed: SignedAct, signer_id: str | None = None, /, **changes: Any) -> bytes:
    """The act with other fields (None takes one out), signed anew by its first author or by another officer."""
    changed = {name: value for name, value in (members(signed) | changes).items() if value is not None}
    return envelope(canonical(changed), signer_id or signed.act.by)


def pae(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding by hand, as a shell's printf would do it."""
    return f"DSSEv1 {len(acts.PAYLOAD_TYPE)} {acts.PAYLOAD_TYPE} {len(payload)} ".encode() + payload
