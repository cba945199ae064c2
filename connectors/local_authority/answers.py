"""What an authority is told of a file and of each record: CP-IS response codes, in words."""

from __future__ import annotations

from enum import StrEnum
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


class FileCode(StrEnum):
    """CP-ISUploadFileResponse (CP-IS Domain Message Specification)."""

    CORRUPT = "CPF01"
    ALL = "CPF02"
    PARTIAL = "CPF03"
    NONE = "CPF04"
    PDS_AWAY = "CPF05"
    CLIENT = "CPF06"


FILE_TEXTS: Final = {
    FileCode.CORRUPT: "The file cannot be read, nothing of it was taken",
    FileCode.ALL: "Every record is held",
    FileCode.PARTIAL: "Some records are held, others are not",
    FileCode.NONE: "No record is held",
    FileCode.PDS_AWAY: "PDS does not answer; the records wait for it and need not be sent again",
    FileCode.CLIENT: "The client's version is no longer supported, nothing was read",
}


def file_code(upload: UploadRow) -> FileCode | None:
    """The answer to the file as a whole, None while it is not known.

    CPF05 is never the last word: it is told while records wait and PDS does not answer. A record
    that was refused at once counts as not held.
    """
    if upload.file_rule is not None:
        return FileCode.CORRUPT
    if upload.expected is None or not upload.complete:
        return FileCode.PDS_AWAY if upload.pds_away else None
    if upload.held >= upload.expected + upload.refused:
        return FileCode.ALL
    return FileCode.PARTIAL if upload.held else FileCode.NONE


def sequence_note(upload: UploadRow) -> str | None:
    """What is odd about the file's own number: a gap before it, or that it comes late."""
    number, before = upload.sender_sequence, upload.sequence_before
    if number is None:
        return None
    if upload.late:
        return "late: a file with a higher number came before, and wins"
    if before is not None and before + 1 < number:
        return f"gap: expected {before + 1}, got {number}"
    if upload.reused:
        return "reused: another file came under this number before"
    return None


def page_body(upload: UploadRow, answers: list[AnswerRow], *, limit: int) -> dict[str, Any]:
    """One page of an upload's answers; a line without a code is still being looked at."""
    return {
        "upload_id": str(upload.upload_id),
        "received_at": upload.received_at.isoformat(),
        "expected": upload.expected,
        "answered": upload.answered,
        "complete": upload.complete,
        **_file(upload),
        "records": [_record(one) for one in answers],
        "next_after": answers[-1].line if len(answers) == limit else None,
    }


def _file(upload: UploadRow) -> dict[str, Any]:
    code = file_code(upload)
    return {
        "file_code": code,
        "file_text": FILE_TEXTS[code] if code else None,
        "file_rule": upload.file_rule,
        "final": code is not None and code is not FileCode.PDS_AWAY,
        "format": upload.file_format,
        "refused": upload.refused,
        "counts": dict(upload.counts),
        "sequence": upload.sender_sequence,
        "sequence_note": sequence_note(upload),
        "repeat_of": str(upload.repeat_of) if upload.repeat_of else None,
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
