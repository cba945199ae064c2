"""Whom a search of the practice PDS finds: the real API's parameters, minima and manners.

Only what a child's trace needs is looked at; e-mail, phone and death date are accepted by the
real API and refused here as unknown. Scores are this sandbox's own arithmetic: 1 for all as
asked, less for a wildcard or a sound-alike. The real API's arithmetic is not published.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from halyard.names import normalise_name
from sandbox.pds import bodies
from sandbox.pds.people import Person, Register

MAX_RESULTS: Final = 50
_KNOWN: Final = frozenset(
    {"family", "given", "birthdate", "gender", "address-postalcode", "address-postcode"}
    | {"general-practitioner", "_fuzzy-match", "_exact-match", "_history", "_max-results"}
)
_REPEATABLE: Final = frozenset({"given", "birthdate"})
_DATE: Final = re.compile(r"(eq|ge|le)?([0-9]{4}-[0-9]{2}-[0-9]{2})", re.ASCII)
_SOUNDEX: Final = str.maketrans("bfpvcgjkqsxzdtlmnr", "111122222222334556")


class BadSearch(Exception):
    """The search breaks one of the API's rules; `problem` is the answer."""

    def __init__(self, problem: bodies.Problem, diagnostics: str | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.diagnostics = diagnostics


@dataclass(frozen=True, slots=True)
class Search:
    """A search that may be made."""

    family: str | None = field(default=None, repr=False)
    given: tuple[str, ...] = field(default=(), repr=False)
    born_from: str = field(default="", repr=False)
    born_to: str = field(default="9999", repr=False)
    gender: str | None = None
    postcode: str | None = field(default=None, repr=False)
    practice: str | None = None
    fuzzy: bool = False
    exact: bool = False
    history: bool = False
    max_results: int = 1


def read_search(parameters: Iterable[tuple[str, str]], *, restricted_mode: bool) -> Search:
    """Query parameters as a search. Raises `BadSearch` with the real API's answer.

    `restricted_mode`: as an application without a user has it, one result and no more.
    """
    values: dict[str, list[str]] = {}
    for name, value in parameters:
        if name not in _KNOWN:
            raise BadSearch(
                bodies.ADDITIONAL_PROPERTIES,
                "Invalid request with error - Additional properties are not allowed",
            )
        values.setdefault(name, []).append(value)
    if not values:
        raise BadSearch(bodies.UNSUPPORTED_SERVICE)
    for name, given_values in values.items():
        if len(given_values) > 1 and name not in _REPEATABLE:
            raise _invalid(name, given_values[-1])
        for value in given_values:
            if not 0 < len(value) <= 35:
                raise _invalid(name, value)
    if "address-postalcode" in values and "address-postcode" in values:
        raise BadSearch(bodies.INVALID_SEARCH_DATA, "Both postcode parameters were given")
    search = _assemble(values, _max_results(values, restricted_mode=restricted_mode))
    _check_minimum(search, dated="birthdate" in values)
    return search


def find(search: Search, register: Register) -> list[tuple[float, Person]]:
    """Who matches, best first, each person once; superseded records give their successor.

    Restricted people are not found by where they live or who treats them; invalidated and
    minimal ones not at all.
    """
    located = search.postcode is not None or search.practice is not None
    found: dict[str, tuple[float, Person]] = {}
    for person in register.born(search.born_from, search.born_to):
        if person.invalidated or person.minimal:
            continue
        score = _score(search, person)
        if score is None or (search.exact and score < 1):
            continue
        current = register.successor(person)
        if current is None or (located and current.restricted):
            continue
        if current.nhs_number not in found or found[current.nhs_number][0] < score:
            found[current.nhs_number] = (score, current)
    return sorted(found.values(), key=lambda hit: (-hit[0], hit[1].nhs_number))


def soundex(name: str) -> str:
    """The American Soundex code of a name's Latin letters; its own start if it has none."""
    letters = [letter for letter in normalise_name(name) if letter.isascii() and letter.isalpha()]
    if not letters:
        return normalise_name(name)[:4]
    coded, last = letters[0], letters[0].translate(_SOUNDEX)
    for letter in letters[1:]:
        code = letter.translate(_SOUNDEX)
        if code.isdigit() and code != last:
            coded += code
        if letter not in "hw":
            last = code
    return f"{coded:0<4}"[:4]


def _invalid(name: str, value: str) -> BadSearch:
    # The real API repeats the value, so a client must never log diagnostics
    return BadSearch(
        bodies.INVALID_VALUE,
        f"Invalid value - '{value}' in field '{name}'",
    )


def _only(values: Mapping[str, list[str]], name: str) -> str | None:
    return values[name][0] if name in values else None


def _flag(values: Mapping[str, list[str]], name: str) -> bool:
    value = values.get(name, ["false"])[0]
    if value not in ("true", "false"):
        raise _invalid(name, value)
    return value == "true"


def _max_results(values: Mapping[str, list[str]], *, restricted_mode: bool) -> int:
    text = values.get("_max-results", ["1" if restricted_mode else str(MAX_RESULTS)])[0]
    if not re.fullmatch(r"[0-9]{1,2}", text, re.ASCII) or not 1 <= int(text) <= MAX_RESULTS:
        raise _invalid("_max-results", text)
    if restricted_mode and int(text) != 1:
        raise BadSearch(bodies.TOO_MANY_WANTED)
    return int(text)


def _assemble(values: Mapping[str, list[str]], max_results: int) -> Search:
    born_from, born_to = "", "9999"
    for text in values.get("birthdate", []):
        match = _DATE.fullmatch(text)
        if match is None or not _is_date(match[2]):
            raise _invalid("birthdate", text)
        if match[1] != "le":
            born_from = max(born_from, match[2])
        if match[1] != "ge":
            born_to = min(born_to, match[2])
    gender = _only(values, "gender")
    if gender not in (None, "male", "female", "other", "unknown"):
        raise _invalid("gender", gender)
    postcode = _only(values, "address-postalcode") or _only(values, "address-postcode")
    return Search(
        family=_only(values, "family"),
        given=tuple(values.get("given", [])),
        born_from=born_from,
        born_to=born_to,
        gender=gender,
        postcode=postcode.replace(" ", "").upper() if postcode else None,
        practice=_only(values, "general-practitioner"),
        fuzzy=_flag(values, "_fuzzy-match"),
        exact=_flag(values, "_exact-match"),
        history=_flag(values, "_history"),
        max_results=max_results,
    )


def _is_date(text: str) -> bool:
    year, month, day = (int(part) for part in text.split("-"))
    return year > 0 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]


