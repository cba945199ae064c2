"""What every JSON body of this face is, beside its own fields."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from halyard.nhs_number import NumberProfile, parse
from halyard.problems import HttpProblem
from halyard.wording import is_control, says_something, turns_order

_ALLOWED: Final = frozenset("\t\n\r")
_SAID: Final = frozenset({"reason", "note", "answer", "by"})
"""Members, of whichever body, in which a person says something."""


class Body(BaseModel):
    """Unknown fields are refused, nothing is converted, no error quotes a value. A text has no
    control characters (a NUL fits no column) and none that turn its order round (CVE-2021-42574):
    a person must read what was written. A reason or note that is given says something.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    @field_validator("*", mode="after")
    @classmethod
    def _is_readable(cls, value: Any) -> Any:
        if isinstance(value, str) and any(_hidden(one) for one in value):
            raise PydanticCustomError("control_character", "a character that cannot be read")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _says_something(cls, value: Any, about: ValidationInfo) -> Any:
        # an empty one is the route's own matter: its length, or whether it needs a reason
        given = isinstance(value, str) and value != "" and about.field_name in _SAID
        if given and not says_something(value):
            raise PydanticCustomError("says_nothing", "a text in which nothing can be seen")
        return value


def usable_number(nhs_number: str, profile: NumberProfile) -> str:
    """The number that the member `nhs_number` of a body gives, ten digits. Raises `HttpProblem` 422
    with the rule that it breaks.
    """
    parsed = parse(nhs_number, profile=profile)
    if parsed.number is None:
        raise HttpProblem(
            422,
            "Not a usable NHS number",
            "Check the number with the person or the record it came from.",
            rule=parsed.rule,
            place="body.nhs_number",
        )
    return parsed.number


def _hidden(character: str) -> bool:
    return character not in _ALLOWED and (is_control(character) or turns_order(character))
