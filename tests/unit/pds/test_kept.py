"""Whom the practice PDS was told of is there after a restart."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from itertools import islice
from pathlib import Path

import httpx
import pytest

from halyard.errors import ConfigurationError
from sandbox.pds.kept import CannotKeep, Kept, TooManyKept
from sandbox.pds.people import Person
from sandbox.pds.population import populate
from sandbox.pds.server import PdsThread

ROBIN = Person("9990001014", family="Posted", given=("Robin",), birth_date="2017-03-14")
OTHER = replace(ROBIN, nhs_number="9990001022", family="Other")


def kept_in(path: Path) -> list[Person]:
    """Who is in the file."""
    kept = Kept(path)
    try:
        return list(kept.people())
    finally:
        kept.close()


def test_a_restart_knows_who_was_posted_and_how_they_were_changed(tmp_path: Path) -> None:
    """Over HTTP: a posted person, and the change of one from the file of people; not the events."""
    path = tmp_path / "people.jsonl"
    door = {"nhs_number": ROBIN.nhs_number, "family": "Posted", "birth_date": "2017-03-14"}
    kept = Kept(path)
    with PdsThread([OTHER], kept=kept) as pds:
        base = pds.url.partition("/personal-")[0]
        assert httpx.post(f"{base}/sandbox/people", json=door).json() == {"people": 2, "kept": True}
        change = {"change": "restrict", "nhs_number": OTHER.nhs_number}
        assert httpx.post(f"{base}/sandbox/changes", json=change).status_code == 200
    kept.close()
    again = Kept(path)
    with PdsThread([OTHER], kept=again) as pds:
        posted = pds.pds.register.get(ROBIN.nhs_number)
        changed = pds.pds.register.get(OTHER.nhs_number)
        assert posted is not None
        assert changed is not None
        assert (posted.family, changed.restricted, changed.version) == ("Posted", True, 2)
        assert not pds.pds.events
    again.close()
    with PdsThread([]) as pds:  # without a file
        base = pds.url.partition("/personal-")[0]
        assert httpx.post(f"{base}/sandbox/people", json=door).json()["kept"] is False


def test_every_kind_of_record_comes_back_as_it_was(tmp_path: Path) -> None:
    """The last of a number counts; nobody else reads the file."""
    path = tmp_path / "people.jsonl"
    kept = Kept(path)
    people = list(islice(populate(400, 3), 400))
    for person in people:
        kept.put(person)
    kept.put(last := replace(people[0], family="Renamed"))
    kept.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept_in(path) == [last, *people[1:]]


def test_a_line_that_a_crash_cut_off_is_dropped_and_the_next_stands_alone(tmp_path: Path) -> None:
    """Only of the last line may a part be missing; another that is no record is named."""
    path = tmp_path / "people.jsonl"
    kept = Kept(path)
    kept.put(ROBIN)
    kept.close()
    with path.open("ab") as stream:
        stream.write(b'{"nhs_number": "99900')
    kept = Kept(path)
    kept.put(OTHER)
    kept.close()
    assert kept_in(path) == [ROBIN, OTHER]
    path.write_text('{"nhs_number": "4010232137"}\n')  # could be issued
    with pytest.raises(ConfigurationError, match=r"line 1 is no record.*--forget") as caught:
        Kept(path)
    assert "4010232137" not in str(caught.value)
    Kept(path, forget=True).close()
    assert kept_in(path) == []


def test_it_is_bounded_and_its_file_does_not_grow_with_changes(tmp_path: Path) -> None:
    """So many people and no more, each no longer than a line; old states of them go."""
    path = tmp_path / "people.jsonl"
    kept = Kept(path, at_most=1)
    kept.put(ROBIN)
    for refused in (OTHER, replace(ROBIN, family="x" * 20_000)):
        with pytest.raises(TooManyKept):
            kept.put(refused)
    for version in range(1_100):
        kept.put(replace(ROBIN, version=version))
    kept.close()
    assert len(path.read_text().splitlines()) < 200
    assert kept_in(path)[0].version == 1_099


def test_two_do_not_share_a_file_and_what_cannot_be_written_is_not_taken(tmp_path: Path) -> None:
    """The second keeps nothing; a full disk keeps the person out and leaves no half of a line."""
    path = tmp_path / "people.jsonl"
    kept = Kept(path)
    with pytest.raises(CannotKeep):
        Kept(path)
    with PdsThread([], kept=kept) as pds:
        full = os.open("/dev/full", os.O_WRONLY)
        mine, kept._file = kept._file, full
        base = pds.url.partition("/personal-")[0]
        body = {"nhs_number": ROBIN.nhs_number}
        assert httpx.post(f"{base}/sandbox/people", json=body).status_code == 507
        assert pds.pds.register.get(ROBIN.nhs_number) is None
        kept._file = mine
        os.close(full)
    kept.close()
    assert kept_in(path) == []
    with pytest.raises(CannotKeep):
        Kept(Path("/dev/null/none"))
