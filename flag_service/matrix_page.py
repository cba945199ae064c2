"""The authorisation matrix as a page: ``python -m flag_service.matrix_page`` prints
docs/reference/authorisation.md; a test holds the two equal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final, get_args

from flag_service.matrix import (
    ANY_CALLER,
    ANYBODY,
    MATRIX,
    MAY_ASK_OF_A_PERSON,
    RIGHTS,
    Line,
    Right,
    Scope,
)
from flag_service.roles import Role
from stores.credentials import Kind

_SCOPES: Final = {
    Scope.OWN: "own organisation's",
    Scope.PERSON: "of the person named",
    Scope.NOBODY: "nobody's",
}
_RIGHTS: Final = {
    Right.LIST: "what there is, without a record's body",
    Right.SEE: "a record's body",
    Right.SEND: "hand in messages and files",
    Right.ACT: "accept, acknowledge, share, review",
    Right.REPLAY: "have something processed or delivered again",
    Right.CONFIGURE: "change how the hub works",
}

_HEAD: Final = """# Authorisation

Generated from `flag_service/matrix.py` by `python -m flag_service.matrix_page`; change that, not
this page.

Who may use which route of `halyard serve` is one table. It is asked before a byte of the body is
read; a route that has no line keeps the process from starting. What none of the caller's roles
allows is 403 `access.role_not_allowed`, the same whether the thing exists or not; what is another
organisation's is 404, as if it did not exist. `GET /me` tells a caller its roles and its lines of
this table. Each 403 of this table is counted (`halyard_access_refused_total`) and written to the
audit chain of the caller's organisation, the first within seconds, repeats as one entry a minute
with their number.

A role is held within one organisation; where a line names kinds of organisations, an organisation
that the directory names as none of them is 403 `flags.not_allowed`, whatever the role. HEAD goes
by GET's line. "People alone": a system in one of these roles is 403 `access.people_only`. A
browser's session asks of a person by POST alone (403 `session.use_post`): by GET another site's
link would look somebody up in a person's name.

What a request must say is refused without: `purpose` and `reason` are members of the body; the
kind of access is `IsUnscheduledAccessEvent` (urgent care if it is true or not sent, else direct
care), unless `Halyard-Purpose` states another purpose ([fhir-lookups.md](fhir-lookups.md)).
"""

_ROWS: Final = """
## The second fence: rows

`halyard serve` logs in to PostgreSQL as `halyard_face` (`HALYARD_HTTP__DATABASE_URL`): no
superuser, no `BYPASSRLS`, no table of the workers. Each transaction names the organisation that
asks and the persons it asks about; policies in the database show it that organisation's rows, of
flags, visits and accesses those of the persons, and without a name none. So a check that the code
forgets shows nobody else's row. Two connections (`serve-publisher`) publish the outbox: they see
what waits there and nothing else. Two more (`serve-tokens`) say whether a token was used before.

The form of a policy, for a new table, stands at the top of `stores/migrations/0018_rows.sql`.
`halyard up` and `halyard containers services` make the role; elsewhere make it before `halyard
migrate`: `create role halyard_face login nosuperuser nobypassrls password '…'`. `halyard doctor`
(`rows`) names a table that the role reaches without a policy, a policy that lets every row
through, a power that it should not have, and a URL by which it cannot log in. Back up as the owner:
`pg_dump` as another role is refused where row-level security holds.
"""


def page() -> str:
    """The page."""
    return "".join((_HEAD, *_routes(), *_rights(), _ROWS))


def _routes() -> Iterator[str]:
    yield "\n## Routes\n\n| route | right | rows | roles | organisations | must say |\n"
    yield "|---|---|---|---|---|---|\n"
    for line in MATRIX:
        yield (
            f"| `{line.method} {line.route}` | {line.right} | {_SCOPES[line.scope]} | {_who(line)} "
            f"| {_kinds(line)} | {line.purpose or ''} |\n"
        )


def _who(line: Line) -> str:
    if line.who == ANYBODY:
        return "open: no credential"
    if line.who == ANY_CALLER:
        return "whoever is let in"
    roles = ", ".join(role for role in Role if role in line.who)
    return f"people alone: {roles}" if line.people else roles


def _kinds(line: Line) -> str:
    if line.organisations is None:
        return ""
    return ", ".join(kind for kind in get_args(Kind) if kind in line.organisations)


def _rights() -> Iterator[str]:
    yield (
        "\n## Rights\n\n"
        "Each is a right of its own; a line that gives a role more than this table keeps the "
        "process from starting.\n\n"
    )
    yield f"| role | {' | '.join(Right)} | may ask of a person |\n"
    yield f"|---|{'---|' * (len(Right) + 1)}\n"
    for role in Role:
        given = (("yes" if right in RIGHTS[role] else "") for right in Right)
        asks = "yes" if role in MAY_ASK_OF_A_PERSON else ""
        yield f"| {role} | {' | '.join(given)} | {asks} |\n"
    yield "\n" + "".join(f"- {right}: {_RIGHTS[right]}\n" for right in Right)


if __name__ == "__main__":
    sys.stdout.write(page())
