"""The names of one act: canonical, by scope, with the commitment that hides them until they are approved."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from blocklist.names.domain_name import Name, Scope


@dataclass(frozen=True, slots=True)
class Names:
    """Canonical A-label names by scope, each sorted and unique, 1 to 10,000 in all."""

    domain: tuple[str, ...] = ()
    host: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.domain) + len(self.host)

    def by_scope(self) -> tuple[tuple[Scope, tuple[str, ...]], ...]:
        """Both scopes with their names."""
        return ((Scope.DOMAIN, self.domain), (Scope.HOST, self.host))

    def each(self) -> list[Name]:
        """Every name with its scope, domains first."""
        return [Name(text, scope) for scope, texts in self.by_scope() for text in texts]

    def to_json(self) -> dict[str, object]:
        """The form inside a payload."""
        return {"domain": list(self.domain), "host": list(self.host)}

    def encoded(self) -> bytes:
        """The form inside a payload as compact JSON: a canonical name needs no escape, so it is its own JSON."""
        domain, host = ('"' + '","'.join(texts) + '"' if texts else "" for _, texts in self.by_scope())
        return f'{{"domain":[{domain}],"host":[{host}]}}'.encode()

    def commitment(self, salt: str) -> str:
        """HMAC-SHA256 under `salt` (hex) of the names' compact JSON: binds, and tells nothing without the salt."""
        return hmac.new(bytes.fromhex(salt), self.encoded(), hashlib.sha256).hexdigest()
