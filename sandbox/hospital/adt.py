"""ADT messages as an English department writes them (ITK HL7 v2.4), about invented people."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sandbox.pds.people import Person

_LONDON: Final = ZoneInfo("Europe/London")
_STRUCTURES: Final = {
    "A01": "ADT_A01",
    "A03": "ADT_A03",
    "A04": "ADT_A01",
    "A05": "ADT_A05",
    "A08": "ADT_A01",
    "A11": "ADT_A09",
    "A40": "ADT_A39",
}
_SEX: Final = {"male": "1", "female": "2"}


@dataclass(frozen=True, slots=True)
class Place:
    """A department: what stands in PV1-2 to PV1-4."""

    department: str
    patient_class: str  # E emergency, I in-patient, O out-patient
    admission_method: str  # NHS Data Dictionary; 21 is A&E, 31 and 32 maternity, 82 a birth


@dataclass(frozen=True, slots=True)
class Told:
    """One message to be: what happened to whom, where and when.

    `local_id` is the hospital's own number; `number_known` False leaves the NHS number out.
    `mother` are the local id and the NHS number of the mother, of a newborn (PID-21); `retired` the
    local id that a merge takes out of use.
    """

    trigger: str
    at: datetime  # aware
    person: Person = field(repr=False)
    local_id: str
    visit: str
    place: Place
    reason: str = ""
    mode: str = ""
    number_known: bool = True
    mother: tuple[str, str] | None = field(default=None, repr=False)
    retired: str | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """The feed: MSH-3 and MSH-4, and the mark that is in every control id and visit number."""

    application: str
    facility: str
    run: str

    def message(self, told: Told, serial: int, *, control_id: str | None = None) -> bytes:
        """The message `told`, in UTF-8. `serial` orders (MSH-13) and makes the control id."""
        at = told.at.astimezone(_LONDON).strftime("%Y%m%d%H%M%S")
        control = control_id or f"{self.run}-{serial:05}"
        kind = f"ADT^{told.trigger}^{_STRUCTURES[told.trigger]}"
        head = (
            f"MSH|^~\\&|{self.application}|{self.facility}|ROUTE|ROUTE|{at}||{kind}|{control}|P|2.4"
            f"|{serial}||||GBR|UNICODE|EN||ITKv1.0"
        )
        segments = [
            head,
            f"EVN||{at}||||{at}",
            self._pid(told),
        ]
        if told.retired is not None:
            segments.append(f"MRG|{told.retired}^^^{self.facility}^MR")
        else:
            segments.append(
                f"PV1|1|{told.place.patient_class}|{told.place.department}^^^{self.facility}01"
                f"|{told.place.admission_method}{'|' * 15}{self.run}V{told.visit}^^^VISITID"
            )
            if told.reason or told.mode:
                segments.append(f"PV2|||^{told.reason}{'|' * 35}{told.mode}")
        return ("\r".join(segments) + "\r").encode()

    def _pid(self, told: Told) -> str:
        person = told.person
        identifiers = [f"{told.local_id}^^^{self.facility}^MR"]
        if told.number_known and person.nhs_number:
            identifiers.insert(0, f"{person.nhs_number}^^^NHS^NH")
        status = "01" if told.number_known else "03"
        fields = {
            1: "1",
            3: "~".join(identifiers),
            5: f"{person.family.upper()}^{'^'.join(name.upper() for name in person.given[:2])}",
            7: person.birth_date.replace("-", ""),
            8: _SEX.get(person.gender, "0"),
            11: f"1 TEST STREET^^TESTTOWN^^{person.postcode or ''}^GBR^H",
            32: f"NSTS{status}",
        }
        if told.mother is not None:
            local_id, number = told.mother
            fields[21] = f"{number}^^^NHS^NH~{local_id}^^^{self.facility}^MR"
        return "|".join(["PID", *(fields.get(number, "") for number in range(1, 33))])


def later(told: Told, trigger: str, at: datetime, **changed: str) -> Told:
    """What comes next in the same visit."""
    return replace(told, trigger=trigger, at=at, **changed)  # type: ignore[arg-type]  # texts only
