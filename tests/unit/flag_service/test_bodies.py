"""What every JSON body of the face refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flag_service.access_reviews import Verdict as AccessVerdict
from flag_service.alerts import Acceptance
from flag_service.audit import SubjectAccess
from flag_service.bodies import Body
from flag_service.disclosure_reviews import Verdict
from flag_service.flags import FlagsQuery
from flag_service.shares import Sharing


class Text(Body):
    """A body with one text."""

    text: str


@pytest.mark.parametrize(
    "model", [Acceptance, AccessVerdict, FlagsQuery, Sharing, SubjectAccess, Verdict]
)
def test_every_body_is_one_of_these(model: type[Body]) -> None:
    """So that no route has rules of its own for what nobody can read."""
    assert issubclass(model, Body)


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\u202e", "\u2066"])
def test_what_cannot_be_read_is_refused_without_being_quoted(character: str) -> None:
    """A NUL, a bell, an escape, an override of the order of writing: by place and rule."""
    with pytest.raises(ValidationError) as refused:
        Text.model_validate({"text": f"9990000018{character}b"})
    (error,) = refused.value.errors(include_input=False)
    assert (error["loc"], error["type"]) == (("text",), "control_character")
    assert "9990000018" not in str(refused.value)


@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cs", "Cf")), max_size=50))
def test_whatever_people_write_is_taken(text: str) -> None:
    """Letters of any script, lines and tabs; the ends are stripped."""
    assert Text.model_validate({"text": f"a\n\t{text}b"}).text == f"a\n\t{text}b"


@pytest.mark.parametrize(
    "nothing", ["\u200b", "\u2060\ufe0f\u00ad", "\u200b \u200b", "\u3164", "\u2800"]
)
@pytest.mark.parametrize(
    ("model", "field", "others"),
    [
        (FlagsQuery, "reason", {"nhs_number": "9990000018", "purpose": "break-glass"}),
        (SubjectAccess, "reason", {"nhs_number": "9990000018"}),
        (Sharing, "reason", {"agency": "SCH01"}),
        (AccessVerdict, "note", {"outcome": "appropriate"}),
        (Verdict, "reason", {"decision": "release"}),
        (Acceptance, "answer", {"by": "Anne"}),
    ],
)
def test_a_reason_in_which_nothing_can_be_seen_is_refused(
    model: type[Body], field: str, others: dict[str, str], nothing: str
) -> None:
    """By its place; whichever body it stands in."""
    with pytest.raises(ValidationError) as refused:
        model.model_validate({**others, field: nothing})
    found = {(error["loc"], error["type"]) for error in refused.value.errors()}
    assert ((field,), "says_nothing") in found
