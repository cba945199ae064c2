"""How one field of a claim and a record stand to each other."""

from __future__ import annotations

from enum import StrEnum


class Agreement(StrEnum):
    """The words that every field is compared in."""

    AGREES = "agrees"
    PARTLY = "partly"  # a part, a prefix, the same outward code, a partial date
    NEARLY = "nearly"  # a slip of the pen away, or a short form: no agreement, and no proof against
    SWAPPED = "swapped"  # day and month (birth date); given and family (names)
    SUPERSEDED = "superseded"  # the claim has the number that was merged into the record's
    ABSENT = "absent"  # one side says nothing
    PLACEHOLDER = "placeholder"  # one side says "Baby", "Twin 1", "Unknown", ...
    DIFFERS = "differs"
