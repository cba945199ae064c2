"""Who is to be answered how: MSH-15 and MSH-16 (HL7 v2.4, 2.9.2 and 2.9.3; table 0155).

Both empty: *original mode*, one application answer (AA, AE, AR). One of them filled: *enhanced
mode*, in which an empty one means NE. A code that table 0155 does not know counts as empty: an
answer too many can be ignored, one that a sender waits for must not be missing.

====  ========================================
AL    always
NE    never
ER    only for an error or a rejection
SU    only for a success
====  ========================================
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from connectors.hl7v2.er7 import Segment


class Condition(StrEnum):
    """When an answer is wanted (table 0155)."""

    ALWAYS = "AL"
    NEVER = "NE"
    ERROR = "ER"
    SUCCESS = "SU"

    def wants(self, *, success: bool) -> bool:
        """Whether such an outcome is to be answered."""
        if self is Condition.SUCCESS:
            return success
        if self is Condition.ERROR:
            return not success
        return self is Condition.ALWAYS


class Mode(NamedTuple):
    """What a message asks for: the commit answer (MSH-15) and the application answer (MSH-16)."""

    enhanced: bool
    commit: Condition
    application: Condition

    def answers(self, *, success: bool) -> tuple[bool, bool]:
        """Whether a commit answer and an application answer are to be given.

        After a commit answer that says no there is no application answer: nothing was taken.
        """
        commit = self.commit.wants(success=success)
        return commit, self.application.wants(success=success) and (success or not commit)


ORIGINAL: Final = Mode(enhanced=False, commit=Condition.NEVER, application=Condition.ALWAYS)
"""Neither field is filled."""

_CODES: Final = {one.value.encode(): one for one in Condition}


def mode_of(msh: Segment) -> Mode:
    """The mode that a message's MSH asks for."""
    accept, application = msh.field(15), msh.field(16)
    if not accept and not application:
        return ORIGINAL
    commit = _CODES.get(accept.strip().upper())
    applied = _CODES.get(application.strip().upper())
    if commit is None and applied is None:
        return ORIGINAL
    return Mode(True, commit or Condition.NEVER, applied or Condition.NEVER)
