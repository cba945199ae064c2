"""Lines of a batch as a trace file: what another service is asked to trace."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Final

from connectors.trace_files.layout import Layout
from connectors.trace_files.layout import Request as Shape
from schemas.events import PersonClaim

_ID_DIGITS: Final = 12


def reference(batch_id: uuid.UUID, line: int) -> str:
    """What stands for a line in a trace file: nobody's number, and no other batch's."""
    return f"{batch_id.hex[:_ID_DIGITS]}-{line}"


def line_of(batch_id: uuid.UUID, text: str) -> int | None:
    """The line that a reference stands for; None if it is of no line of this batch."""
    head, _, tail = text.strip().partition("-")
    if head.lower() != batch_id.hex[:_ID_DIGITS] or not tail.isascii() or not tail.isdecimal():
        return None
    return int(tail) if 0 < len(tail) <= 9 else None


def write_request(
    layout: Layout, batch_id: uuid.UUID, lines: Iterable[tuple[int, PersonClaim]]
) -> Iterator[bytes]:
    """The file, piece by piece (UTF-8, CR LF)."""
    shape = layout.request
    if shape.header:
        yield _row(shape, [name for name, _ in shape.columns])
    for number, claim in lines:
        said = _values(shape, claim) | {"": "", "reference": reference(batch_id, number)}
        yield _row(shape, [said[value] for _, value in shape.columns])


def _values(shape: Shape, claim: PersonClaim) -> dict[str, str]:
    born = claim.birth_date
    genders: Mapping[str, str] = dict(shape.genders.items())
    return {
        "nhs_number": claim.nhs_number or "",
        "family": claim.family or "",
        "given": " ".join(claim.given),
        "birth_date": date.fromisoformat(born).strftime(shape.date_format) if born else "",
        "gender": genders.get(claim.gender or "", ""),
        "postcode": claim.postcode or "",
    }


def _row(shape: Shape, values: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=shape.delimiter, lineterminator="\r\n").writerow(values)
    return text.getvalue().encode()
