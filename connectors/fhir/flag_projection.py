"""The answer of a look-up as FHIR R4: Flag, CarePlan and CareTeam for each plan. Pure.

What goes in are the JSON members of the answer after the sharing policy; nothing else is told.
The shapes follow published examples of the Patient Flags and CP-IS interfaces; `meta.profile` is
left out, since no conformance is claimed. A negative answer is never a bare Bundle: an
OperationOutcome says as of when, which authorities are covered, and how old their last file is.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.fhir.outcomes import RULES_SYSTEM
from connectors.fhir.writing import NHS_NUMBER, Pen, Resource, extension, partial, pruned

FLAG_SYSTEM: Final = "https://fhir.nhs.uk/England/CodeSystem/England-FlagCategoryPatient"
FLAG_CODE: Final = "child-protection-information-system-flag"
FLAG_WORDS: Final = "Child Protection - Information Sharing Flag"
_OLD_SYSTEM: Final = "https://fhir.nhs.uk/England/CodeSystem/PatientFlagCategory"

CODES: Final = frozenset(
    {
        (_OLD_SYSTEM, "CP-IS"),
        (FLAG_SYSTEM, FLAG_CODE),
        (FLAG_SYSTEM, "child-protection-information-sharing-flag"),
    }
)
"""Spellings of the flag's code that have been published; `FLAG_CODE` is the one we write."""

NONE_HELD_ADVICE: Final = (
    "Check in PDS that this is the person's current number: nothing is told under a number that "
    "PDS has superseded."
)
"""Stands with every negative answer, whatever the hub knows: said of some numbers alone it would
tell which are superseded, and so who has a new one.
"""

FLAG_DETAIL: Final = "http://hl7.org/fhir/StructureDefinition/flag-detail"
SNOMED: Final = "http://snomed.info/sct"
PLANS: Final[Mapping[str, tuple[str, str]]] = {
    "CPP": ("342191000000101", "Subject to child protection plan"),
    "LAC": ("764841000000100", "Looked after child"),
    "UCPP": ("818901000000100", "Unborn child subject to child protection plan"),
}
CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"

Members = Mapping[str, Any]


def is_flag_code(system: str, code: str) -> bool:
    """Whether a token of a search means our flag; without a system any spelling does."""
    return any(code == known and system in ("", of) for of, known in CODES)


def flag_bundle(cause: uuid.UUID, number: str, members: Members) -> Resource:
    """A searchset: the Flags match, their CarePlans and CareTeams are included."""
    pen = Pen(cause, with_number=True)
    subject = patient(number)
    matched, included = [], []
    for index, plan in _plans(members):
        name = str(index)
        matched.append(entry(pen, f"flag-{name}", _flag(pen, plan, subject, name), "match"))
        included += [
            entry(pen, f"plan-{name}", _care_plan(pen, plan, subject, name), "include"),
            entry(pen, f"team-{name}", _care_team(pen, plan, subject), "include"),
        ]
    return searchset(pen, members, matched, included)


def team_bundle(cause: uuid.UUID, number: str, members: Members) -> Resource:
    """A searchset of CareTeams, one for each plan."""
    pen = Pen(cause, with_number=True)
    subject = patient(number)
    matched = [
        entry(pen, f"team-{index}", _care_team(pen, plan, subject), "match")
        for index, plan in _plans(members)
    ]
    return searchset(pen, members, matched, [])


def searchset(
    pen: Pen, members: Members, matched: Sequence[Resource], included: Sequence[Resource]
) -> Resource:
    """A Bundle of what matched and what belongs to it, and last the outcome that says how far it
    may be believed; that one stands there also when nothing matched.
    """
    told = entry(pen, "outcome", lookup_outcome(pen, members), "outcome")
    return pruned(
        {
            "resourceType": "Bundle",
            "id": str(pen.cause),
            "type": "searchset",
            "timestamp": members.get("as_of"),
            "total": len(matched),
            "entry": [*matched, *included, told],
        }
    )


def patient(number: str) -> Resource:
    """A Reference to the patient by the number that was asked for."""
    return {"type": "Patient", "identifier": {"system": NHS_NUMBER, "value": number}}


def lookup_outcome(pen: Pen, members: Members) -> Resource:
    """An OperationOutcome: which of the three answers it is, and the coverage behind it."""
    issues = [_answer_issue(pen, members)]
    if members.get("answer") == "flagged" and not _tells_accesses(members):
        issues.append(
            _issue("warning", "accesses-withheld", "Who has looked is not told to you.", [])
        )
    issues += [_covered_issue(pen, one) for one in _rows(members, "coverage")]
    issues += [
        _issue("warning", "authority-not-covered", f"{_named(pen, one)} has sent no file yet.", [])
        for one in _rows(members, "not_covered")
    ]
    return {"resourceType": "OperationOutcome", "issue": issues}


def _tells_accesses(members: Members) -> bool:
    """Whether every access is told, each with its time: FHIR knows none without."""
    rows = _rows(members, "accesses")
    return members.get("accesses_rule") == "shown" and all(one.get("at") for one in rows)


RESTRICTED: Final = (
    "A restricted plan is held: ask nobody about it but your own safeguarding lead, now. The "
    "authorities that follow are those whose files were read, not those to ask."
)


