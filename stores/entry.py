"""What every entry of the directory file is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

OrganisationCode = Annotated[
    str, Field(pattern=r"^[A-Z0-9]{3,9}$")
]  # ODS code or 9-character GSS code


class Entry(BaseModel):
    """Unknown fields are refused, and no error quotes a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
