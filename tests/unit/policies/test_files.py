"""Policy files: what is refused at start, with file, place and rule; and the package's own."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from halyard.cli.policy_samples import SAMPLES
from halyard.errors import ConfigurationError
from policies import fields as field_names
from policies import reading
from policies.decision import decide
from policies.model import Policy, load_policies
from policies.ruling import Decision, Flow
from stores.sectors import Sector
from tests.support.policies import ask, folder, members, policy


def refused(path: Path) -> str:
    """What is said of a folder that is refused."""
    with pytest.raises(ConfigurationError) as caught:
        load_policies(path)
    return caught.value.message


def test_the_packages_own_policies_cover_every_flow_for_good() -> None:
    """Whoever configures nothing has a policy for every flow, today and in ten years."""
    policies = load_policies(None)
    assert policies.uncovered(date(2026, 3, 2)) == []
    assert policies.uncovered(date(2036, 3, 2)) == []


def test_the_packages_own_policies_are_files_of_the_wheel() -> None:
    """They are read as package data, by the same rules as an operator's folder."""
    assert load_policies(None).all == load_policies(Path(reading.__file__).parent).all


def test_every_default_basis_says_that_somebody_must_confirm_it() -> None:
    """No policy of the package claims more than that it was read from legislation.gov.uk."""
    for one in load_policies(None).all:
        assert all("must confirm it" in basis.source for basis in one.legal_basis)


@pytest.mark.parametrize(
    ("change", "rule", "place"),
    [
        ({"colour": "red"}, "policy.extra_forbidden", "colour"),
        ({"retention": None}, "policy.string_type", "retention"),
        ({"start": "soon"}, "policy.date_from_datetime_parsing", "start"),
        ({"start": date(2027, 1, 1)}, "policy.dates", ""),
        ({"flows": ["gossip"]}, "policy.enum", "flows.0"),
        ({"purposes": []}, "policy.too_short", "purposes"),
        ({"recipients": [{"fields": ["*"]}]}, "policy.recipient", "recipients.0"),
        (
            {"recipients": [{"sector": "health", "organisation": "X01", "fields": ["*"]}]},
            "policy.recipient",
            "recipients.0",
        ),
        ({"recipients": [{"sector": "health", "fields": ["*"]}] * 2}, "policy.recipient-twice", ""),
        (
            {"recipients": [{"sector": "health", "fields": ["visit.*.x"]}]},
            "policy.string_pattern_mismatch",
            "recipients.0.fields.0",
        ),
        ({"deny": [{"code": "a", "reason": "b"}]}, "policy.condition", "deny.0"),
        (
            {"deny": [{"code": "a", "reason": "b", "always": True, "restricted": True}]},
            "policy.condition",
            "deny.0",
        ),
        (
            {"deny": [{"code": "a", "reason": "b", "always": True}] * 2},
            "policy.code-twice",
            "",
        ),
        ({"flows": ["flag-lookup"], "recipients": [{"sector": "health", "fields": ["flags.*"]}]},
         "policy.field-needed", ""),
        ({"flows": ["match"], "recipients": [{"sector": "health", "fields": [
            "schema", "alert_id", "version", "change", "changed_at"]}]}, "policy.field-needed", ""),
        ({"flows": ["receipt"], "recipients": [{"sector": "health", "fields": [
            "schema", "alert_id", "version", "rung"]}]}, "policy.field-needed", ""),
        ({"flows": ["alert"], "recipients": [{"sector": "social-care", "fields": ["*"],
            "roles": ["social-worker"]}]}, "policy.role-pushed", ""),
        ({"flows": ["case-event"], "deny": [{"code": "a", "reason": "b",
            "without_roles": ["panel-coordinator"]}]}, "policy.role-pushed", ""),
    ],
)  # fmt: skip
def test_a_file_that_breaks_a_rule_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], rule: str, place: str
) -> None:
    """The error names file, place and rule, and does not repeat what stands there."""
    said = refused(folder(tmp_path, members(**change)))
    assert f"0.yaml{', ' if place else ''}{place}: " in said
    assert f"(rule {rule})" in said
    assert "gossip" not in said
    assert "soon" not in said


