"""Enhanced mode: which answers MSH-15 and MSH-16 ask for, and what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.ack import PROBLEMS, acknowledge, acknowledgements, parse_ack
from connectors.hl7v2.er7 import Message
from connectors.hl7v2.modes import ORIGINAL, Condition, mode_of
from tests.unit.hl7v2.messages import MSH, arrival


def asking(accept: str, application: str, version: str = "2.4") -> bytes:
    """An arrival with these MSH-15 and MSH-16."""
    msh = MSH.replace("|P|2.4|123||||GBR|", f"|P|{version}|123||{accept}|{application}|GBR|")
    return arrival(msh=msh)


def codes(request: bytes, refusal: str | None = None) -> list[str]:
    """MSA-1 of each answer."""
    return [parse_ack(one, request).code for one in acknowledgements(request, refusal)]


@pytest.mark.parametrize(
    ("accept", "application", "success", "content", "other"),
    [
        ("", "", ["AA"], ["AE"], ["AR"]),
        ("AL", "NE", ["CA"], ["CE"], ["CR"]),
        ("AL", "AL", ["CA", "AA"], ["CE"], ["CR"]),
        ("NE", "AL", ["AA"], ["AE"], ["AR"]),
        ("", "AL", ["AA"], ["AE"], ["AR"]),
        ("AL", "", ["CA"], ["CE"], ["CR"]),
        ("NE", "NE", [], [], []),
        ("ER", "NE", [], ["CE"], ["CR"]),
        ("SU", "NE", ["CA"], [], []),
        ("SU", "ER", ["CA"], ["AE"], ["AR"]),
        ("ER", "SU", ["AA"], ["CE"], ["CR"]),
        ("ER", "AL", ["AA"], ["CE"], ["CR"]),
        ("NE", "ER", [], ["AE"], ["AR"]),
        ("NE", "SU", ["AA"], [], []),
        ("al", " ne ", ["CA"], ["CE"], ["CR"]),
        ("Y", "?", ["AA"], ["AE"], ["AR"]),
        ('""', '""', ["AA"], ["AE"], ["AR"]),
    ],
)
def test_msh_15_and_16_decide_which_answers_leave(
    accept: str, application: str, success: list[str], content: list[str], other: list[str]
) -> None:
    """Table 0155; after a commit answer that says no there is no application answer."""
    request = asking(accept, application)
    assert codes(request) == success
    assert codes(request, "no-pid") == content
    assert codes(request, "unknown-feed") == other


def test_the_two_answers_are_two_messages() -> None:
    """Both name the request; each has its own MSH-10; the second wants no answer itself."""
    commit, application = (Message.parse(one) for one in acknowledgements(asking("AL", "AL")))
    assert commit.get("MSA-2") == application.get("MSA-2") == "ED-000123"
    assert commit.get("MSH-10") != application.get("MSH-10")
    assert (commit.get("MSH-15"), commit.get("MSH-16")) == ("", "")
    assert (application.get("MSH-15"), application.get("MSH-16")) == ("NE", "NE")
    assert application.get("MSH-18") == "UNICODE"


@pytest.mark.parametrize("version", ["2.4", "2.5"])
def test_a_commit_refusal_says_why(version: str) -> None:
    """CE and CR carry the same reason as AE and AR."""
    (raw,) = acknowledgements(asking("AL", "AL", version), "no-pid")
    ack = parse_ack(raw)
    assert ack.code == "CE"
    assert "No PID segment" in ack.text


def test_original_mode_is_what_it_was() -> None:
    """Without MSH-15 and MSH-16 there is exactly the one answer."""
    assert acknowledgements(arrival()) == (acknowledge(arrival()),)
    assert mode_of(Message.parse(arrival()).segment("MSH")) is ORIGINAL


_CODES = st.sampled_from(["", "AL", "NE", "ER", "SU", "x", '""'])


@given(_CODES, _CODES, st.sampled_from([None, *PROBLEMS]), st.binary(max_size=40))
def test_answers_are_a_function_of_the_bytes(
    accept: str, application: str, refusal: str | None, more: bytes
) -> None:
    """The same bytes with the same outcome get the same answers; at most one of each kind."""
    request = asking(accept, application) + more
    first = acknowledgements(request, refusal)
    assert first == acknowledgements(bytes(bytearray(request)), refusal)
    assert [code[0] for code in codes(request, refusal)] in ([], ["A"], ["C"], ["C", "A"])


@given(st.sampled_from(list(Condition)))
def test_a_condition_is_met_by_one_outcome_or_both_or_none(condition: Condition) -> None:
    """ER and SU are each other's opposite; AL is both, NE none."""
    met = (condition.wants(success=True), condition.wants(success=False))
    assert (
        met
        == {
            Condition.ALWAYS: (True, True),
            Condition.NEVER: (False, False),
            Condition.ERROR: (False, True),
            Condition.SUCCESS: (True, False),
        }[condition]
    )


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("UNICODE", "ZOË".encode()),
        ("8859/1", "ZOË".encode("latin-1")),
        ("", "ZOË".encode("cp1252")),
    ],
)
def test_an_answer_is_in_the_character_set_of_its_request(charset: str, name: bytes) -> None:
    """What is repeated of the request keeps its bytes, and MSH-18 says what they are."""
    request = arrival(msh=MSH.replace("UNICODE", charset)).replace(b"|EDIS|", b"|" + name + b"|")
    (raw,) = acknowledgements(request)
    assert raw.split(b"|")[4] == name
    assert Message.parse(raw).get("MSH-18") == charset
