"""Whether the second fence stands: what the role of `halyard serve` may reach past it."""

from __future__ import annotations

from typing import Final

from halyard.postgres import FACE_ROLE, Connection, load_queries

_SQL = load_queries("stores", "fences.sql")

OPEN_VIEWS: Final = frozenset({"coverage", "own_number_records", "own_open_cases"})
"""Views that show the face what is the same for everybody, and no row of anybody; and those (own_…)
that narrow themselves by the organisation and persons of the transaction, as a policy would.
"""

OPEN_FUNCTIONS: Final = frozenset({"delivery_overtaken"})
"""Functions with their owner's rights that tell the face a yes or no, and no row of anybody."""


OPEN_POLICIES: Final = frozenset(
    {
        # the same for everybody, and of nobody
        ("bus_key", "face_sees"),
        ("migration", "face_sees"),
        ("pds_ration", "face_sees"),
        ("policy_versions", "face_sees"),
        ("policy_versions", "face_adds"),  # digests, by policy and version
        ("letters_gone", "face_sees"),  # ids
        ("used_tokens", "face_uses"),  # digests
        # added to, whatever it is, and not seen by it
        ("audit_entries", "face_adds"),
        ("outbox", "face_adds"),
    }
)
"""Policies, by table and name, that decide nothing about a row, and need not."""


async def holes(connection: Connection, role: str = FACE_ROLE) -> list[str]:
    """What is wrong with the role's rights, each as a sentence; nothing, if the fence stands."""
    cursor = await connection.execute(_SQL["powers"], {"role": role})
    powers = await cursor.fetchone()
    if powers is None:
        return [f"the role {role} is missing"]
    found: list[str] = []
    if powers["bypasses"]:
        found.append(f"{role} may bypass row security")
    if powers["belongs_to_others"]:
        found.append(f"{role} has the rights of another role too")
    cursor = await connection.execute(_SQL["unfenced"], {"role": role})
    names = {str(row["name"]) for row in await cursor.fetchall()} - OPEN_VIEWS
    found += [f"{role} reaches {name} without a policy" for name in sorted(names)]
    cursor = await connection.execute(_SQL["unbarred"])
    found += [
        f"{row['name']} is no security barrier: a caller's function may see any row of it"
        for row in await cursor.fetchall()
    ]
    cursor = await connection.execute(_SQL["undecided"], {"role": role})
    undecided = {(str(row["name"]), str(row["policy"])) for row in await cursor.fetchall()}
    found += [
        f"policy {policy} lets {role} reach every row of {name}"
        for name, policy in sorted(undecided - OPEN_POLICIES)
    ]
    cursor = await connection.execute(_SQL["definers"], {"role": role})
    names = {str(row["name"]) for row in await cursor.fetchall()} - OPEN_FUNCTIONS
    found += [f"{role} may call {name}, which has its owner's rights" for name in sorted(names)]
    return found
