"""Who does something: whom a decision is put down to, and what the audit entry says of them."""

from __future__ import annotations

from dataclasses import dataclass

from halyard.same_person import same_person


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `organisation`: whose people they are of (`HUB`: the operator's); nobody does what
    another's people must. `roles`: for policies that ask for one. `detail`: codes that the audit
    entry has besides. `entered`: `name` decided, and `subject` has entered it for them.
    """

    subject: str  # "user:…", "cli:…"
    organisation: str
    name: str | None = None
    role: str | None = None  # as the audit entry has it
    roles: frozenset[str] = frozenset()
    token_id: str | None = None
    request_id: str | None = None
    detail: tuple[tuple[str, str], ...] = ()
    entered: bool = False

    def did(self, subject: str, name: str | None) -> bool:
        """Whether it was they who did what `subject`, of this name, did; whose decision another
        enters has a name alone.
        """
        if self.subject == subject:
            return True
        if not self.entered or self.name is None:
            return False
        return same_person(self.name, subject, name)
