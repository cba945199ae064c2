"""Steps as HL7 v2.4 messages in the ITK shape."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.support.behaviour.story import SITES, Step

_LONDON = ZoneInfo("Europe/London")
_GENDERS = {"male": "1", "female": "2"}


def render(step: Step, *, control_id: str, visit: str | None, now: datetime) -> bytes:
    """The message; `visit` is the visit number of the story's visit."""
    site = SITES[step.hospital]
    moment, written = _time(now, step.at), _time(now, step.recorded_at)
    if not step.times:
        moment = written = "20261399999999"
    segments = [
        _fields(
            "MSH|^~\\&",
            {
                3: "EDIS",
                4: step.hospital,
                5: "ROUTE",
                6: "ROUTE",
                7: written,
                9: f"ADT^{step.event}",
                10: control_id,
                11: "P",
                12: "2.4",
            },
            first=2,
        ),
        _fields("EVN", {2: written, 6: moment}),
        _pid(step),
    ]
    if step.retired is not None:
        segments.append(_fields("MRG", {1: f"{step.retired}^^^{step.hospital}^MR"}))
    if visit is not None:
        segments.append(
            _fields(
                "PV1",
                {
                    1: "1",
                    2: step.patient_class,
                    3: f"{step.department}^^^{site}",
                    4: step.method or "",
                    19: f"{visit}^^^VISITID",
                    37: step.destination or "",
                    45: "" if step.ended is None else _time(now, step.ended),
                },
            )
        )
        segments.append(
            _fields("PV2", {3: f"^{step.reason}" if step.reason else "", 38: step.mode or ""})
        )
    if step.acuity:
        segments.append(
            _fields("OBX", {1: "1", 2: "ST", 3: "11283-9^Acuity^LN", 5: step.acuity, 11: "F"})
        )
    if step.shielded:
        segments.append(_fields("ZU8", {4: "Y"}))
    return ("\r".join(segments) + "\r").encode()


def _pid(step: Step) -> str:
    person = step.shown.person
    identifiers = [f"{number}^^^NHS^NH" for number in step.given_numbers]
    identifiers.append(f"{step.local or step.who.local}^^^{step.hospital}^MR")
    fields = {
        1: "1",
        3: "~".join(identifiers),
        5: f"{person.family.upper()}^{' '.join(person.given).upper()}^^^^^L",
        7: (step.born if step.born is not None else person.birth_date).replace("-", ""),
        8: _GENDERS.get(person.gender, "0"),
        11: f"1 TEST STREET^^TESTTOWN^^{person.postcode}^GBR^H",
        32: f"NSTS{step.status}" if step.status else "",
    }
    if step.anonymous:
        fields.update({5: "", 7: "", 11: ""})
    if step.mother is not None:
        fields[21] = f"{step.mother.number}^^^NHS^NH~{step.mother.local}^^^{step.hospital}^MR"
    return _fields("PID", fields)


def _fields(name: str, values: dict[int, str], *, first: int = 0) -> str:
    last = max(values)
    return "|".join([name, *(values.get(number, "") for number in range(first + 1, last + 1))])


def _time(now: datetime, minutes: int) -> str:
    return (now + timedelta(minutes=minutes)).astimezone(_LONDON).strftime("%Y%m%d%H%M%S")
