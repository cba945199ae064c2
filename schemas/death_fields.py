"""What the forms of child death review ask: the fields that a `schemas.deaths.Fact` may have.

Read from ``schemas/death_fields.toml``; ``python -m schemas.death_fields --write`` makes
``docs/reference/death-fields.md`` of it. Forms change every April: a field is added there, and what
a sender asks beyond it travels under `UNLISTED` names. Pure but for reading the file.
"""

from __future__ import annotations

import functools
import sys
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

Type = Literal["text", "code", "date", "partial-date", "time", "boolean", "integer", "decimal"]
FormKind = Literal["notification", "report", "both"]

UNLISTED: Final = "unlisted"
"""Facts of no field of the catalogue are named ``unlisted.<what the sender calls it>``, or this."""

REPORT_SECTIONS: Final = (
    "child",
    "parenting-and-family",
    "environment",
    "service-provision",
    "circumstances",
    "social-care",
)
"""The sections for which an agency can be asked."""

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "death-fields.md"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `codes` is empty where any code goes; `location`: an address or place, which
    nobody is told of a restricted child; `opinion`: a judgement unless its sender says otherwise;
    `patient`: the element of Patient that says it too.
    """

    name: str
    label: str
    form: FormKind
    section: str
    type: Type
    source: str
    codes: tuple[str, ...] = ()
    group: str | None = None
    location: bool = False
    opinion: bool = False
    patient: str | None = None

    @property
    def fhir(self) -> str:
        """Where a message says it."""
        item = f"QuestionnaireResponse.item `{self.name}`"
        if self.group:
            item = f"QuestionnaireResponse.item `{self.group}` > `{self.name}`"
        return f"{self.patient}; {item}" if self.patient else item


@functools.cache
def catalogue() -> dict[str, Field]:
    """Every field by its name, in the file's order."""
    table = tomllib.loads((resources.files("schemas") / "death_fields.toml").read_text("utf-8"))
    found: dict[str, Field] = {}
    for one in table["set"]:
        for entry in one["fields"]:
            made = _field(one, entry, table)
            if made.name in found:
                raise ValueError(f"schemas/death_fields.toml: {made.name} is there twice")
            found[made.name] = made
    return found


@functools.cache
def groups() -> frozenset[str]:
    """The names of the repeating groups."""
    return frozenset(one.group for one in catalogue().values() if one.group)


def is_location(name: str) -> bool:
    """Whether a fact of this name may tell where somebody lives or is; a field that is not in the
    catalogue may.
    """
    found = catalogue().get(name)
    return found is None or found.location


def _field(shared: dict[str, Any], entry: dict[str, Any], table: dict[str, Any]) -> Field:
    codes = entry.get("codes", ())
    return Field(
        name=entry["name"],
        label=entry["label"],
        form=shared["form"],
        section=shared["section"],
        type=entry.get("type", "text"),
        source=table["sources"][shared["source"]],
        codes=tuple(table["codes"][codes] if isinstance(codes, str) else codes),
        group=shared.get("group"),
        location=entry.get("location", False),
        opinion=entry.get("opinion", False),
        patient=entry.get("patient"),
    )


_HEAD: Final = """\
# Fields of child death review

Made from `schemas/death_fields.toml` by `python -m schemas.death_fields --write`; change it there.

Each question of the forms, where a message says it, and under which name it goes on: a *fact*
(`schemas.deaths.Fact`) has that name on the bus and in a case, and is a row of `ncmd.facts` in the
NCMD store, with the same name in its column `name`. How a message is shaped:
[fhir-deaths.md](fhir-deaths.md).

- **form**: N notification, R report, NR both.
- **type**: `date` is ISO; `partial-date` may lack its day and month; `time` is `HH:MM`; `boolean`
  is `true` or `false`; a `code` without a list is taken as it is.
- **marks**: *place*: it tells where somebody lives or is, and is dropped of a restricted child;
  *opinion*: a judgement unless its sender says otherwise; *repeats*: rows of a group, from 1.
- What has no value says why: `unknown`, `not-applicable`, `not-asked`. Each fact has its
  provenance: organisation, fact or opinion, as at.
- What a sender asks beyond this list, and what is not of its field's type, is kept as text under
  `unlisted.…`, and counts as a place.

No data dictionary of the National Child Mortality Database is published, and none is claimed here:
the names are this product's. The sources are the published forms and tables that a field was found
in; "own" marks what none of them confirms.
"""


def page() -> str:
    """The reference page."""
    parts = [_HEAD]
    sections: dict[str, list[Field]] = {}
    for one in catalogue().values():
        sections.setdefault(one.section, []).append(one)
    for section, fields in sections.items():
        parts.append(f"\n## {section.replace('-', ' ').capitalize()}\n\n")
        parts.append(
            "| fact, `ncmd.facts.name` | form | type | marks | FHIR | source |\n"
            "|---|---|---|---|---|---|\n"
        )
        parts += [_row(one) for one in fields]
    parts.append("\n## Code lists\n\n| fields | codes |\n|---|---|\n")
    lists: dict[tuple[str, ...], list[str]] = {}
    for one in catalogue().values():
        if one.codes:
            lists.setdefault(one.codes, []).append(one.name)
    for codes, names in lists.items():
        told = ", ".join(f"`{name}`" for name in names)
        parts.append(f"| {told} | {', '.join(f'`{code}`' for code in codes)} |\n")
    return "".join(parts)


def _row(one: Field) -> str:
    form = {"notification": "N", "report": "R", "both": "NR"}[one.form]
    marks = [
        word
        for word, holds in (
            ("place", one.location),
            ("opinion", one.opinion),
            ("repeats", one.group is not None),
        )
        if holds
    ]
    return (
        f"| `{one.name}`: {one.label} | {form} | {one.type} | {', '.join(marks)} | {one.fhir} "
        f"| {one.source} |\n"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), "utf-8")
    else:
        sys.stdout.write(page())
