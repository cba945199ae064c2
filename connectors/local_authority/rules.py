"""Why a file, a line or a record is refused, and what its sender is to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RULES: Final = {
    "line.not_utf8": "The line is not UTF-8; write the file in UTF-8.",
    "line.too_long": "The line is too long; a record is one short JSON object.",
    "line.not_json": "The line is not JSON; write one object on one line.",
    "line.not_object": "The line is not a JSON object.",
    "column.unknown": "This column is not known; leave it out.",
    "column.twice": "This column stands twice in the line; keep one.",
    "column.required": "This column must have a value.",
    "column.not_text": "The value must be text (in quotes) or null.",
    "column.too_long": "The text is too long.",
    "column.characters": "The text has control characters or broken ones.",
    "date.not_iso": "Write the date as YYYY-MM-DD.",
    "date.no_such_day": "There is no such day.",
    "date.not_before_today": "The date lies in the future.",
    "date.not_plausible": "The date lies too far back or ahead; correct it (an open end is null).",
    "date.end_before_start": "The plan ends before it starts.",
    "plan_type.unknown": "Write CPP, LAC or UCPP.",
    "la_gss.other_authority": "The code is not your authority's; leave it out or correct it.",
    "person.not_identifiable": "Give an NHS number, or family name and birth date.",
}
"""Rules for the values of a record, and for a line of JSON."""

FILE_RULES: Final = {
    "file.workbook": "This is a workbook, not text; save the sheet as CSV UTF-8 and send that.",
    "file.not_text": "The file is not text; save it as CSV UTF-8.",
    "header.missing": "The file needs such a column; its first line names the columns.",
    "header.none": "No column is known; the first line must name the columns.",
    "header.unknown": "This column is not known; leave it out or name it as documented.",
    "header.twice": "This column is there twice; keep one.",
    "header.not_readable": "The first line cannot be read; name the columns, one line, short.",
}
"""Rules by which a CSV file is refused as a whole."""

ROW_RULES: Final = {
    "row.too_long": "The record is too long; it is one short row.",
    "row.quotes": "The quotes do not match: put the whole value in quotes, double a quote in it.",
    "row.quote_open": "A quote opens here and does not close; close it, or double it.",
    "row.values": "The row has more or fewer values than the first line has columns.",
    "row.extra": "There is a value under a column that has no name; name it or empty it.",
    "row.characters": "The row's characters cannot be read; save the file as CSV UTF-8.",
    "cell.formula": "The cell holds a formula; put its value there.",
    "cell.error": "The cell holds a spreadsheet's error (#…); put its value there.",
    "cell.scientific": "A spreadsheet has turned the number into 9.99E+09 and its digits are lost; "
    "export it again with the column as text.",
    "nhs_number.scientific": "A spreadsheet has turned the number into 9.99E+09 and its digits are "
    "lost; export it again with the column as text.",
    "date.two_digit_year": "The century is missing; write the date as YYYY-MM-DD.",
    "date.serial": "This is a spreadsheet's day number; write the date as YYYY-MM-DD.",
    "date.not_known": "Write the date as YYYY-MM-DD (or DD/MM/YYYY).",
}
"""Rules by which a row of a CSV file is refused."""

TRACE_RULES: Final = {
    "trace.too_little": "Give the birth date and the family name; beside an NHS number a given "
    "name will do.",
    "gender.unknown": "Write male, female, other or unknown, or leave it empty.",
    "trace_file.reference": "This reference is of no line that was sent: a row of another file.",
    "trace_file.twice": "Another row of the file answers the same line; neither is taken.",
    "trace_file.code": "This code is not known; known are 20, 21, 22, 30, 31, 32, 33 and 40.",
    "trace_file.number": "The code says that a number was found; there is none that can be one.",
    "trace_file.date": "The date is not YYYYMMDD (nor YYYYMM or YYYY).",
    "trace_file.birth_date": "The row tells of another birth date than the line that was sent.",
    "trace_file.settled": "The line has its answer already; nothing was changed.",
}
"""Rules for lines of a batch, and for rows of a trace file's response."""

_ALL: Final = {**RULES, **FILE_RULES, **ROW_RULES, **TRACE_RULES}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was refused: the field (empty for the line as a whole) and the rule."""

    field: str
    rule: str

    @property
    def message(self) -> str:
        """What to do about it."""
        return _ALL[self.rule]
