"""Whether a name that another gives is the name of somebody known."""

from __future__ import annotations

import pytest

from halyard.same_person import same_person


@pytest.mark.parametrize(
    ("said", "name", "same"),
    [
        ("Sam Social", "Sam Social", True),
        (" sam   SOCIAL ", "Sam Social", True),
        ("P-2001", None, True),
        ("user:p-2001", None, True),
        ("Sam Social", None, False),
        ("Sam Socials", "Sam Social", False),
        ("", None, False),
    ],
)
def test_a_name_is_known_however_it_is_spelt(said: str, name: str | None, same: bool) -> None:
    """By user name or display name; case and spaces decide nothing, and nobody is nameless."""
    assert same_person(said, "user:p-2001", name) is same
