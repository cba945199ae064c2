"""Several messages in one frame: none is lost, none is made up, the answer has the same form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.ack import acknowledge
from connectors.hl7v2.batch import Batch, respond, split
from tests.unit.hl7v2.messages import MSH, arrival, trigger

FHS = b"FHS|^~\\&|EDIS|RTEST|ROUTE|ROUTE|20260314214233||night.hl7||FILE-1\r"
BHS = b"BHS|^~\\&|EDIS|RTEST|ROUTE|ROUTE|20260314214233||ADT||BATCH-1\r"


def messages(count: int) -> list[bytes]:
    """Arrivals with control ids of their own."""
    return [arrival(msh=trigger("A04", f"ED-{number}")) for number in range(count)]


def whole(frame: bytes) -> Batch:
    """The batch that `frame` must be."""
    batch = split(frame)
    assert batch is not None
    return batch


def test_one_message_is_no_batch() -> None:
    """The usual frame goes its usual way, whatever stands in its fields."""
    assert split(arrival()) is None
    assert split(arrival(msh=MSH.replace("EDIS", "MSHOP"))) is None
    assert split(b"\r\n" + arrival()) is None
    assert split(b"\xef\xbb\xbf" + arrival()) is None
    assert split(b"") is None
    assert split(b"PID|1||9990000018") is None


def test_every_message_between_headers_is_taken_with_its_own_bytes() -> None:
    """A message in a batch is, byte for byte, the message that it would be alone."""
    sent = messages(3)
    batch = whole(FHS + BHS + b"".join(sent) + b"BTS|3\rFTS|1\r")
    assert list(batch.messages) == sent
    assert [piece.name for piece in batch.pieces] == [
        "FHS", "BHS", "MSH", "MSH", "MSH", "BTS", "FTS",
    ]  # fmt: skip
    assert batch.control_id == b"BATCH-1"
    assert not batch.miscounted


def test_messages_without_headers_are_told_apart() -> None:
    """MSH after MSH: two children, not one."""
    one, other = messages(2)
    assert whole(one + other).messages == (one, other)
    crlf = (one + other).replace(b"\r", b"\r\n")
    assert [len(part) for part in whole(crlf).messages] == [
        len(part.replace(b"\r", b"\r\n")) for part in (one, other)
    ]


def test_what_stands_before_the_first_message_is_not_lost() -> None:
    """A PID without its MSH is a piece of its own, to be refused as such."""
    lost = b"PID|1||9990000026^^^NHS\r"
    batch = whole(BHS + lost + arrival() + b"BTS|1\r")
    assert batch.messages == (b"\r" + lost, arrival())


def test_the_response_has_the_form_of_the_request() -> None:
    """Headers swapped and referring to the request's ids; trailers with their counts."""
    sent = messages(2)
    answers = [(acknowledge(one),) for one in sent]
    response = respond(whole(FHS + BHS + b"".join(sent) + b"BTS|2\rFTS|1\r"), answers)
    assert response == (
        b"FHS|^~\\&|ROUTE|ROUTE|EDIS|RTEST|20260314214233||night.hl7||FILE-1|FILE-1\r"
        b"BHS|^~\\&|ROUTE|ROUTE|EDIS|RTEST|20260314214233||ADT||BATCH-1|BATCH-1\r"
        + answers[0][0] + answers[1][0] + b"BTS|2\rFTS|1\r"
    )  # fmt: skip


def test_trailers_that_are_missing_are_given_all_the_same() -> None:
    """Two batches in a file, neither closed."""
    one, other = messages(2)
    batch = whole(FHS + BHS + one + BHS + other)
    response = respond(batch, [(acknowledge(one),), (acknowledge(other),)])
    assert response.count(b"\rBTS|1\r") == 2
    assert response.endswith(b"FTS|2\r")


def test_headers_or_trailers_alone_have_an_empty_response() -> None:
    """A sender that frames each line waits for an answer to each."""
    assert respond(whole(BHS), []).split(b"\r")[1] == b"BTS|0"
    assert respond(whole(b"BTS|3\r"), []) == b"BTS|0\r"
    assert respond(whole(b"FTS|1\r"), []) == b"FTS|0\r"


def test_messages_without_headers_are_answered_without() -> None:
    """The answers stand one after the other."""
    sent = messages(2)
    answers = [(acknowledge(one),) for one in sent]
    assert respond(whole(b"".join(sent)), answers) == answers[0][0] + answers[1][0]


def test_a_wrong_count_is_seen() -> None:
    """BTS-1 says how many there should be."""
    one, other = messages(2)
    assert whole(BHS + one + other + b"BTS|3\r").miscounted
    assert not whole(BHS + one + other + b"BTS|\r").miscounted
    assert not whole(BHS + one + b"BTS|1\r" + BHS + other + b"BTS|1\r").miscounted


def test_a_header_that_cannot_delimit_costs_no_message() -> None:
    """The messages stand by themselves; the response speaks with the usual marks."""
    batch = whole(b"BHS\r" + arrival())
    assert batch.messages == (arrival(),)
    assert respond(batch, [(b"x\r",)]) == b"BHS|^~\\&\rx\rBTS|1\r"


_LINES = st.lists(
    st.sampled_from(
        [b"MSH|^~\\&|A|B", b"PID|1", b"FHS|^~\\&", b"BHS|^~\\&|A", b"BTS|2", b"FTS|1", b"BHS", b"x"]
    ),
    max_size=12,
)


@given(_LINES, st.sampled_from([b"\r", b"\n", b"\r\n"]))
def test_no_line_that_is_no_header_is_lost(lines: list[bytes], end: bytes) -> None:
    """Every line of a message, and every stray one, is in exactly one piece."""
    batch = split(end.join(lines))
    if batch is None:
        return
    kept = b"\r".join(batch.messages).replace(b"\n", b"\r").split(b"\r")
    wanted = [line for line in lines if line[:3] not in {b"FHS", b"BHS", b"BTS", b"FTS"}]
    assert [line for line in kept if line] == wanted
    assert respond(batch, [(b"a\r",)] * len(batch.messages)).count(b"a\r") == len(batch.messages)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_split_without_surprise(data: bytes, header: bool) -> None:
    """Nothing is raised, and the response can always be made."""
    batch = split(BHS + data if header else data)
    if batch is not None:
        respond(batch, [(b"a\r",)] * len(batch.messages))
        assert isinstance(batch.miscounted, bool)
        assert len(batch.control_id) <= 50
