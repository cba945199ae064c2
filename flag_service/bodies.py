"""What every JSON body of this face is, beside its own fields."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import PydanticCustomError

_ALLOWED: Final = frozenset("\t\n\r")


class Body(BaseModel):
    """Unknown fields are refused, nothing is converted, no error quotes a value. A text has no
    control characters (a NUL fits no column) and none that turn its order round (CVE-2021-42574):
    a person must read what was written.
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


def _hidden(character: str) -> bool:
    if character in _ALLOWED:
        return False
    return unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(
        character
    ) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
