"""The inputs that are kept: seeds (samples of ours), regressions, and what fuzzing has found new.

``seeds/TARGET/…`` are files to read, ``regressions/TARGET/…`` inputs that once broke something,
``corpus/TARGET.zip`` the rest: one stored entry an input, named by its digest, so that no input is
there twice.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sandbox.samples.render import messages, render

HERE: Final = Path(__file__).parent
SAMPLES: Final = HERE.parents[1] / "sandbox" / "samples"
MOST_ENTRIES: Final = 600
MOST_BYTES: Final = 3_000  # of one kept input: a larger one is a waste of a repository

_INSTANT = re.compile(r"\{i[^{}]*\}")
_AT = datetime(2026, 3, 14, 21, 0, tzinfo=UTC)


def load(target: str) -> list[bytes]:
    """Every input of `target`, each once: seeds and regressions first."""
    found: dict[str, bytes] = {}
    for data in (*seeds(target), *kept(target)):
        found.setdefault(name_of(data), data)
    return list(found.values())


def seeds(target: str) -> list[bytes]:
    """Our own samples, and the inputs that once broke something."""
    files = [
        path.read_bytes()
        for folder in ("seeds", "regressions")
        for path in sorted((HERE / folder / target).glob("*"))
    ]
    return [*_samples(target), *files]


def kept(target: str) -> list[bytes]:
    """What earlier runs found worth keeping."""
    path = HERE / "corpus" / f"{target}.zip"
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as held:
        return [held.read(name) for name in sorted(held.namelist())]


def keep(target: str, inputs: Iterable[bytes]) -> int:
    """Write the corpus anew, smallest first; gives how many are in it. The same inputs give the
    same bytes.
    """
    known = {name_of(data) for data in seeds(target)}
    chosen = {
        name_of(data): data
        for data in sorted(inputs, key=lambda data: (len(data), data))
        if len(data) <= MOST_BYTES
    }
    entries = [(name, data) for name, data in chosen.items() if name not in known][:MOST_ENTRIES]
    path = HERE / "corpus" / f"{target}.zip"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as held:
        for name, data in sorted(entries):
            held.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return len(entries)


def name_of(data: bytes) -> str:
    """What an input is called."""
    return hashlib.sha256(data).hexdigest()[:20]


def _samples(target: str) -> list[bytes]:
    match target:
        case "er7":
            return [one for path in sorted(SAMPLES.glob("*.hl7")) for one in _messages(path)]
        case "mllp":
            found = [one for path in sorted(SAMPLES.glob("*.hl7")) for one in _messages(path)[:3]]
            return [b"\x0b" + one[:500] + b"\x1c\r" for one in found]
        case "json-lines" | "csv":
            suffix = "jsonl" if target == "json-lines" else "csv"
            return [
                render(path.read_text(), _AT, "fuzz").encode()
                for path in sorted(SAMPLES.glob(f"flags*.{suffix}"))
            ]
        case _:
            return [
                _compact(render(_INSTANT.sub(_AT.isoformat(), path.read_text()), _AT, "fuzz"))
                for folder in ("fhir", "deaths")
                for path in sorted((SAMPLES / folder).glob("*.json"))
            ]


def _compact(text: str) -> bytes:
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False).encode()


def _messages(path: Path) -> list[bytes]:
    return messages(render(path.read_text(errors="replace"), _AT, "fuzz"))