def _answer_issue(pen: Pen, members: Members) -> Resource:
    answer = str(members.get("answer"))
    number = pen.text(members.get("number"))
    died = members.get("death_noted")
    # whoever is not told the authority may not take it from the coverage below, and ring it
    hidden = any(
        one.get("authority") is None and one.get("restricted") is not False
        for one in _rows(members, "flags")
    )
    words = {
        "flagged": RESTRICTED if hidden else "A plan is held; ask the authorities named with it.",
        "none-held": "No plan is held by the authorities that are covered, as of the time stated. "
        + NONE_HELD_ADVICE,
    }.get(answer, "This could not be checked; it says nothing about the child.")
    if died:
        words += " A case says that this person has died."
    return _issue(
        "information" if answer in ("flagged", "none-held") else "error",
        answer,
        words,
        [
            extension("as-of", "valueDateTime", members.get("as_of")),
            extension("coverage-as-of", "valueDateTime", members.get("coverage_as_of")),
            extension("reason", "valueCode", pen.code(members.get("reason"))),
            extension("number", "valueCode", number),
            extension("death-noted", "valueDateTime", died),
        ],
        kind="informational" if answer in ("flagged", "none-held") else "transient",
    )


def _covered_issue(pen: Pen, one: Members) -> Resource:
    stale = bool(one.get("stale"))
    at, age = one.get("last_file_at"), one.get("age_seconds")
    aged = "" if age is None else f", {age} seconds old"
    words = f"{_named(pen, one)}: last file {at or 'of an unstated time'}{aged}."
    return _issue(
        "warning" if stale else "information",
        "authority-stale" if stale else "authority-covered",
        words,
        [
            extension("authority", "valueString", pen.text(one.get("authority"))),
            extension("last-file-at", "valueDateTime", at),
            extension("age-seconds", "valueInteger", age),
            extension("unmatched-records", "valueInteger", one.get("unmatched_records")),
        ],
    )


def _issue(
    severity: str,
    rule: str,
    words: str,
    extensions: Sequence[Resource | None],
    *,
    kind: str = "informational",
) -> Resource:
    return pruned(
        {
            "extension": list(extensions),
            "severity": severity,
            "code": kind,
            "details": {"coding": [{"system": RULES_SYSTEM, "code": rule}], "text": words},
        }
    )


def _named(pen: Pen, one: Members) -> str:
    code, name = pen.text(one.get("authority")), pen.text(one.get("authority_name"))
    return " - ".join(part for part in (code, name) if part) or "An authority"


def _plans(members: Members) -> list[tuple[int, Members]]:
    return list(enumerate(_rows(members, "flags"), 1))


def _rows(members: Members, name: str) -> list[Members]:
    rows = members.get(name) or []
    return [one for one in rows if isinstance(one, Mapping)]


def _flag(pen: Pen, plan: Members, subject: Resource, name: str) -> Resource:
    return pruned(
        {
            "resourceType": "Flag",
            "meta": _meta(plan),
            "extension": [{"url": FLAG_DETAIL, "valueReference": pen.refer(f"plan-{name}")}],
            # withheld: nobody may take it for a plan that ended
            "status": "inactive" if plan.get("active") is False else "active",
            "code": {
                "coding": [{"system": FLAG_SYSTEM, "code": FLAG_CODE, "display": FLAG_WORDS}],
                "text": pen.text(plan.get("plan")),
            },
            "subject": subject,
            "period": _period(plan),
            "author": pen.organisation(plan.get("authority"), plan.get("authority_name") or ""),
        }
    )


def _care_plan(pen: Pen, plan: Members, subject: Resource, name: str) -> Resource:
    return pruned(
        {
            "resourceType": "CarePlan",
            "meta": _meta(plan),
            "status": _status(plan, "completed") or "unknown",
            "intent": "plan",
            "category": [_category(pen, plan)],
            "subject": subject,
            "period": _period(plan),
            "careTeam": [pen.refer(f"team-{name}")],
        }
    )


def _care_team(pen: Pen, plan: Members, subject: Resource) -> Resource:
    """Whom to ring: `work` is the office, `mobile` the emergency duty team (CP-IS data mapping)."""
    named = plan.get("authority") or plan.get("authority_name")
    phones = (("work", plan.get("phone_office")), ("mobile", plan.get("phone_emergency")))
    return pruned(
        {
            "resourceType": "CareTeam",
            "meta": _meta(plan),
            "status": _status(plan, "inactive"),
            "category": [_category(pen, plan)],
            # of a restricted child's plan no authority is named: the words say whom to ask
            "name": _named(pen, plan) if named else pen.text(plan.get("plan")),
            "subject": subject,
            "period": _period(plan),
            "telecom": [
                {"system": "phone", "value": told, "use": use}
                for use, phone in phones
                if (told := pen.text(phone))
            ],
        }
    )


def _status(plan: Members, ended: str) -> str | None:
    """None where it is withheld."""
    active = plan.get("active")
    if active is None:
        return None
    return "active" if active else ended


def _category(pen: Pen, plan: Members) -> Resource | None:
    words = pen.text(plan.get("plan"))
    known = PLANS.get(str(plan.get("plan_type")))
    coding = [{"system": SNOMED, "code": known[0], "display": known[1]}] if known else []
    return pruned({"coding": coding, "text": words}) or None


def _period(plan: Members) -> Resource:
    return pruned({"start": partial(plan.get("start")), "end": partial(plan.get("end"))})


def _meta(plan: Members) -> Resource | None:
    label = {"system": CONFIDENTIALITY, "code": "R"}
    return None if plan.get("restricted") is False else {"security": [label]}


def entry(pen: Pen, name: str, resource: Resource, mode: str) -> Resource:
    """An entry of a searchset; `mode` is match, include or outcome."""
    return {**pen.entry(name, resource), "search": {"mode": mode}}