def _check_minimum(search: Search, *, dated: bool) -> None:
    if any("*" in name[:2] for name in (search.family or "", *search.given)):
        raise BadSearch(bodies.INVALID_SEARCH_DATA, "A wildcard may not be in the first two places")
    if not search.fuzzy:
        if not dated:
            raise BadSearch(
                bodies.MISSING_VALUE,
                "Missing value - 'birth_date/birth_date_range_start/birth_date_range_end'",
            )
        if search.family is None:
            raise BadSearch(bodies.INVALID_SEARCH_DATA, "Not enough search parameters were given")
        return
    if any("*" in text for text in (search.family or "", search.postcode or "", *search.given)):
        raise BadSearch(bodies.INVALID_SEARCH_DATA, "A fuzzy search may not have wildcards")
    names = (search.family is not None) + bool(search.given)
    placed = search.gender is not None and search.postcode is not None
    if not dated or names == 0 or (names == 1 and not placed):
        raise BadSearch(bodies.INVALID_SEARCH_DATA, "Not enough search parameters were given")


def _score(search: Search, person: Person) -> float | None:
    if search.gender is not None and search.gender != person.gender:
        return None
    if search.practice is not None and search.practice != person.practice:
        return None
    if search.postcode is not None and not fnmatchcase(
        (person.postcode or "").replace(" ", ""), search.postcode
    ):
        return None
    best: float | None = None
    for family, given, current in _names(search, person):
        score = _names_score(search, family, given)
        if score is not None:
            score = round(score if current else score - 0.02, 4)
            best = score if best is None else max(best, score)
    return best


def _names(search: Search, person: Person) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    yield person.family, person.given, True
    if search.history or search.fuzzy:
        for former in person.former_names:
            yield former.family or person.family, former.given or person.given, False


def _names_score(search: Search, family: str, given: tuple[str, ...]) -> float | None:
    straight = _one_way(search, family, given)
    if straight is None and search.fuzzy and search.family and search.given:
        turned = _one_way(search, given[0] if given else "", (family,))
        return None if turned is None else turned - 0.05
    return straight


def _one_way(search: Search, family: str, given: tuple[str, ...]) -> float | None:
    score = 1.0
    pairs: list[tuple[str, tuple[str, ...]]] = []
    if search.family:
        pairs.append((search.family, (family,)))
    pairs += [(wanted, given) for wanted in search.given]
    for wanted, held in pairs:
        part = max((_likeness(wanted, name, fuzzy=search.fuzzy) for name in held), default=0.0)
        if part == 0:
            return None
        score -= 1 - part
    return score


def _likeness(wanted: str, held: str, *, fuzzy: bool) -> float:
    pattern, name = normalise_name(wanted.replace("*", "")), normalise_name(held)
    if "*" in wanted:
        return 0.95 if pattern and name.startswith(pattern) else 0.0
    if pattern == name and name:
        return 1.0
    return 0.9 if fuzzy and name and soundex(wanted) == soundex(held) else 0.0
