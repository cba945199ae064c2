"""Whom a search of the practice PDS finds: the real API's parameters, minima and manners.

As the real API's documentation of its search says it: names of use usual, nickname and temp are
searched always, old and maiden names and former postcodes on history, which a fuzzy search always
includes; in a fuzzy search practice and date of death find nobody and only lower the score.

This sandbox's own, since the real API's is not published: the scores (1 for all as asked, less
for a wildcard, a sound-alike, names the other way round or history), that a partial date of birth
is found only by a range that holds it, and that a postcode may have its wildcard anywhere.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from halyard.names import normalise_name
from sandbox.pds import bodies
from sandbox.pds.people import Person, Register

MAX_RESULTS: Final = 50
_KNOWN: Final = frozenset(
    {"family", "given", "birthdate", "gender", "address-postalcode", "address-postcode"}
    | {"general-practitioner", "_fuzzy-match", "_exact-match", "_history", "_max-results"}
    | {"death-date", "email", "phone"}
)
_REPEATABLE: Final = frozenset({"given", "birthdate", "death-date"})
_LONGEST: Final = {"email": 254}  # of the others: 35
_NOWHERE: Final = "ZZ99"  # pseudo-postcodes: no fixed abode, not known, abroad
_USED_NOW: Final = ("usual", "nickname", "temp")
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
    died_from: str = field(default="", repr=False)
    died_to: str = field(default="9999", repr=False)
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
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
            if not 0 < len(value) <= _LONGEST.get(name, 35):
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
    born_from, born_to = _range(values, "birthdate")
    died_from, died_to = _range(values, "death-date")
    email, phone = _only(values, "email"), _only(values, "phone")
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
        died_from=died_from,
        died_to=died_to,
        email=email.casefold() if email else None,
        phone=phone,
        fuzzy=_flag(values, "_fuzzy-match"),
        exact=_flag(values, "_exact-match"),
        history=_flag(values, "_history"),
        max_results=max_results,
    )


def _range(values: Mapping[str, list[str]], name: str) -> tuple[str, str]:
    since, until = "", "9999"
    for text in values.get(name, []):
        match = _DATE.fullmatch(text)
        if match is None or not _is_date(match[2]):
            raise _invalid(name, text)
        if match[1] != "le":
            since = max(since, match[2])
        if match[1] != "ge":
            until = min(until, match[2])
    return since, until


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
    if (search.email is not None and search.email != (person.email or "").casefold()) or (
        search.phone is not None and search.phone != person.phone
    ):
        return None
    less = _less_for_place(search, person)
    if less is None:
        return None
    for agrees in (_practice_agrees(search, person), _death_agrees(search, person)):
        if not agrees:
            if not search.fuzzy:
                return None
            less += 0.05
    best: float | None = None
    for family, given, current in _names(search, person):
        score = _names_score(search, family, given)
        if score is not None:
            score = round(score - less - (0 if current else 0.02), 4)
            best = score if best is None else max(best, score)
    return None if best is None else max(best, 0.0)


def _less_for_place(search: Search, person: Person) -> float | None:
    """What the postcode takes from the score; None if the person is not found by it."""
    if search.postcode is None:
        return 0.0
    if search.postcode.startswith(_NOWHERE):
        return None
    if _lives(search.postcode, person.postcode):
        return 0.0
    if (search.history or search.fuzzy) and any(
        _lives(search.postcode, home.postcode) for home in person.former_homes
    ):
        return 0.02
    return None


def _lives(pattern: str, postcode: str | None) -> bool:
    held = (postcode or "").replace(" ", "").upper()
    return not held.startswith(_NOWHERE) and bool(held) and _like(pattern, held)


def _like(pattern: str, text: str) -> bool:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), text) is not None


def _practice_agrees(search: Search, person: Person) -> bool:
    return search.practice is None or search.practice == person.practice


def _death_agrees(search: Search, person: Person) -> bool:
    if not search.died_from and search.died_to == "9999":
        return True
    return person.deceased is not None and (
        search.died_from <= person.deceased[:10] <= search.died_to
    )


def _names(search: Search, person: Person) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    yield person.family, person.given, True
    history = search.history or search.fuzzy
    for former in person.former_names:
        in_use = former.use in _USED_NOW
        if history or in_use:
            yield former.family or person.family, former.given or person.given, in_use


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
    name = normalise_name(held)
    if "*" in wanted:
        pattern = "*".join(normalise_name(part) for part in wanted.split("*"))
        return 0.95 if len(pattern) > 1 and _like(pattern, name) else 0.0
    if normalise_name(wanted) == name and name:
        return 1.0
    return 0.9 if fuzzy and name and soundex(wanted) == soundex(held) else 0.0
