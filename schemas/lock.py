"""Keeps ``schemas/lock.json``: every schema version ever written, each with its id.

``python -m schemas.lock`` adds a version for each event whose Avro file changed, after checking
that it is FULL_TRANSITIVE compatible (`schemas.compatibility`) with all older ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from halyard.errors import ContractError
from schemas.codec import EVENT_TYPES, schema_from_files, subject
from schemas.compatibility import incompatibilities

LOCK_FILE = Path(__file__).with_name("lock.json")


def read(path: Path = LOCK_FILE) -> list[dict[str, Any]]:
    """Entries of the lock file: ``id``, ``subject``, ``version``, ``schema``."""
    if not path.exists():
        return []
    entries: list[dict[str, Any]] = json.loads(path.read_text())["schemas"]
    return entries


def update(path: Path = LOCK_FILE) -> list[str]:
    """Lock what changed; gives the subjects that got a new version.

    Raises `ContractError` that names what a reader or writer of an older version would miss.
    """
    entries, added = read(path), []
    for cls in EVENT_TYPES.values():
        name, current = subject(cls), schema_from_files(cls)
        older = [entry for entry in entries if entry["subject"] == name]
        if older and older[-1]["schema"] == current:
            continue
        for entry in older:
            if problems := incompatibilities(entry["schema"], current):
                raise ContractError(
                    f"{name} breaks version {entry['version']}: {'; '.join(problems)}"
                )
        entries.append(
            {
                "id": max((entry["id"] for entry in entries), default=0) + 1,
                "subject": name,
                "version": len(older) + 1,
                "schema": current,
            }
        )
        added.append(name)
    path.write_text(json.dumps({"schemas": entries}, indent=1) + "\n")
    return added


if __name__ == "__main__":
    print("\n".join(update()) or "nothing changed")
