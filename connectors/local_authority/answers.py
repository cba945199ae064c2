"""What an authority is told of each record: CP-IS response codes, in words."""

from __future__ import annotations

from typing import Any, Final

from stores.uploads import AnswerRow, UploadRow

# CP-ISUploadRecordResponse (CP-IS Domain Message Specification): codes are theirs, words ours
TEXTS: Final = {
    "CPR01": "No person was found for this record",
    "CPR02": "The person's record is restricted (sensitive)",
    "CPR03": "The NHS number could not be verified with name and birth date",
    "CPR04": "The NHS number is not in the right format",
    "CPR05": "The NHS number is superseded; the plan is held on its successor",
    "CPR06": "Held",
    "CPR07": "Not held, for the reason in the detail",
}


def page_body(upload: UploadRow, answers: list[AnswerRow], *, limit: int) -> dict[str, Any]:
    """One page of an upload's answers; a line without a code is still being looked at."""
    return {
        "upload_id": str(upload.upload_id),
        "received_at": upload.received_at.isoformat(),
        "expected": upload.expected,
        "answered": upload.answered,
        "complete": upload.complete,
        "records": [_record(one) for one in answers],
        "next_after": answers[-1].line if len(answers) == limit else None,
    }


def _record(answer: AnswerRow) -> dict[str, Any]:
    return {
        "line": answer.line,
        "local_id": answer.local_id,
        "code": answer.code,
        "text": TEXTS.get(answer.code) if answer.code else None,
        "detail": answer.detail,
        "answered_at": answer.answered_at.isoformat() if answer.answered_at else None,
    }
