"""For each rule of the linter a zone that breaks it, and what confirms that it should be one."""

from __future__ import annotations

from kit.servers import Kresd, Named, Recursor, Unbound
from kit.zones import FIRST, HEAD, LAST, body

from blocklist.lint.rules import RULES

KEY = b"mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ=="
LONGEST = b".".join([b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 56])
"""Of 248 octets: a name of its own, and none in a zone."""

CHECKZONE, UNREADY, RESOLVES, BLOCKS = "named-checkzone", "does not start", "resolves", "is blocked"

CASES = {
    # rule: the zone, what confirms it (a server, what is seen, of which name). Nothing does where a fault shows on
    # Knot Resolver 6 only, which cannot be run here, or is a name that nobody can ask for.
    "crlf": (body(b"").replace(b"\n", b"\r\n"), (Kresd, RESOLVES, "after.example")),
    "control": (body(b"n\0l.example CNAME .\n"), (CHECKZONE,)),
    "control-in-the-middle": (body(b"nl.example\x0cCNAME .\n"), (CHECKZONE,)),
    "line-limit": (body(b"a.example TXT" + b' "x"' * 20_000 + b"\n"), (Unbound, UNREADY)),
    "empty": (b"", (CHECKZONE,)),
    "syntax-quote": (body(b'a.example TXT "x\n'), (CHECKZONE,)),
    "syntax-open": (body(b"a.example CNAME ( .\n"), (CHECKZONE,)),
    "syntax-close": (body(b"a.example CNAME . )\n"), (CHECKZONE,)),
    "syntax-alone": (body(b"a.example\n"), (CHECKZONE,)),
    "directive": (body(b"$GENERATE 1-2 g$.example CNAME .\n"), (Kresd, RESOLVES, "after.example")),
    "directive-include": (body(b"$INCLUDE /nowhere\n"), (CHECKZONE,)),
    "directive-unknown": (body(b"$FOO bar\n"), (CHECKZONE,)),
    "origin": (b"$ORIGIN other.invalid.\n" + body(b""), (CHECKZONE,)),
    "class": (body(b"a.example CH CNAME .\n"), (CHECKZONE,)),
    "type": (body(b"a.example FOO .\n"), (CHECKZONE,)),
    "data": (body(b"a.example A 1.2.3\n"), (CHECKZONE,)),
    "data-family": (body(b"a.example AAAA 1.2.3.4\n"), (CHECKZONE,)),
    "data-soa": (body(b"").replace(b"1795348800", b"99999999999"), (CHECKZONE,)),
    "ttl": (body(b"a.example 99999999999 CNAME .\n"), (CHECKZONE,)),
    "no-owner": (b"$TTL 300\n" + b"  SOA localhost. hostmaster.localhost. 1 300 60 2419200 60\n" + FIRST, (CHECKZONE,)),
    "soa-missing": (b"$TTL 300\n@ NS localhost.\n" + FIRST, (CHECKZONE,)),
    "soa-twice": (body(b"@ SOA localhost. hostmaster.localhost. 2 300 60 2419200 60\n"), (CHECKZONE,)),
    "soa-late": (b"$TTL 300\n" + FIRST + HEAD + LAST, (Recursor, RESOLVES, "after.example")),
    "ns-missing": (body(b"").replace(b"@ NS localhost.\n", b""), (CHECKZONE,)),
    "ns-in-zone": (body(b"").replace(b"NS localhost.", b"NS ns"), (CHECKZONE,)),
    "apex": (body(b"@ A 192.0.2.1\n"), (Unbound, BLOCKS, ".")),
    "dnssec": (body(b"@ DNSKEY 257 3 13 " + KEY + b"\n"), (Recursor, BLOCKS, ". DNSKEY")),
    "label": (body(b"a" * 64 + b".example CNAME .\n"), (CHECKZONE,)),
    "label-empty": (body(b"a..example CNAME .\n"), (CHECKZONE,)),
    "too-long": (body(LONGEST + b" CNAME .\n"), (CHECKZONE,)),
    "character": (body(b"http://a.example/ CNAME .\n"), (Kresd, RESOLVES, "after.example")),
    "character-alphabet": (body("é.example CNAME .\n".encode()), (Kresd, RESOLVES, "after.example")),
    "absolute-owner": (body(b"outside.example. CNAME .\n"), (Unbound, UNREADY)),
    "everything": (body(b"* CNAME .\n"), (Recursor, BLOCKS, "elsewhere.test")),
    "trigger": (body(b"bad.rpz-ip CNAME .\n"), (Recursor, UNREADY)),
    "other-trigger": (body(b"32.7.113.0.203.rpz-ip CNAME .\n"), (Named, BLOCKS, "elsewhere.test")),
    "host-name": (body(b"a_b.example A 192.0.2.1\n"), (Named, RESOLVES, "after.example")),
    "host-name-hyphen": (body(b"-a.example A 192.0.2.1\n"), (Named, RESOLVES, "after.example")),
    "duplicate": (body(b"before.example CNAME .\n"), (Recursor, RESOLVES, "before.example")),
    "duplicate-case": (body(b"BEFORE.example 60 IN CNAME .\n"), (Recursor, RESOLVES, "before.example")),
    "two-actions": (body(b"before.example A 192.0.2.1\n"), (CHECKZONE,)),
    "two-actions-cname": (body(b"before.example CNAME *.\n"), (CHECKZONE,)),
    "below-wildcard": (body(b"www.sub.after.example CNAME .\n"), (Named, RESOLVES, "sub.after.example")),
    "below-wildcard-child": (body(b"www.after.example CNAME .\n"), (Unbound, RESOLVES, "y.www.after.example")),
    "relative-target": (body(b"bad.example CNAME rpz-passthru\n"), (Named, BLOCKS, "bad.example")),
    "final-newline": (body(b"")[:-1], (CHECKZONE, "does not end with newline")),
    "ttl-missing": (body(b"").replace(b"$TTL 300\n", b""), (CHECKZONE, "no TTL specified")),
    "half": (body(b"*.bad.example CNAME .\n"), (Named, RESOLVES, "bad.example")),
    "name-only": (body(b"bad.example CNAME *.\n"), (Recursor, RESOLVES, "www.bad.example")),
    "landing-cname": (body(b"bad.example CNAME landing.test.\n"), (Kresd, RESOLVES, "bad.example")),
    "dname": (body(b"bad.example DNAME landing.test.\n"), (Kresd, RESOLVES, "bad.example")),
    "odd-name": (body(b"a\\.b.example CNAME .\n"), ()),
    "subtree": (body(b"bad.example CNAME .\n"), ()),
    "wildcard-address": (body(b"bad.example A 192.0.2.1\n*.bad.example A 192.0.2.1\n"), ()),
    "action": (body(b"bad.example CNAME rpz-passthru.\n"), ()),
}  # fmt: skip
RULE_OF = {case: next(rule for rule in sorted(RULES, key=len, reverse=True) if case.startswith(rule)) for case in CASES}
