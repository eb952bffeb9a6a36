"""Print the vectors of the kinds of acts: `python tools/print_vectors.py FOLDER` writes one file a kind.

They were written once. What is signed is for ever: a change to a file here is a change of what registers hold.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from blocklist.keys.encoding import signer
from blocklist.register import acts
from blocklist.register.acts import Act, SignedAct
from blocklist.register.decoders import Head, Ref

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # whose officers sign them

from kit.fixed import DAY, NONCE, SALT, START, WEEK, key, key_text, names
from kit.forged import members

_POLICY = {"id": "apology-of-terrorism", "note": "any object is read; what it means is for the register"}
_FILES = {"apology-of-terrorism.yaml": "ab" * 32, "protected.yaml": "cd" * 32}
_REF, _LATER = Ref(7, "07" * 32), Ref(9, "09" * 32)
_NAMES = names("example.com", "xn--bcher-kva.example", hosts=["_dmarc.example.net", "www.example.org"])

BODIES: dict[str, tuple[str, str, acts.Body]] = {
    "found": ("head-1", "head-1 founds the register of a list; no policy of this shape is valid", acts.Found(
        list="apology-of-terrorism", environment="production", heads=tuple(
            Head(head, key_text(head)) for head in ("head-1", "head-2")), policy=_POLICY, files=_FILES, rules=1)),
    "appoint": ("head-1", "head-1 appoints agent-1", acts.Appoint(
        officer="agent-1", role="agent", key=key_text("agent-1"))),
    "revoke": ("head-1", "head-1 revokes agent-1", acts.Revoke(officer="agent-1")),
    "adopt": ("head-1", "head-1 adopts a policy", acts.Adopt(policy=_POLICY, files=_FILES, rules=1)),
    "request": ("agent-1", "agent-1 asked a host to remove content", acts.Request(to="host", names=_NAMES)),
    "answer": ("agent-1", "the host removed the content, which was seen to be gone a day before", acts.Answer(
        request=_REF, outcome="removed", observed=START - DAY)),
    "add": ("agent-1", "agent-1 proposes four names, committed to and not named", acts.Add(
        commitment=_NAMES.commitment(SALT), count=len(_NAMES), ground="apology", basis="not-removed",
        review_by=START + 12 * WEEK, requests=(_REF, _LATER))),
    "approve": ("agent-2", "agent-2 approves those names, and opens the commitment", acts.Approve(
        act=_REF, names=_NAMES, salt=SALT)),
    "reject": ("agent-2", "agent-2 rejects an act", acts.Reject(act=_REF)),
    "review": ("agent-1", "agent-1 verified the sites again", acts.Review(
        names=_NAMES, outcome="still-unlawful", review_by=START + 11 * WEEK + DAY)),
    "remove": ("agent-1", "agent-1 ends measures at once", acts.Remove(names=_NAMES, reason="annulled")),
    "recommend": ("qualified-1", "qualified-1 finds measures irregular", acts.Recommend(names=_NAMES)),
    "respond": ("head-1", "the office follows the recommendation", acts.Respond(
        recommendation=_REF, outcome="accepted")),
    "erase": ("head-1", "head-1 states that a dossier was destroyed", acts.Erase(act=_REF)),
}  # fmt: skip


@cache
def signed(kind: str) -> SignedAct:
    """One act of that kind, always the same."""
    by, _, body = BODIES[kind]
    header = {"seq": 10, "register": "00" * 32, "prev": "09" * 32, "dossier": "d0" * 32}
    act = Act(at=START, by=by, body=body, nonce=NONCE, **{"seq": 1} if kind == "found" else header)
    return acts.sign(act, signer(key(by)))


def vector(kind: str) -> str:
    """The file of one kind."""
    act = signed(kind)
    value = {
        "description": BODIES[kind][1],
        "id": act.id,
        "signer": {"officer": act.act.by, "key": key_text(act.act.by)},
        "payload": members(act),
        "line": act.line().decode(),
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def files() -> Iterator[tuple[str, str]]:
    """Every vector, with the name of its file."""
    return ((f"{kind}.json", vector(kind)) for kind in acts.KINDS)


if __name__ == "__main__":
    for name, content in files():
        (Path(sys.argv[1]) / name).write_text(content)
