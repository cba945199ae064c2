"""Versions as entity tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service import etags
from halyard.http import HttpProblem

VERSIONS = st.integers(min_value=1, max_value=10**17)


@given(VERSIONS, VERSIONS)
def test_a_tag_matches_its_own_version_alone(read: int, now: int) -> None:
    """What was read guards against every other version."""
    assert etags.matches(etags.etag(read), now) is (read == now)


@given(st.lists(VERSIONS, min_size=1, max_size=5), VERSIONS)
def test_a_list_matches_any_of_its_versions(read: list[int], now: int) -> None:
    """RFC 9110 13.1.1: one of them is enough."""
    given_tags = ", ".join(map(etags.etag, read))
    assert etags.matches(given_tags, now) is (now in read)


@pytest.mark.parametrize("tag", [None, "*", '"7"', 'W/"7"', ' "1" , W/"7"'])
def test_no_tag_any_tag_and_strong_tags_match(tag: str | None) -> None:
    """Without the header nothing is guarded; a strong tag is read as a weak one."""
    etags.check(tag, 7)


@pytest.mark.parametrize("tag", ["", "7", "W/7", '"seven"', '"٧"', "W/'7'", '"7'])
def test_what_is_no_tag_of_ours_matches_nothing(tag: str) -> None:
    """A guard that cannot be read holds: 412, with the version that stands there now."""
    with pytest.raises(HttpProblem) as refused:
        etags.check(tag, 7)
    assert refused.value.status_code == 412
    assert refused.value.headers == {"ETag": 'W/"7"'}
    assert refused.value.extras == {"version": 7}
