"""An extract tells no more than a guardian was asked about, honours whole lists of opt-outs, and
its files are not lost.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from halyard.errors import PermanentError
from tests.integration.policies.conftest import KEYS, Desk
from tests.integration.policies.test_extract import (
    CHILD,
    OTHER,
    THIRD,
    audit,
    child,
    collected,
    held,
    imported,
    released,
)
from tests.support.policies import folder, package_files

MORE = ["child.religion", "died_year"]


def policies(tmp_path: Path, **changes: Any) -> str:
    """The package's own, with another policy for extracts, of more fields."""
    files = package_files()
    extract = files["example-research"]
    extract["recipients"][0]["fields"] = [*extract["recipients"][0]["fields"], *MORE]
    extract.update(changes)
    return str(folder(tmp_path / "new", *files.values()))


async def test_a_guardian_sees_every_field_that_is_asked_for(desk: Desk) -> None:
    """Before the decision and with it; nothing that is handed over was not among them."""
    await desk.add(child(1), person=KEYS.person(CHILD))
    await imported(desk, THIRD)
    release = await held(desk)
    shown = await desk.of("extract", "show", release)
    assert "age_band" in shown["fields"]
    assert shown["fields"][0] in await desk.run("extract", "show", release)
    reason = ("--reason", "Approved")
    decide = ("extract", "decide", release, "--release", "--by", "guardian", *reason)
    assert (await desk.of(*decide))["fields"] == shown["fields"]
    _, rows = await collected(desk, release)
    assert set(rows[0][1:]) == set(shown["fields"])


async def test_another_version_of_the_policy_asks_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was approved under one version is not collected under the next; the refusal is
    recorded.
    """
    await imported(desk, THIRD)
    release = await released(desk)
    monkeypatch.setenv("HALYARD_POLICIES__DIRECTORY", policies(tmp_path, version=2))
    out = ("--out", str(desk.home / "out.csv"), "--by", "analyst")
    told = await desk.of("extract", "collect", release, *out, code=1)
    assert (told["state"], told["rule"]) == ("denied", "other-policy")
    assert (await audit(desk))[-1]["rule"] == "other-policy"
    assert not (desk.home / "out.csv").exists()


async def test_a_field_that_nobody_was_asked_about_does_not_leave(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where a file was changed and its version was not."""
    await desk.add(child(1), person=KEYS.person(CHILD))
    await imported(desk, THIRD)
    release = await released(desk)
    monkeypatch.setenv("HALYARD_POLICIES__DIRECTORY", policies(tmp_path))
    _, rows = await collected(desk, release)
    assert set(rows[0]).isdisjoint(MORE)
    for one in await audit(desk):
        assert set(one.get("fields", ())).isdisjoint(MORE)


async def import_fails(desk: Desk, text: str, *more: str) -> str:
    """Why a list is not imported."""
    path = desk.home / "list.txt"
    path.write_text(text)
    with pytest.raises(PermanentError) as refused:
        await desk.run("extract", "opt-outs", "import", str(path), "--by", "op", *more)
    return refused.value.message


async def test_an_empty_list_of_opt_outs_wipes_none(desk: Desk) -> None:
    """Nor does it count as fresh; a list that is much shorter is one too, unless its amount is
    stated, and right.
    """
    await imported(desk, CHILD, OTHER)
    assert "names 0 people" in await import_fails(desk, "\n")
    assert "state the amount" in await import_fails(desk, f"{CHILD}\n")
    assert "not 3" in await import_fails(desk, f"{CHILD}\n", "--amount", "3")
    assert len(await desk.query("select person from opt_outs")) == 2
    assert len(await desk.query("select amount from opt_out_imports")) == 1
    await imported(desk, CHILD, more=("--amount", "1"))
    assert len(await desk.query("select person from opt_outs")) == 1


async def test_the_first_list_is_not_empty_either(desk: Desk) -> None:
    """A wrong export must not make extracts possible."""
    assert "names 0 people" in await import_fails(desk, "")
    await imported(desk, more=("--amount", "0"))


async def test_files_that_cannot_be_named_are_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release is handed over by then, once: the command says where the files are."""
    await desk.add(child(1), person=KEYS.person(CHILD))
    await imported(desk, THIRD)
    release = await released(desk)

    def fails(*_: Any) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "replace", fails)
    monkeypatch.setattr(os, "link", fails)
    out = ("--out", str(desk.home / "out.csv"), "--by", "analyst")
    with pytest.raises(PermanentError) as failed:
        await desk.run("extract", "collect", release, *out)
    parts = sorted(desk.home.glob(".out.csv*.part"))
    assert len(parts) == 2
    assert all(str(one) in failed.value.message for one in parts)
    assert all(one.stat().st_size for one in parts)
    (row,) = await desk.query("select state from releases")
    assert row["state"] == "handed"


async def test_a_collection_that_fails_leaves_no_name_behind(desk: Desk) -> None:
    """Names are taken first, and given back; what was there stays."""
    release = await held(desk)
    out = ("--out", str(desk.home / "out.csv"), "--by", "analyst")
    with pytest.raises(PermanentError):
        await desk.run("extract", "collect", release, *out)
    (desk.home / "out.csv.summary.csv").write_text("precious")
    await desk.run("extract", "collect", release, *out, code=2)
    assert [one.name for one in desk.home.glob("*out.csv*")] == ["out.csv.summary.csv"]
    assert (desk.home / "out.csv.summary.csv").read_text() == "precious"
