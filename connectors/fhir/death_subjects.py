"""Whom a message about a death is about. Pure.

Who is named and is not in the message is never taken for somebody who is, and two children are
never taken for one: not by a reference that both answer to, nor by a form that names nobody.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from connectors.fhir.outcomes import Issue
from connectors.fhir.persons import Identifiers, identifiers
from connectors.fhir.resources import Placed, contained, resolve_patients
from connectors.fhir.view import Json, obj, objs, text, texts

_PATIENT: Final = re.compile(r"(?:.*/)?Patient/[^/]+(?:/_history/.*)?", re.DOTALL)
_NOT_SAID: Final = frozenset({"id", "meta", "text", "resourceType"})  # of who somebody is


def subject_of(
    header: Placed, resources: Sequence[Placed], forms: Sequence[Placed], marks: list[str]
) -> Placed | Issue | None:
    """Whom the forms are about, else the Patient in focus, else the only one; None if there is
    none. Adds to `marks`.
    """
    patients = [_mended(one) for one in resources if one.kind == "Patient"]
    others = [one for one in resources if one.kind != "Patient"]
    people = _People([*others, *patients], patients, marks)
    named: dict[str, Placed] = {}
    silent: Placed | None = None
    for form in forms:
        found = people.subject(form)
        if isinstance(found, Issue):
            return found
        if found is None:
            silent = silent or form
        else:
            named[found.place] = found
    if silent is not None:
        inner = [one for form in forms for one in contained(form) if one.kind == "Patient"]
        everybody = [*named.values(), *patients, *inner]
        if everybody and people.one_person(everybody) is None:
            return Issue("patient-ambiguous", f"{silent.place}.subject")
    if named:
        return people.one_person(list(named.values())) or Issue("patient-ambiguous", "Bundle.entry")
    return people.focused(header)


def tells_somebody(patient: Json) -> bool:
    """Whether anything stands in `patient` by which somebody could be found."""
    found = identifiers(_mended(Placed("", "", patient)).content)
    names = (
        text(one, "family") or text(one, "text") or texts(one, "given")
        for one in objs(patient, "name")
    )
    return bool(found.number or found.local_id or text(patient, "birthDate") or any(names))


class _People:
    """The Patients of a message; what each is called by is read once."""

    def __init__(
        self, resources: Sequence[Placed], patients: Sequence[Placed], marks: list[str]
    ) -> None:
        self._resources = resources
        self._patients = patients
        self._marks = marks
        self._named: dict[str, set[tuple[str, str]]] = {}  # by place
        self._carrying: dict[tuple[str, str], list[Placed]] | None = None

    def subject(self, form: Placed) -> Placed | Issue | None:
        """Whom a form's subject names; None if it names nobody."""
        subject, place = obj(form.content, "subject"), f"{form.place}.subject"
        found = resolve_patients(self._resources, subject, form.content, form.place)
        logical = obj(subject, "identifier")
        if not found and text(logical, "value"):
            found = self._by_identifier(logical)
            if not found:
                self._marks.append("patient-by-identifier-alone")
                return Placed(place, "", {"resourceType": "Patient", "identifier": [logical]})
        if found:
            return self.one_person(found) or Issue("patient-ambiguous", place)
        return Issue("patient-missing", place) if text(subject, "reference") else None

    def focused(self, header: Placed) -> Placed | Issue | None:
        """The Patient in focus, else the only one."""
        chosen: list[Placed] = []
        for reference in objs(header.content, "focus"):
            found = resolve_patients(self._resources, reference, header.content, header.place)
            elsewhere = not found and _PATIENT.fullmatch(text(reference, "reference"))
            if elsewhere and self._patients:
                return Issue("patient-missing", f"{header.place}.focus")
            chosen += found
        chosen = chosen or list(self._patients)
        if not chosen:
            return None
        return self.one_person(chosen) or Issue("patient-ambiguous", "Bundle.entry")

    def one_person(self, people: Sequence[Placed]) -> Placed | None:
        """Who says most of `people`, if they are one: the same Patient, or of one identifier
        without anything that contradicts; None if not.
        """
        several = list({one.place: one for one in people}.values())
        best = max(several, key=lambda one: len(one.content))
        for one in several:
            if one is best or _said(one.content) == _said(best.content):
                continue
            if self._names(best).isdisjoint(self._names(one)):
                return None
            if _contradict(best.content, one.content):
                return None
        return best

    def _names(self, patient: Placed) -> set[tuple[str, str]]:
        if patient.place not in self._named:
            self._named[patient.place] = _names(patient.content)
        return self._named[patient.place]

    def _by_identifier(self, logical: Json) -> list[Placed]:
        if self._carrying is None:
            self._carrying = defaultdict(list)
            for one in self._patients:
                for name in self._names(one):
                    self._carrying[name].append(one)
        wanted = identifiers({"identifier": [logical]})
        return self._carrying.get(_wanted(logical, wanted), [])


def _wanted(logical: Json, found: Identifiers) -> tuple[str, str]:
    if found.numbers:
        return ("", found.numbers[0])
    return (f"{text(logical, 'system').rstrip('/')}|", text(logical, "value"))


def _names(patient: Json) -> set[tuple[str, str]]:
    """What a Patient is called by: usable NHS numbers, and values with their systems."""
    found = {("", number) for number in identifiers(patient).numbers}
    return found | {
        (f"{text(one, 'system').rstrip('/')}|", text(one, "value"))
        for one in objs(patient, "identifier")
        if text(one, "value")
    }


def _said(patient: Json) -> Json:
    return {name: value for name, value in patient.items() if name not in _NOT_SAID}


def _contradict(one: Json, other: Json) -> bool:
    """Whether two Patients of one identifier are two children all the same (twins with one number
    between them).
    """
    born = text(one, "birthDate"), text(other, "birthDate")
    if all(born) and not (born[0].startswith(born[1]) or born[1].startswith(born[0])):
        return True
    orders = one.get("multipleBirthInteger"), other.get("multipleBirthInteger")
    if None not in orders and orders[0] != orders[1]:
        return True
    given = [
        {given.casefold() for name in objs(each, "name") for given in texts(name, "given")}
        for each in (one, other)
    ]
    return all(given) and given[0].isdisjoint(given[1])


def _mended(patient: Placed) -> Placed:
    """`patient` with identifiers that were written as JSON numbers as text."""
    listed = objs(patient.content, "identifier")
    if not any(type(one.get("value")) is int for one in listed):
        return patient
    whole = [
        {**one, "value": str(one["value"])} if type(one.get("value")) is int else one
        for one in listed
    ]
    content = {**patient.content, "identifier": whole}
    return Placed(patient.place, patient.full_url, content, patient.own)
