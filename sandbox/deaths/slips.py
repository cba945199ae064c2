"""What goes wrong when somebody tells of a child: left out, mistyped, called otherwise, moved.

Each is a chance of its own, set here; no published figures exist, so these are guesses on the
pessimistic side. The first notification of a child suffers them as later ones do.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

from halyard.nhs_number import check_digit
from sandbox.deaths import names
from sandbox.deaths.bundles import Child

# Chances, each of one notification
UNNAMED_NEWBORN: Final = 0.25  # "Baby", "Twin 1"
MOTHERS_NAME: Final = 0.10  # a newborn is filed under it
NICKNAME: Final = 0.03
SPELLING: Final = 0.04
NAME_SLIP: Final = 0.03  # given and family name, each
SECOND_NAME: Final = 0.02  # only the middle name is told
NO_SECOND_NAME: Final = 0.5
EXCHANGED: Final = 0.004  # given name and family name
HALF_NAME: Final = 0.3  # one half of a double-barrelled name
DATE_SLIP: Final = 0.015  # each date
NEXT_DAY: Final = 0.04  # death about midnight
PARTIAL_DATE: Final = 0.005  # each date
NO_BIRTH_DATE: Final = 0.005
MOVED: Final = 0.04
POSTCODE_SLIP: Final = 0.02
NO_POSTCODE: Final = 0.04
SEX_WRONG: Final = 0.003
NO_SEX: Final = 0.02
NUMBER_SLIP: Final = 0.01
OTHER_NUMBER: Final = 0.003  # a second number, given by mistake or after an adoption
ORDER_TOLD: Final = 0.6  # of twins, while newborn
TIME_TOLD: Final = 0.6  # of newborns; by others than hospitals half as often
TIME_OTHER: Final = 0.05  # rounded, or of another clock
WEIGHT_TOLD: Final = 0.6
NEWBORN_SHARE: Final = 0.4  # of the population; they lack a number three times as often


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told of a child; all of it, before anything goes wrong."""

    patient: Child = field(repr=False)
    birth_order: int | None
    birth_time: str | None = field(repr=False)
    weight: int | None
    mother: str = field(repr=False)
    newborn: bool
    days: int
    hospital: bool
    slips: tuple[str, ...] = ()


@dataclass(slots=True)
class _Luck:
    """Chances, and which of them came true."""

    chance: random.Random
    slips: list[str] = field(default_factory=list)

    def slips_in(self, name: str, share: float) -> bool:
        if self.chance.random() >= share:
            return False
        self.slips.append(name)
        return True


def retold(chance: random.Random, told: Telling, missing_numbers: float) -> Telling:
    """As somebody tells it. `missing_numbers`: the share without an NHS number, over all."""
    luck = _Luck(chance)
    patient = _named(luck, told)
    patient = _dated(luck, patient)
    patient = _placed(luck, patient)
    average = NEWBORN_SHARE * 3 + (1 - NEWBORN_SHARE)
    share = missing_numbers / average * (3 if told.newborn else 1)
    if luck.slips_in("no-number", share):
        patient = replace(patient, nhs_number=None)
    elif luck.slips_in("number-slip", NUMBER_SLIP):
        patient = replace(patient, nhs_number=_wrong_digit(chance, patient.nhs_number or ""))
    elif luck.slips_in("other-number", OTHER_NUMBER):
        patient = replace(patient, nhs_number=_another(chance))
    told_order = told.newborn and chance.random() < ORDER_TOLD
    time = told.birth_time
    if time is not None:
        if chance.random() >= (TIME_TOLD if told.hospital else TIME_TOLD / 2):
            time = None
        elif luck.slips_in("time-other", TIME_OTHER):
            time = f"{time[:2]}:{int(time[3:]) // 15 * 15:02}"
    return replace(
        told,
        patient=patient,
        birth_order=told.birth_order if told_order else None,
        birth_time=time,
        weight=told.weight if chance.random() < WEIGHT_TOLD else None,
        slips=tuple(luck.slips),
    )


