"""Every test of the policies asks anew."""

from __future__ import annotations

import pytest

from policies import fields


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    """The answers that another test was given are forgotten: each is worked out where it is
    checked, also when `make mutation` has changed what works it out.
    """
    for remembered in (fields.patterns, fields.holds_number, fields.tells_place):
        remembered.cache_clear()
