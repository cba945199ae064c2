"""`halyard hl7 check`: what is found, where, how bad, and what the hub would do."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from connectors.hl7v2.check import ANY_FEED, RULES, Report, check
from connectors.hl7v2.conformance import Severity
from connectors.hl7v2.files import messages_of
from halyard.cli.main import app
from sandbox.samples.render import DIALECTS, MORNING, render
from stores.arrival_rules import DEFAULT_RULE
from stores.directory import Feed

NOW = datetime(2026, 3, 14, 22, 0, tzinfo=UTC)
ARRIVAL = """\
MSH|^~\\&|EDIS|RCB|ROUTE|ROUTE|20260314214233||ADT^A04^ADT_A01|RCB-ED-000123|P|2.4|123||||GBR|UNICODE|EN||ITKv1.0
EVN||20260314214230|||CLERK01^JONES^ANN|20260314214105
PID|1||9990000018^^^NHS~T123456^^^RCB||TESTCHILD^ROBIN^^^^^L||20190602|1|||\
1 TEST STREET^^YORK^^YO1 1AA^GBR^H|||||||||||||||||||||NSTS01
PD1|||TEST SURGERY^^Y06601|G9999999^TEST^GP^^^Dr^^^GMC
PV1|1|E|ED^PAEDS^BAY1^RCB55|21||||||180||||19|||||ED2026000123^^^VISITID|||||||||||||||||||||||||20260314214105
PV2|||^Fall at home||||||||||||||||||||||1
"""


def report(text: str = ARRIVAL, *, feeds: tuple[Feed, ...] | None = None) -> Report:
    """The report on one message."""
    return check(
        text.replace("\n", "\r").encode(),
        feed=ANY_FEED,
        rule=DEFAULT_RULE,
        received_at=NOW,
        feeds=feeds,
    )


def without(segment: str, text: str = ARRIVAL) -> str:
    """`text` without a segment."""
    return "".join(line for line in text.splitlines(True) if not line.startswith(segment))


def found(one: Report) -> set[tuple[str, str]]:
    """(place, rule) of each finding."""
    return {(finding.place, finding.rule) for finding in one.findings}


def test_a_strict_itk_arrival_is_clean() -> None:
    """Nothing is found, not even a remark, and it would be an arrival."""
    clean = report()
    assert clean.findings == ()
    assert clean.verdict == "AA: taken as REGISTER, an arrival by default.emergency-class"
    assert (clean.control_id, clean.trigger, clean.failed) == ("RCB-ED-000123", "A04", False)


@pytest.mark.parametrize(
    ("before", "after", "place", "rule"),
    [
        ("^ADT_A01", "", "MSH-9.3", "structure-missing"),
        ("^ADT_A01", "^ADT_A05", "MSH-9.3", "structure-of-another-trigger"),
        ("|EDIS|RCB|", "||RCB|", "MSH-3", "sender-application-missing"),
        ("|RCB|ROUTE", "|The General|ROUTE", "MSH-4", "sender-ods-code"),
        ("RCB-ED-000123", "RCB-ED-000123-and-more", "MSH-10", "control-id-too-long"),
        ("RCB-ED-000123", "", "MSH-10", "control-id-missing"),
        ("|P|2.4|", "|T|2.4|", "MSH-11", "processing-id"),
        ("|P|2.4|", "|P|2.3|", "MSH-12", "version"),
        ("|123||||GBR", "|123|x|||GBR", "MSH-14", "continuation"),
        ("|123||||GBR", "|one||||GBR", "MSH-13", "sequence-invalid"),
        ("GBR|UNICODE", "USA|UNICODE", "MSH-17", "country"),
        ("|UNICODE|", "|8859/1|", "MSH-18", "charset"),
        ("||ITKv1.0", "||", "MSH-21", "profile-missing"),
        ("||ITKv1.0", "||iTKv1.0", "MSH-21", "profile-spelling"),
        ("EVN||", "EVN|A04|", "EVN-1", "event-code-used"),
        ("EVN||20260314214230", "EVN||", "EVN-2", "recorded-missing"),
        ("ANN|20260314214105", "ANN|", "EVN-6", "occurred-missing"),
        ("ANN|20260314214105", "ANN|20260101000000", "EVN-6", "recorded-late"),
        ("ANN|20260314214105", "ANN|2026-03-14", "EVN-6", "time-invalid"),
        ("9990000018^^^NHS~", "", "PID-3", "nhs-number-missing"),
        ("9990000018^^^NHS", "3333333333^^^NHS", "PID-3", "nhs-number-placeholder"),
        ("9990000018^^^NHS", "9990000019^^^NHS", "PID-3", "nhs-number-invalid"),
        ("^^^NHS~", "^^^X^NH~", "PID-3.4", "nhs-number-authority"),
        ("^^^NHS~", "^^^NHS^NH~", "PID-3.5", "identifier-type-used"),
        ("1||9990000018", "1|9990000018^^^NHS|9990000018", "PID-2", "nhs-number-elsewhere"),
        ("~T123456^^^RCB", "~T123456", "PID-3(2).4", "local-id-authority-missing"),
        ("~T123456^^^RCB", "", "PID-3", "local-id-missing"),
        ("NSTS01", "", "PID-32", "nhs-number-status-missing"),
        ("NSTS01", "NSTS01~NSTS02", "PID-32", "nhs-number-status-several"),
        ("NSTS01", "NSTS99", "PID-32", "nhs-number-status-unknown"),
        ("ROBIN^^^^^L", "ROBIN", "PID-5.7", "name-type-missing"),
        ("TESTCHILD^ROBIN^^^^^L", "", "PID-5", "family-name-missing"),
        ("|20190602|", "|20191302|", "PID-7", "birth-date-invalid"),
        ("|20190602|", "||", "PID-7", "birth-date-missing"),
        ("|20190602|1|", "|20190602|Q|", "PID-8", "gender-unknown-code"),
        ("^GMC\nPV1", "^GMC||||||||Y\nPV1", "PD1-12", "protection-indicator"),
        ("SURGERY^^Y06601", "SURGERY", "PD1-3.3", "practice-code-missing"),
        ("PV1|1|E|", "PV1|1||", "PV1-2", "patient-class-missing"),
        ("PV1|1|E|", "PV1|1|EMER|", "PV1-2", "patient-class-unknown"),
        ("^RCB55|", "|", "PV1-3.4", "site-missing"),
        ("ED2026000123^^^VISITID", "", "PV1-19", "visit-number-missing"),
        ("PV2|||", "ZZZ|1\nPV2|||", "ZZZ", "segment-custom"),
        ("PV2|||", "TXA|1\nPV2|||", "TXA", "segment-unexpected"),
        ("PV2|||", "PV1|2|E\nPV2|||", "PV1[2]", "segment-repeated"),
        ("PV2|||", "and more words\nPV2|||", "", "line-not-a-segment"),
        ("PV2|||", "EVN||20260314\nPV2|||", "EVN[2]", "segment-order"),
        ("PV1|1|", "PV1|one|", "PV1-1", "data-type"),
        ("|1|||1 TEST", "|1~2|||1 TEST", "PID-8", "field-repeated"),
        ("Fall at home", "Fall\x07", "PV2-3", "control-characters"),
    ],
)
def test_each_rule_names_the_place(before: str, after: str, place: str, rule: str) -> None:
    """One thing wrong gives its rule at its place, and never a value."""
    assert before in ARRIVAL
    broken = report(ARRIVAL.replace(before, after))
    assert (place, rule) in found(broken)
    assert not broken.failed


def test_what_the_hub_cannot_use_is_an_error() -> None:
    """No trigger at all, or nobody who could ever be matched: it is stored, and for nothing."""
    nothing = report(ARRIVAL.replace("ADT^A04^ADT_A01", "ADT"))
    assert ("MSH-9.2", "trigger-none") in found(nothing)
    assert nothing.failed
    nobody = report(re.sub(r"PID\|.*", "PID|1||", ARRIVAL))
    assert ("PID", "nobody-named") in found(nobody)
    assert nobody.failed


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (without("PID"), "AE no-pid: refused"),
        (without("MSH"), "AE no-msh: refused"),
        (ARRIVAL.replace("MSH|^~\\&", "MSH|^^^^"), "AE delimiters: refused"),
        (ARRIVAL.replace("A04^ADT_A01", "A38^ADT_A38"), "AA: stored, not used (trigger.not-used)"),
        (ARRIVAL.replace("ADT^A04^ADT_A01", "SIU^S12"), "AA: stored, not used (type.not-adt)"),
        (ARRIVAL.replace("A04^", "A08^"), "AA: taken as UPDATE, no arrival: default.no-arrival"),
    ],
)
def test_the_verdict_is_what_the_hub_would_do(text: str, verdict: str) -> None:
    """Refused with which answer and rule, stored without use, or taken as what."""
    assert report(text).verdict == verdict


def test_a_sender_that_is_no_feed_is_refused() -> None:
    """With the directory's feeds at hand, MSH-3 and MSH-4 must be one's."""
    known = Feed(source="rcb", organisation="RCB", facility="RCB", application="EDIS")
    other = Feed(source="rcb", organisation="RCB", facility="RCB", application="PAS")
    assert report(feeds=(other, known)).answer == "AA"
    assert report(feeds=()).verdict == "AR unknown-feed: refused"
    assert report(feeds=(other,)).verdict == "AR unknown-feed: refused"


def test_our_own_samples_are_clean() -> None:
    """The demo's morning: nothing worse than a remark; the dialects: nothing refused."""
    for path, worst in ((MORNING, Severity.INFO), (DIALECTS, Severity.WARNING)):
        bodies = messages_of(render(path.read_text(), NOW, "r1").encode())
        allowed = {Severity.INFO, worst}
        reports = [report(body.decode().replace("\r", "\n")) for body in bodies]
        assert reports
        assert {one.severity for each in reports for one in each.findings} <= allowed


