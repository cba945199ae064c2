"""The rules of the house that no other tool holds."""

from __future__ import annotations

import ast
import fnmatch
import functools
import importlib.metadata
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
ROOMS = (
    "halyard",
    "schemas",
    "stores",
    "policies",
    "connectors",
    "streams",
    "flag_service",
    "sandbox",
)
LONGEST = 400  # lines

# Modules that may be longer, each with its reason
LONG: Mapping[str, str] = {}

REGISTERS = {
    "docs/safety/hazards.yaml": "hazard",
    "docs/security/threats.yaml": "threat",
}


def modules() -> Iterator[Path]:
    """Every module of the product."""
    for room in ROOMS:
        yield from sorted((REPOSITORY / room).rglob("*.py"))


def relative(path: Path) -> str:
    """As it is written in lists and messages."""
    return path.relative_to(REPOSITORY).as_posix()


@functools.cache
def known_tests() -> Mapping[str, bool]:
    """``path::function`` of every test, and whether it has a docstring."""
    found = {}
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                found[f"{relative(path)}::{node.name}"] = bool(ast.get_docstring(node))
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
                # A stateful test: TestVisit = VisitMachine.TestCase
                names = [name.id for name in node.targets if isinstance(name, ast.Name)]
                if node.value.attr == "TestCase":
                    found.update({f"{relative(path)}::{name}": True for name in names})
    return found


@functools.cache
def register(name: str) -> list[dict[str, Any]]:
    """The entries of a register; read in C, which takes a tenth of the time."""
    entries = yaml.load((REPOSITORY / name).read_text("utf-8"), yaml.CSafeLoader)
    assert isinstance(entries, list)
    return entries


def unproven(entry: Mapping[str, Any], known: Mapping[str, bool]) -> list[str]:
    """What is wrong with the proof of an entry; empty if it names tests or a reason."""
    named = entry.get("test", [])
    named = [named] if isinstance(named, str) else named
    if entry.get("open"):
        return ["names a test and is open"] if named else []
    if not named:
        return ["names no test and gives no reason"]
    return [f"no test is {one}" for one in named if not fnmatch.filter(known, one)]


def test_every_module_says_what_it_is() -> None:
    """Each module that holds code begins with a docstring."""
    silent = [
        relative(path)
        for path in modules()
        if (tree := ast.parse(path.read_text("utf-8"))).body and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_no_module_is_too_long() -> None:
    """One noun a module: beyond 400 lines it holds two, unless its reason stands in `LONG`."""
    lengths = {relative(path): len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {name: count for name, count in lengths.items() if count > LONGEST} == {
        name: lengths[name] for name in LONG
    }


def test_every_test_states_its_claim() -> None:
    """Each test function has a docstring."""
    assert [name for name, stated in known_tests().items() if not stated] == []


def test_nothing_is_left_for_later_in_comments() -> None:
    """What is open stands in the registers and the change log, not in the code."""
    marks = re.compile(r"#.*\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    left = [relative(path) for path in modules() if marks.search(path.read_text("utf-8"))]
    assert left == []


def test_no_dependency_ships_one_of_our_names() -> None:
    """No installed distribution but our own brings a top-level package named like a room."""
    shipped = importlib.metadata.packages_distributions()
    others = {
        room: owners for room in ROOMS if (owners := set(shipped.get(room, ())) - {"halyard"})
    }
    assert others == {}


@pytest.mark.parametrize(("name", "kind"), REGISTERS.items())
def test_every_entry_of_a_register_is_complete(name: str, kind: str) -> None:
    """Entries have unique ids and all their fields."""
    entries = register(name)
    ids = [entry["id"] for entry in entries]
    assert len(ids) == len(set(ids))
    needed = {"id", kind, "cause", "effect", "control"}
    incomplete = {e["id"]: needed - e.keys() for e in entries if needed - e.keys()}
    assert incomplete == {}
    assert {key for e in entries for key in e} <= needed | {"test", "open"}


@pytest.mark.parametrize("name", REGISTERS)
def test_every_entry_of_a_register_is_proven_or_open(name: str) -> None:
    """Each hazard and threat names a test that exists, or says why none controls it yet."""
    problems = {e["id"]: found for e in register(name) if (found := unproven(e, known_tests()))}
    assert problems == {}


@pytest.mark.parametrize(
    ("entry", "problems"),
    [
        ({}, ["names no test and gives no reason"]),
        ({"test": []}, ["names no test and gives no reason"]),
        ({"test": "a.py::test_x"}, []),
        ({"test": "a*::test_*"}, []),
        ({"test": ["a.py::test_x", "a.py::test_y"]}, ["no test is a.py::test_y"]),
        ({"open": "not built"}, []),
        ({"open": "not built", "test": "a.py::test_x"}, ["names a test and is open"]),
    ],
)
def test_an_entry_without_proof_is_found(entry: dict[str, Any], problems: list[str]) -> None:
    """The rule above notices what it should."""
    assert unproven(entry, {"a.py::test_x": True}) == problems


def test_decisions_are_numbered_and_have_a_status() -> None:
    """docs/adr holds 0001, 0002, … without a gap, each with its number, title and status."""
    records = sorted((REPOSITORY / "docs" / "adr").glob("[0-9]*.md"))
    assert [path.name[:4] for path in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    wrong = [
        path.name
        for path in records
        if not re.match(
            rf"# {path.name[:4]}\. \S.*\n\nStatus: (accepted|proposed|superseded by \d{{4}})",
            path.read_text("utf-8"),
        )
    ]
    assert wrong == []


def test_the_change_log_begins_with_what_is_not_released() -> None:
    """CHANGELOG.md keeps the form of Keep a Changelog."""
    text = (REPOSITORY / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## \[Unreleased\]\n\n### (Added|Changed|Fixed|Removed)", text, re.MULTILINE)


def test_the_secret_scan_finds_a_secret(tmp_path: Path) -> None:
    """A file with a private key or a password in it is refused by name, each time; beside it
    what is clean is remembered only as long as it stays as it is."""
    key = "-----BEGIN " + "RSA PRIVATE KEY-----"
    (tmp_path / "key.txt").write_text(f"{key}\nMIIBOgIBAAJBAK\n")
    (tmp_path / "settings.py").write_text('password = "' + "hunter2-and-more" + '"\n')
    (tmp_path / "clean.py").write_text("password = ask()\n" * 9)

    def scan(*names: str) -> tuple[int, str]:
        command = (str(REPOSITORY / ".ci" / "secrets"), "--known", str(tmp_path / "known.json"))
        files = [str(tmp_path / name) for name in names]
        done = subprocess.run((*command, *files), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert scan("clean.py") == (0, "secrets: none found\n")
    for name in ("key.txt", "settings.py", "settings.py"):
        code, told = scan("clean.py", name)
        assert code == 1, name
        assert name in told
    (tmp_path / "clean.py").write_text((tmp_path / "settings.py").read_text())
    assert scan("clean.py")[0] == 1
