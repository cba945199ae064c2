"""Which authority had an area on a day."""

from __future__ import annotations

from datetime import date

import pytest

from stores.authorities import authorities, authority, holders

BEFORE, AFTER = date(2023, 3, 31), date(2023, 4, 1)


def test_the_table_has_every_authority_of_today_and_what_each_replaced() -> None:
    """153 with children's services today; every successor is in the table, and current on the day
    after its predecessor's last.
    """
    table = authorities()
    today = [one for one in table.values() if one.last is None]
    assert len(today) == 153
    for one in table.values():
        assert bool(one.replaced_by) is (one.last is not None)
        for code in one.replaced_by:
            first = table[code].first
            assert first is not None
            assert one.last is not None
            assert (first - one.last).days == 1


@pytest.mark.parametrize(
    ("gss", "on", "expected"),
    [
        ("E10000023", BEFORE, ["E10000023"]),
        ("E10000023", AFTER, ["E06000065"]),  # North Yorkshire, anew
        ("E06000065", BEFORE, ["E10000023"]),  # a code of today for a death before
        ("E10000006", AFTER, ["E06000063", "E06000064"]),  # Cumbria was divided
        ("E06000063", BEFORE, ["E10000006"]),
        ("E06000028", AFTER, ["E06000058"]),  # Bournemouth and Poole were joined
        ("E06000058", date(2019, 3, 31), ["E06000028", "E06000029"]),
        ("E06000001", date(1990, 1, 1), ["E06000001"]),
        ("E06000999", AFTER, []),
    ],
)
def test_an_area_is_followed_through_reorganisations(
    gss: str, on: date, expected: list[str]
) -> None:
    """By code and day, forwards and backwards; several where the code alone cannot tell."""
    assert [one.gss for one in holders(gss, on)] == expected
    one = authority(gss, on)
    assert (one.gss if one else None) == (expected[0] if len(expected) == 1 else None)
