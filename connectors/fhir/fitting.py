"""A message about a death whose event is too large for the bus: its facts are shortened. Pure.

The sender's bytes stay whole: they are the truth, and what is cut can be read from them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from schemas.codec import encode
from schemas.deaths import DeathNotified, Fact, ReportSubmitted

MAX_MARKS: Final = 100
_CUTS: Final = (10_000, 5_000, 2_000, 1_000, 500, 200, 100)

DeathReported = DeathNotified | ReportSubmitted


def fitted(event: DeathReported, limit: int) -> DeathReported:
    """`event`, encoded in at most `limit` bytes if its message alone lets it: the longest answers
    are cut, alike, and at last there are none; marked ``text-cut``, ``facts-cut``.
    """
    small, size = event, len(encode(event))
    for most in _CUTS:
        if size <= limit:
            return small
        long = {one.name for one in event.facts if len(one.value or "") > most}
        if long:
            facts = tuple(_cut(one, most) for one in event.facts)
            marks = [*event.marks, *(f"text-cut:{name}" for name in sorted(long))]
            small = replace(event, facts=facts, marks=limited(marks))
            size = len(encode(small))
    if size <= limit:
        return small
    marks = ["facts-cut:QuestionnaireResponse.item", *event.marks]
    return replace(event, facts=(), marks=limited(marks))


def limited(marks: list[str]) -> tuple[str, ...]:
    """Each mark once, and so many at most."""
    found = tuple(dict.fromkeys(marks))
    return found if len(found) <= MAX_MARKS else (*found[: MAX_MARKS - 1], "marks-cut")


def _cut(fact: Fact, most: int) -> Fact:
    if fact.value is None or len(fact.value) <= most:
        return fact
    return replace(fact, value=fact.value[:most])