ITK_DEFECTS = {
    "A01": {("PID-3", "nhs-number-placeholder"), ("MSH-14", "continuation")},
    "A03": {("OBX-11", "code-not-in-table"), ("OBX[2]-11", "code-not-in-table")},
    "A04": {("PID-32", "nhs-number-status-missing"), ("EVN-6", "recorded-late")},
    "A05": {("PV1-3.4", "site-missing"), ("AL1-6", "data-type")},
    "A08": {("OBX-11", "code-not-in-table"), ("MSH-21", "profile-spelling")},
    "A28": {("PID-7", "birth-date-invalid"), ("PV1", "segment-not-in-itk")},
    "A31": {("PID-7", "birth-date-invalid"), ("PV1", "segment-not-in-itk")},
    "A40": {("PID-3", "local-id-missing"), ("MSH-14", "continuation")},
}


def test_the_published_itk_messages_are_accepted_with_their_defects_named(
    itk_samples: Path,
) -> None:
    """Each is taken (AA, no error); what is known to be wrong with it is found."""
    for name, defects in ITK_DEFECTS.items():
        (body,) = messages_of((itk_samples / f"{name}.hl7").read_bytes())
        one = report(body.decode().replace("\r", "\n"))
        assert one.answer == "AA", name
        assert not one.failed, name
        assert defects <= found(one), name
        assert ("PID-3", "nhs-number-placeholder") in found(one), name


