"""The files that the upload bench sends, and the table that it prints."""

from __future__ import annotations

from datetime import date

import pytest

from bench.command import PAGE
from bench.report import Setting
from bench.upload import BEGIN, END, Results, Run
from bench.upload_files import FORMATS, people, records
from bench.upload_report import render
from connectors.local_authority.reading import Format, make_reader
from connectors.local_authority.records import Accepted
from halyard.cli.practice import AUTHORITY

TODAY = date(2026, 3, 10)
WHERE = Setting("now", "bench", "c0ffee", "a machine", 0.0)


@pytest.mark.parametrize("format_", FORMATS)
def test_every_record_of_a_bench_file_is_taken(format_: Format) -> None:
    """The same people in both formats, whichever part of them is asked for."""
    reader = make_reader(format_, gss=AUTHORITY, today=TODAY, max_bytes=16_000)
    body = b"".join(records(format_, people(5, 30), TODAY))
    read = [*reader.feed(body), *reader.end()]
    accepted = [one.parsed for one in read if isinstance(one.parsed, Accepted)]
    assert len(accepted) == len(read) == 30
    assert [one.claim.nhs_number for one in accepted] == [one.nhs_number for one in people(5, 30)]
    assert [one.claim.birth_date for one in accepted] == [one.birth_date for one in people(5, 30)]


def run(held: int) -> Run:
    """A run that took 20 seconds for 15,000 records."""
    each = {"serve": 1.0, "identity": 2.0, "matching": 3.0}
    return Run("csv", 15_000, 1.5, 15_000, 10.0, 20.0, 30.0, held, each, each, each)


def test_the_table_tells_pace_memory_and_the_cold_case() -> None:
    """15,000 calls at 5 a second are 50 minutes; what is not held is said."""
    whole = Results(5.0, [run(15_000)])
    text = render(whole, WHERE)
    assert whole.whole
    assert "15,000 csv" in text
    assert "1,500" in text
    assert "50 min" in text
    assert "Not whole" not in text
    assert "Not whole" in render(Results(5.0, [run(14_999)]), WHERE)


def test_the_page_has_a_place_for_the_figures() -> None:
    """Both markers, once."""
    text = PAGE.read_text("utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
