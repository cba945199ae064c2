"""Which columns a trace file and its response have: configuration, read from TOML."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from halyard.errors import ConfigurationError

Value = Literal[
    "", "reference", "nhs_number", "family", "given", "birth_date", "gender", "postcode"
]
MAX_BYTES: Final = 100_000
_Place = Annotated[int, Field(ge=1, le=1_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Request(_Part):
    """The file that is sent to be traced."""

    columns: Annotated[tuple[tuple[str, Value], ...], Field(min_length=1, max_length=200)]
    header: bool = True
    delimiter: Literal[",", ";", "\t", "|"] = ","
    date_format: Literal["%Y%m%d", "%Y-%m-%d", "%d/%m/%Y"] = "%Y%m%d"
    genders: dict[Literal["male", "female", "other", "unknown"], str] = {}

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        values = [value for _, value in self.columns if value]
        if "reference" not in values:
            raise ValueError("a column must hold the reference, or no answer finds its line")
        if len(values) != len(set(values)):
            raise ValueError("a value stands in two columns")
        return self


class Response(_Part):
    """The file that comes back; columns by place, the first is 1."""

    code: _Place
    reference: _Place
    nhs_number: _Place
    birth_date: Annotated[int, Field(ge=0, le=1_000)] = 0
    delimiter: Literal[",", ";", "\t", "|"] = ","
    header_lines: Annotated[int, Field(ge=0, le=10)] = 1
    trailer_lines: Annotated[int, Field(ge=0, le=10)] = 0

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        if len({self.code, self.reference, self.nhs_number}) < 3:
            raise ValueError("code, reference and nhs_number stand in columns of their own")
        return self


class Layout(_Part):
    """Both files."""

    request: Request
    response: Response


def load_layout(path: Path | None) -> Layout:
    """The layout of a file; None: that of the package. Raises `ConfigurationError`."""
    name = "layout.toml" if path is None else str(path)
    try:
        if path is None:
            text = (resources.files("connectors.trace_files") / "layout.toml").read_text("utf-8")
        else:
            with path.expanduser().open("rb") as stream:
                text = stream.read(MAX_BYTES).decode("utf-8")
        return Layout.model_validate(tomllib.loads(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"The layout of trace files {name} cannot be read ({type(error).__name__})."
        ) from None
    except ValidationError as error:
        issue = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in issue["loc"])
        raise ConfigurationError(
            f"The layout of trace files {name} is wrong at {place or 'the top'}: {issue['msg']}."
        ) from None