def test_every_rule_is_explained_in_the_reference() -> None:
    """`docs/reference/hl7-check.md` lists each rule with its severity."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "hl7-check.md").read_text()
    missing = [
        name for name, rule in RULES.items() if f"| `{name}` | {rule.severity} |" not in text
    ]
    assert missing == []


def test_the_command_prints_no_value_and_exits_by_the_worst(tmp_path: Path) -> None:
    """0 when nothing is worse than a warning, 1 when something is refused; text and JSON name
    file, number, place and rule, and nobody.
    """
    names = ("TESTCHILD", "ROBIN", "9990000018", "T123456", "20190602", "YO1 1AA", "Fall at home")
    good, bad = tmp_path / "good.hl7", tmp_path / "worse.txt"
    good.write_text(ARRIVAL + "\n" + ARRIVAL.replace("20190602", "20191302"))
    bad.write_bytes(b"\x0b" + without("PID").replace("\n", "\r").encode() + b"\x1c\r")
    runner = CliRunner()
    fine = runner.invoke(app, ["hl7", "check", str(good)])
    assert fine.exit_code == 0
    assert "good.hl7:2 RCB-ED-000123 A04: AA: taken as REGISTER" in fine.output
    assert "2 messages, 0 refused, 0 errors, 1 warnings, 0 info" in fine.output
    worse = runner.invoke(app, ["hl7", "check", str(tmp_path), "--json"])
    assert worse.exit_code == 1
    document = json.loads(worse.output)
    assert [one["answer"] for one in document["messages"]] == ["AA", "AA", "AE"]
    assert document["total"]["refused"] == 1
    assert not [name for name in names if name in fine.output + worse.output]


def test_the_command_takes_a_feed_of_the_directory(tmp_path: Path) -> None:
    """With ``--directory`` and ``--feed`` its arrival rule decides; another sender is refused."""
    directory = tmp_path / "directory.toml"
    directory.write_text(
        '[[hospital]]\nods = "RCB"\nname = "York"\n'
        '[[arrival_rule]]\nname = "walk-in"\n'
        '[[arrival_rule.arrive]]\nname = "ward"\ndepartments = ["WARD"]\n'
        '[[feed]]\nsource = "rcb"\norganisation = "RCB"\nfacility = "RCB"\n'
        'arrival_rule = "walk-in"\n'
        '[[feed]]\nsource = "rzz"\norganisation = "RCB"\nfacility = "RZZ"\n'
    )
    file = tmp_path / "one.hl7"
    file.write_text(ARRIVAL)
    run = ["hl7", "check", str(file), "--directory", str(directory)]
    by_sender = CliRunner().invoke(app, run)
    assert "no arrival: walk-in.no-arrival" in by_sender.output
    assert by_sender.exit_code == 0
    taken = CliRunner().invoke(app, [*run, "--feed", "rcb"])
    assert "no arrival: walk-in.no-arrival" in taken.output
    assert taken.exit_code == 0
    assert CliRunner().invoke(app, [*run, "--feed", "rzz"]).exit_code == 1


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, len(ARRIVAL)))
def test_no_bytes_break_the_check(noise: bytes, at: int) -> None:
    """Whatever stands in a file is reported, never an exception."""
    data = ARRIVAL.replace("\n", "\r").encode()
    for one in messages_of(data[:at] + noise + data[at:]):
        check(one, feed=ANY_FEED, rule=DEFAULT_RULE, received_at=NOW)
