"""Invented messages in the shapes of English feeds; all NHS numbers are from the test range."""

from __future__ import annotations

from stores.directory import Directory, Feed, Hospital

CHILD_NUMBER = "9990000018"
OTHER_NUMBER = "9990000026"

MSH = (
    "MSH|^~\\&|EDIS|RTEST|ROUTE|ROUTE|20260314214233||ADT^A04^ADT_A01|ED-000123|P|2.4|123||||GBR"
    "|UNICODE|EN||ITKv1.0"
)
EVN = "EVN||20260314214230|||CLERK01^JONES^ANN|20260314214105"
PID = (
    "PID|1||9990000018^^^NHS~T123456^^^RTEST||TESTCHILD^ROBIN^^^^^L||20190602|1|||"
    "1 TEST STREET^^YORK^^YO1 1AA^GBR^H|||||||||||||||||||||NSTS01"
)
PV1 = (
    "PV1|1|E|ED^PAEDS^BAY1^RTES5|21||||||180||||19|||||ED2026000123^^^VISITID"
    "|||||||||||||||||||||||||20260314214105"
)
PV2 = "PV2|||^Fall at home|||||||||||||||||||||||||||||||||||Ambulance"


def message(*segments: str) -> bytes:
    """Segments as a message in UTF-8."""
    return ("\r".join(segments) + "\r").encode()


def arrival(**changed: str) -> bytes:
    """A flagged-or-not child's arrival at A&E; name a segment to change it, or empty to drop it."""
    segments = {"msh": MSH, "evn": EVN, "pid": PID, "pv1": PV1, "pv2": PV2, **changed}
    return message(*(segment for segment in segments.values() if segment))


def trigger(name: str, control_id: str = "ED-000123") -> str:
    """The MSH of another trigger event."""
    return MSH.replace("ADT^A04^ADT_A01", f"ADT^{name}^ADT_A01").replace("ED-000123", control_id)


FEED = Feed(source="rtest-ed", organisation="RTEST", facility="RTEST", application="EDIS")


def directory(*feeds: Feed) -> Directory:
    """A directory of one hospital with the given feeds (default: `FEED`)."""
    return Directory(
        hospitals={"RTEST": Hospital(ods="RTEST", name="Test Hospital")},
        feeds=feeds or (FEED,),
        authorities={},
        endpoints={},
        credentials=(),
    )
