"""The JSON of the upload routes, as OpenAPI documents it. Nothing is checked against these at run
time; a test makes requests from the document and compares what comes back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from connectors.local_authority.reading import CONTENT_TYPES


class RefusedLine(BaseModel):
    """A line that was not taken."""

    line: int
    field: str | None
    rule: str
    message: str = Field(description="What to do.")


class Receipt(BaseModel):
    """What was taken in; the records' answers come later."""

    upload_id: UUID
    accepted: int = Field(ge=0)
    refused_count: int = Field(ge=0)
    refused: list[RefusedLine] = Field(description="The first lines that were not taken.")


class RecordAnswer(BaseModel):
    """The answer to one record; without a code it is still being looked at."""

    line: int
    local_id: str | None
    code: str | None = Field(description="CPR01 to CPR07.")
    text: str | None
    detail: str | None
    answered_at: datetime | None


class UploadAnswers(BaseModel):
    """One page of an upload's answers."""

    upload_id: UUID
    received_at: datetime
    expected: int | None
    answered: int
    complete: bool
    file_code: Literal["CPF01", "CPF02", "CPF03", "CPF04", "CPF05", "CPF06"] | None
    file_text: str | None
    file_rule: str | None
    final: bool
    format: str | None
    refused: int
    counts: dict[str, int]
    sequence: int | None
    sequence_note: str | None
    repeat_of: UUID | None
    records: list[RecordAnswer]
    next_after: int | None


FILE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A flag file: one JSON object a line, or CSV; uncompressed, UTF-8.",
        "content": {kind: {"schema": {"type": "string"}} for kind in sorted(CONTENT_TYPES)},
    }
}
