"""What follows from an attempt: done, again, or aside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.sending import Delivered, Refused, Retry
from halyard.settings import DeliverySettings
from streams.delivery.decisions import MAX_ANSWERED, Again, Complete, Park, back_off, decide
from streams.delivery.dispatcher import payload_version

SETTINGS = DeliverySettings(first_retry_seconds=2, max_retry_seconds=300, breaker_seconds=5)


def test_a_yes_completes_and_a_refusal_parks() -> None:
    """2xx is the end; a refusal is set aside with its status as the reason."""
    assert (
        decide(Delivered("status-200"), attempts=9, settings=SETTINGS, random=lambda: 0)
        == Complete()
    )
    assert decide(Refused("status-422"), attempts=1, settings=SETTINGS, random=lambda: 0) == Park(
        "status-422"
    )


def test_a_destination_that_is_down_is_paused_and_a_single_row_is_not() -> None:
    """A connection fault pauses the destination; a 408 holds back its own row alone."""
    down = decide(Retry("connect", True), attempts=1, settings=SETTINGS, random=lambda: 0.5)
    alone = decide(Retry("status-408", False), attempts=1, settings=SETTINGS, random=lambda: 0.5)
    assert down == Again("connect", 2.0, 5.0)
    assert alone == Again("status-408", 2.0, None)


def test_retry_after_is_heeded_up_to_our_longest_wait() -> None:
    """A receiver may slow us down, but not switch alerts off."""
    for asked, wait in ((60.0, 60.0), (86_400.0, 300.0), (0.0, 5.0)):
        got = decide(Retry("x", True, asked), attempts=1, settings=SETTINGS, random=lambda: 0.5)
        assert isinstance(got, Again)
        assert got.pause_seconds == wait


def test_a_row_that_is_answered_not_now_waits_alone_then_is_set_aside() -> None:
    """AR for ever to one message: it stops pausing the others, and after hours a person looks. What
    is not answered at all never is set aside.
    """
    refused = Retry("ack-ar", True, answered=True)
    paused: list[bool] = []
    for attempts in range(1, MAX_ANSWERED):
        got = decide(refused, attempts=attempts, settings=SETTINGS, random=lambda: 0.5)
        assert isinstance(got, Again)
        paused.append(got.pause_seconds is not None)
    assert paused == [True] * 4 + [False] * (MAX_ANSWERED - 5)
    last = decide(refused, attempts=MAX_ANSWERED, settings=SETTINGS, random=lambda: 0.5)
    assert last == Park("ack-ar")
    away = decide(Retry("connect", True), attempts=9_999, settings=SETTINGS, random=lambda: 0.5)
    assert away == Again("connect", 300.0, 5.0)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_back_off_grows_to_a_bound_and_is_never_nothing(attempts: int, chance: float) -> None:
    """Between three quarters of the first wait and five quarters of the longest."""
    wait = back_off(attempts, SETTINGS, lambda: chance)
    assert 1.5 <= wait <= 375
    assert back_off(attempts + 1, SETTINGS, lambda: chance) >= wait


def test_the_payloads_version_is_read_from_its_schema() -> None:
    """A row written by an older process keeps its version; what names none is 0."""
    assert payload_version(b'{"schema":"halyard.alert.v1"}') == "1"
    assert payload_version(b'{"schema":"halyard.match.v12"}') == "12"
    for body in (b"{}", b"[]", b"not json"):
        assert payload_version(body) == "0"