@pytest.mark.parametrize("fields", [["*"], ["person.*"], ["person.nhs_number"], ["letter.number"]])
@pytest.mark.parametrize("sector", ["education", "police", "justice", "research", "other"])
@pytest.mark.parametrize("section", ["recipients", "restricted"])
def test_a_file_that_grants_a_number_outside_health_and_care_is_refused(
    tmp_path: Path, section: str, sector: str, fields: list[str]
) -> None:
    """Neither by name nor within a pattern, nor of restricted people."""
    change = {section: [{"sector": sector, "fields": fields}]}
    assert "(rule policy.number-outside)" in refused(folder(tmp_path, members(**change)))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("id: one\nid: two\n", "policy.key-twice"),
        ("parties:\n  - name: a\n    name: b\n", "policy.key-twice"),
        ("a: &x [1]\nb: *x\n", "policy.alias"),
        ("<<: {a: 1}\n", "policy.key"),
        ("1: one\n", "policy.key"),
        ("a: [\n", "policy.yaml"),
        ("a: !!python/object/apply:os.getcwd []\n", "policy.yaml"),
        ("a: 1\n---\nb: 2\n", "policy.yaml"),
        ("- a\n", "policy.yaml"),
        ("", "policy.yaml"),
        ("start: 2026-02-30\n", "policy.yaml"),
        ("a: " + "[" * 20_000 + "\n", "policy.yaml"),
        ("# " + "x" * reading.MAX_BYTES, "policy.size"),
    ],
)
def test_a_file_that_is_hard_to_read_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    """Keys twice, aliases, tags, several documents, nesting without end, large files."""
    (tmp_path / "bad.yaml").write_text(text)
    said = refused(tmp_path)
    assert "bad.yaml" in said
    assert f"(rule {rule})" in said


def test_a_folder_that_is_none_or_empty_is_refused(tmp_path: Path) -> None:
    """A hub without a policy would disclose nothing: it does not start."""
    assert "policy.directory" in refused(tmp_path / "missing")
    assert "policy.none" in refused(tmp_path)
    (tmp_path / "bad.yaml").write_bytes(b"\xff")
    assert "policy.encoding" in refused(tmp_path)


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        ({}, "policy.version-twice"),
        ({"version": 2}, "policy.versions-overlap"),
        ({"version": 2, "start": date(2025, 1, 1), "end": date(2025, 12, 31)},
         "policy.versions-order"),
        ({"id": "other"}, "policy.ambiguous"),
        ({"id": "other", "start": date(2026, 12, 31), "end": None}, "policy.ambiguous"),
    ],
)  # fmt: skip
def test_policies_that_contradict_one_another_are_refused(
    tmp_path: Path, other: dict[str, Any], rule: str
) -> None:
    """Which of two policies decides is never left open."""
    said = refused(folder(tmp_path, members(), members(**other)))
    assert f"(rule {rule})" in said
    assert "0.yaml" in said
    assert "1.yaml" in said


@pytest.mark.parametrize(
    "other",
    [
        {"version": 2, "start": date(2027, 1, 1), "end": None},
        {"id": "other", "start": date(2027, 1, 1), "end": None},
        {"id": "other", "purposes": ["audit"]},
        {"id": "other", "recipients": [{"organisation": "X0001", "fields": ["*"]}]},
        {"id": "other", "flows": ["upload-answer"]},
    ],
)
def test_policies_that_can_be_told_apart_stand_together(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    """By dates, purpose, recipient or flow."""
    assert len(load_policies(folder(tmp_path, members(), members(**other))).all) == 2


def test_a_policy_prints_as_it_was_written() -> None:
    """What `halyard policy show` prints is a policy again."""
    for one in (policy(), *load_policies(None).all):
        written = yaml.safe_dump(one.model_dump(mode="json", by_alias=True))
        assert Policy.model_validate(yaml.safe_load(written)) == one


@pytest.mark.parametrize(
    ("flow", "sector"),
    [
        (Flow.ALERT, Sector.SOCIAL_CARE),
        (Flow.MATCH, Sector.HEALTH),
        (Flow.RECEIPT, Sector.HEALTH),
        (Flow.FLAG_LOOKUP, Sector.HEALTH),
        (Flow.FLAG_LOOKUP, Sector.SOCIAL_CARE),
        (Flow.ACCESS_NOTICE, Sector.SOCIAL_CARE),
        (Flow.SHARE, Sector.HEALTH),
        (Flow.SHARE, Sector.SOCIAL_CARE),
        (Flow.UPLOAD_ANSWER, Sector.SOCIAL_CARE),
        (Flow.WORKLIST, Sector.HEALTH),
        (Flow.PERSON_RECORD, Sector.SOCIAL_CARE),
        (Flow.CASE_EVENT, Sector.CHILD_DEATH_REVIEW),
        (Flow.REPORT_REQUEST, Sector.HEALTH),
        (Flow.NCMD_SUBMISSION, Sector.CHILD_DEATH_REVIEW),
    ],
)
def test_the_default_policies_withhold_nothing_of_the_flows_that_the_hub_is_for(
    flow: Flow, sector: Sector
) -> None:
    """Every field of a flow's body is granted to whom the flow is for: a payload never loses one
    because nobody thought of it."""
    fields = field_names.names(SAMPLES[flow])
    at = datetime(2026, 3, 2, tzinfo=UTC)
    ruling = decide(load_policies(None), ask(flow, sector, fields=fields, at=at))
    assert ruling.decision is Decision.PERMIT
    assert ruling.withheld == frozenset()