def _named(luck: _Luck, told: Telling) -> Child:
    chance, patient = luck.chance, told.patient
    given, middle = patient.given
    family = patient.family or ""
    if "-" in family and luck.slips_in("half-name", HALF_NAME):
        family = family.split("-")[chance.randrange(2)]
    if told.newborn and luck.slips_in("mothers-name", MOTHERS_NAME):
        family = told.mother
    if luck.slips_in("family-slip", NAME_SLIP):
        family = names.slip(chance, family)
    if told.newborn and luck.slips_in("unnamed", UNNAMED_NEWBORN):
        return replace(patient, family=family, given=(_unnamed(chance, told),))
    if given in names.NICKNAMES and luck.slips_in("nickname", NICKNAME / _share(names.NICKNAMES)):
        given = names.NICKNAMES[given]
    elif given in names.SPELLINGS and luck.slips_in("spelling", SPELLING / _share(names.SPELLINGS)):
        given = names.SPELLINGS[given]
    elif luck.slips_in("given-slip", NAME_SLIP):
        given = names.slip(chance, given)
    elif luck.slips_in("second-name", SECOND_NAME):
        given, middle = middle, ""
    if chance.random() < NO_SECOND_NAME:
        middle = ""
    if luck.slips_in("exchanged", EXCHANGED):
        given, family = family, given
    return replace(patient, family=family, given=tuple(one for one in (given, middle) if one))


def _share(table: dict[str, str]) -> float:
    """The share of children whose name is in a table, about."""
    return len(table) / sum(len(known) for known in names.GIVEN.values())


def _unnamed(chance: random.Random, told: Telling) -> str:
    if told.birth_order is not None and chance.random() < 0.7:
        words = ("1", "2") if chance.random() < 0.5 else ("One", "Two")
        return f"Twin {words[told.birth_order - 1]}"
    return chance.choice(("Baby", "Baby Girl" if told.patient.sex == "female" else "Baby Boy"))


def _dated(luck: _Luck, patient: Child) -> Child:
    chance = luck.chance
    born = date.fromisoformat(patient.birth_date or "")
    died = date.fromisoformat(patient.died or "")
    birth: str | None = born.isoformat()
    death = died.isoformat()
    if luck.slips_in("no-birth-date", NO_BIRTH_DATE):
        birth = None
    elif luck.slips_in("birth-date-slip", DATE_SLIP):
        birth = _wrong_day(chance, born, latest=died).isoformat()
    elif luck.slips_in("birth-date-partial", PARTIAL_DATE):
        birth = f"{born:%Y-%m}"
    if luck.slips_in("next-day", NEXT_DAY):
        death = (died + timedelta(days=1)).isoformat()
    elif luck.slips_in("death-date-slip", DATE_SLIP):
        death = _wrong_day(chance, died, earliest=born).isoformat()
    elif luck.slips_in("death-date-partial", PARTIAL_DATE):
        death = f"{died:%Y-%m}"
    return replace(patient, birth_date=birth, died=death)


def _wrong_day(
    chance: random.Random, day: date, *, earliest: date = date.min, latest: date = date.max
) -> date:
    """Another day: month or day mistyped, or exchanged; never one that nobody would believe."""
    for _ in range(20):
        how = chance.randrange(3)
        try:
            if how == 0:
                other = day.replace(day=chance.randrange(1, 32))
            elif how == 1:
                other = day.replace(month=chance.randrange(1, 13))
            else:
                other = day.replace(month=day.day, day=day.month)
        except ValueError:
            continue
        if other != day and earliest <= other <= latest:
            return other
    return day


def _placed(luck: _Luck, patient: Child) -> Child:
    chance = luck.chance
    postcode = patient.postcode or ""
    if luck.slips_in("no-postcode", NO_POSTCODE):
        return replace(patient, postcode=None, sex=_sex(luck, patient))
    if luck.slips_in("moved", MOVED):
        postcode = f"ZZ{chance.randrange(1, 10)} {chance.randrange(1, 10)}{postcode[-2:][::-1]}"
    elif luck.slips_in("postcode-slip", POSTCODE_SLIP):
        postcode = f"{postcode[:-1]}{chance.choice('ABDEFGH')}"
    return replace(patient, postcode=postcode, sex=_sex(luck, patient))


def _sex(luck: _Luck, patient: Child) -> str | None:
    if luck.slips_in("no-sex", NO_SEX):
        return None
    if luck.slips_in("sex-wrong", SEX_WRONG):
        return "male" if patient.sex == "female" else "female"
    return patient.sex


def _wrong_digit(chance: random.Random, number: str) -> str:
    at = chance.randrange(3, 10)
    digit = (int(number[at]) + chance.randrange(1, 10)) % 10
    return f"{number[:at]}{digit}{number[at + 1 :]}"


def _another(chance: random.Random) -> str:
    """A number of a range that `population` gives to nobody."""
    while True:
        nine = str(chance.randrange(999_150_000, 999_200_000))
        digit = check_digit(nine)
        if digit is not None:
            return f"{nine}{digit}"
