"""From PDS's JSON to the hub's own record and outcomes; fhir.resources stands here alone.

Read leniently: any field of a PDS record but its id may be missing. What cannot be validated as
FHIR is marked, and only what the hub needs and cannot read is a `Bug`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Final

from connectors.pds.outcomes import (
    Bug,
    Found,
    GetOutcome,
    Invalidated,
    InvalidNumber,
    NotFound,
    PdsRecord,
    RateLimited,
    SearchOutcome,
    Superseded,
    TokenRefused,
    TooMany,
    Unavailable,
)
from halyard.names import normalise_postcode
from halyard.nhs_number import check_digit

_DEATH_STATUS: Final = "Extension-UKCore-DeathNotificationStatus"
_FORMAL_DEATH: Final = "2"


def read_record(resource: Mapping[str, Any], *, today: date) -> PdsRecord | Bug:
    """One Patient resource as a record; `today` tells which name is in use."""
    number = resource.get("id")
    if resource.get("resourceType") != "Patient":
        return Bug("pds.bug.not_a_patient")
    if not isinstance(number, str) or not _is_number(number):
        return Bug("pds.bug.patient_without_number")
    identifiers = {text for each in _objects(resource, "identifier") if (text := _nhs(each))}
    if identifiers and number not in identifiers:
        return Bug("pds.bug.identifier_differs_from_id")
    try:
        valid = is_valid_fhir(resource)
    except RecursionError:  # the JSON parser takes what is nested deeper than the models can
        return Bug("pds.bug.nested_too_deeply")
    restricted = _is_restricted(resource)
    current, others = _names(resource, today)
    meta = resource.get("meta")
    return PdsRecord(
        nhs_number=number,
        family=_text(current.get("family")),
        given=_texts(current.get("given")),
        other_families=tuple(text for name in others if (text := _text(name.get("family")))),
        other_given=tuple(given for name in others if (given := _texts(name.get("given")))),
        birth_date=_text(resource.get("birthDate")),
        gender=_text(resource.get("gender")),
        postcode=None if restricted else _home_postcode(resource, today),
        restricted=restricted,
        deceased=_is_deceased(resource),
        birth_order=_birth_order(resource),
        version_id=_text(meta.get("versionId")) if isinstance(meta, dict) else None,
        warnings=() if valid else ("pds.warning.fhir_invalid",),
    )


def is_valid_fhir(resource: Mapping[str, Any]) -> bool:
    """True if the resource is a FHIR R4B Patient. Raises `RecursionError` for one that is nested
    without end.
    """
    # Imported late: the models cost half a second, which only a process that asks PDS should pay
    from fhir.resources.R4B.patient import Patient

    try:
        Patient.model_validate(resource)
    except ValueError:  # pydantic's; its message quotes the input, so it goes no further
        return False
    return True


def read_retrieval(status: int, body: Any, *, requested: str, today: date) -> GetOutcome:
    """The answer to a GET by number. `body`: decoded JSON, None if it was none."""
    if status == 200 and isinstance(body, dict) and body.get("resourceType") == "Patient":
        record = read_record(body, today=today)
        if isinstance(record, Bug):
            return record
        if record.nhs_number != requested:
            return Superseded(record, requested)
        return Found(record)
    outcome = _problem(status, body)
    return Bug("pds.bug.many_for_one_number", status) if isinstance(outcome, TooMany) else outcome


def read_search(status: int, body: Any, *, today: date) -> SearchOutcome:
    """The answer to a search. More than one entry is too many, whatever was asked for."""
    if status == 200 and isinstance(body, dict) and body.get("resourceType") == "Bundle":
        return _read_bundle(body, today)
    outcome = _problem(status, body)
    if isinstance(outcome, (Invalidated, InvalidNumber)):
        return Bug("pds.bug.number_answer_to_search", status)
    # "No such record" answers a question by number: to a search it is no "no match"
    if isinstance(outcome, NotFound):
        return Bug("pds.bug.not_found_answer_to_search", status)
    return outcome


def _read_bundle(bundle: Mapping[str, Any], today: date) -> SearchOutcome:
    entries = _objects(bundle, "entry")
    said = bundle.get("total")
    total = said if isinstance(said, int) and not isinstance(said, bool) else None
    if total == 0 and not entries:
        return NotFound("pds.search_no_match")
    if len(entries) > 1 or (total is not None and total > 1):
        return TooMany()
    if not entries or not isinstance(resource := entries[0].get("resource"), dict):
        return Bug("pds.bug.bundle_without_record", 200)
    if total is None:
        return Bug("pds.bug.bundle_without_total", 200)
    if total != len(entries):
        return Bug("pds.bug.bundle_total_differs", 200)
    record = read_record(resource, today=today)
    if isinstance(record, Bug):
        return record
    search = entries[0].get("search")
    score = search.get("score") if isinstance(search, dict) else None
    scored = isinstance(score, (int, float)) and not isinstance(score, bool) and 0 <= score <= 1
    return Found(record, score if scored else None, "pds.search_found")


_Problem = (
    Invalidated
    | NotFound
    | TooMany
    | InvalidNumber
    | Unavailable
    | RateLimited
    | TokenRefused
    | Bug
)


def _problem(status: int, body: Any) -> _Problem:
    """An answer that is no record: by its code; by HTTP status only where there is no code."""
    known: dict[str, _Problem] = {
        "TOO_MANY_MATCHES": TooMany(),
        "RESOURCE_NOT_FOUND": NotFound(),
        "INVALIDATED_RESOURCE": Invalidated(),
        "INVALID_RESOURCE_ID": InvalidNumber(),
        "ACCESS_DENIED": TokenRefused(),
        "UNABLE_TO_CALL_SERVICE": Unavailable("pds.unavailable.unable_to_call_service"),
        "TOO_MANY_REQUESTS": RateLimited(),
    }
    codes = tuple(_codes(body))
    if status >= 500:  # whatever it says: who fails does not know who there is
        return Unavailable(f"pds.unavailable.http_{status}")
    for code in codes:
        # With a 200 there is one known outcome that is no record; no other is an answer
        if code in known and (status != 200 or code == "TOO_MANY_MATCHES"):
            return known[code]
    if codes:
        if codes[0] in _OUR_FAULTS:
            return Bug(f"pds.bug.{codes[0].lower()}", status, refused=status == 400)
        named = codes[0] in known
        return Bug(f"pds.bug.{codes[0].lower()}" if named else "pds.bug.unknown_code", status)
    by_status: dict[int, _Problem] = {
        401: TokenRefused(),
        408: Unavailable("pds.unavailable.http_408"),
        429: RateLimited(),
    }
    # A 404 without a code is a wrong address or a proxy's: never "no such record"
    return by_status.get(status) or Bug("pds.bug.unreadable_answer", status)


_OUR_FAULTS: Final = frozenset(
    {"UNSUPPORTED_SERVICE", "MISSING_VALUE", "INVALID_VALUE", "INVALID_SEARCH_DATA"}
    | {"ADDITIONAL_PROPERTIES", "INVALID_METHOD", "NOT_SUPPORTED"}
)


def _codes(body: Any) -> Iterator[str]:
    if not isinstance(body, dict) or body.get("resourceType") != "OperationOutcome":
        return
    for issue in _objects(body, "issue"):
        details = issue.get("details")
        for coding in _objects(details, "coding") if isinstance(details, dict) else ():
            if code := _text(coding.get("code")):
                yield code


def _is_number(text: str) -> bool:
    return (
        len(text) == 10
        and text.isascii()
        and text.isdecimal()
        and check_digit(text[:9]) == int(text[9])
    )


def _nhs(identifier: Mapping[str, Any]) -> str | None:
    if identifier.get("system") != "https://fhir.nhs.uk/Id/nhs-number":
        return None
    return _text(identifier.get("value"))


def _is_restricted(resource: Mapping[str, Any]) -> bool:
    """Anything but a plain U: R, V (in the API's list, unexplained), others, none at all."""
    meta = resource.get("meta")
    labels = _objects(meta, "security") if isinstance(meta, dict) else []
    return not labels or any(label.get("code") != "U" for label in labels)


def _is_deceased(resource: Mapping[str, Any]) -> bool:
    if resource.get("deceasedDateTime") or resource.get("deceasedBoolean") is True:
        return True
    for extension in _objects(resource, "extension"):
        if str(extension.get("url")).endswith(_DEATH_STATUS):
            for part in _objects(extension, "extension"):
                concept = part.get("valueCodeableConcept")
                codings = _objects(concept, "coding") if isinstance(concept, dict) else []
                if any(coding.get("code") == _FORMAL_DEATH for coding in codings):
                    return True
    return False


def _birth_order(resource: Mapping[str, Any]) -> int | None:
    """The stated order of birth. 8 and 9 are no order (not applicable, not known); 1 may be that
    of an only child as well, and is taken for a first twin's: the error costs a person's look.
    """
    order = resource.get("multipleBirthInteger")
    if isinstance(order, int) and not isinstance(order, bool) and 1 <= order <= 7:
        return order
    return 1 if resource.get("multipleBirthBoolean") is True else None


def _names(
    resource: Mapping[str, Any], today: date
) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """The name in use (usual, of today; else the latest usual; else the first) and the others."""
    names = _objects(resource, "name")
    usual = [name for name in names if name.get("use") == "usual"]
    chosen = (
        [name for name in usual if _is_current(name, today)]
        or sorted(usual, key=lambda name: _period(name)[0], reverse=True)
        or names
    )
    if not chosen:
        return {}, []
    return chosen[0], [name for name in names if name is not chosen[0]]


def _home_postcode(resource: Mapping[str, Any], today: date) -> str | None:
    homes = [each for each in _objects(resource, "address") if each.get("use") == "home"]
    for home in [each for each in homes if _is_current(each, today)] or homes:
        if postcode := normalise_postcode(_text(home.get("postalCode"))):
            return postcode
    return None


def _period(element: Mapping[str, Any]) -> tuple[str, str]:
    period = element.get("period")
    if not isinstance(period, dict):
        return "", "9999"
    return _text(period.get("start")) or "", _text(period.get("end")) or "9999"


def _is_current(element: Mapping[str, Any], today: date) -> bool:
    # ISO text compares as dates do; a partial end ("2021") covers all of it
    start, end = _period(element)
    day = today.isoformat()
    return start <= day and (day <= end or day.startswith(end))


def _objects(container: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = container.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else []
    return tuple(text for each in values if (text := _text(each)))
