"""The principles of sharing that can be read off a decision: one named test each.

Sharing is to be necessary, proportionate, relevant, adequate, accurate, timely, secure and recorded
("Information sharing: advice for practitioners", HM Government). Those that show only in what the
hub does (accurate, timely, recorded) are in ``tests/integration/policies/test_principles.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halyard.cli.policy_samples import SAMPLES
from halyard.errors import ConfigurationError
from halyard.outbound import Outbound
from halyard.settings import Hl7v2Settings, NcmdSettings, Profile, SecuritySettings, Settings
from policies import fields as field_names
from policies.decision import decide
from policies.fields import mask
from policies.model import REQUIRED, load_policies
from policies.purposes import Purpose
from policies.ruling import Decision, Flow, Ruling
from stores.sectors import Sector
from tests.support.policies import ask

POLICIES = load_policies(None)


def granted(flow: Flow, sector: Sector, **more: Any) -> frozenset[str]:
    """What the default policies let leave of a flow's body."""
    return decide(POLICIES, ask(flow, sector, fields=_body(flow), **more)).fields


def _body(flow: Flow) -> frozenset[str]:
    return field_names.names(SAMPLES[flow])


def test_principle_necessary() -> None:
    """Necessary: nothing leaves but for a purpose that a policy in force has for this flow and this
    recipient. Checked: whom no policy names, and who asks for another purpose, is told nothing of
    any flow; every policy has a purpose, a permitted use and a legal basis."""
    for policy in POLICIES.all:
        assert policy.purposes
        assert policy.permitted_use
        assert policy.legal_basis
        for flow in policy.flows:
            for purpose in set(Purpose) - set(policy.purposes):
                for sector in Sector:
                    ruling = decide(POLICIES, ask(flow, sector, purpose=purpose.value))
                    assert ruling.decision is Decision.DENY
    for flow in (Flow.ALERT, Flow.MATCH, Flow.RECEIPT, Flow.FLAG_LOOKUP, Flow.ACCESS_NOTICE):
        for sector in (Sector.EDUCATION, Sector.POLICE, Sector.RESEARCH, Sector.OTHER):
            assert decide(POLICIES, ask(flow, sector)).decision is Decision.DENY


def test_principle_proportionate() -> None:
    """Proportionate: the further from the care of the child, the less is told. Checked: of a shared
    alert a school learns less than a health service does, neither why nor where in the hospital;
    the police nothing without a person; of a restricted child everybody learns less; an extract
    names nobody."""
    school, nurse = granted(Flow.SHARE, Sector.EDUCATION), granted(Flow.SHARE, Sector.HEALTH)
    shared = {name for name in school if not name.startswith("authority.")}
    assert shared < nurse
    for kept_back in ("visit.reason", "visit.department", "hospital.name", "person.nhs_number"):
        assert kept_back in nurse
        assert kept_back not in school
    assert decide(POLICIES, ask(Flow.SHARE, Sector.POLICE)).decision is Decision.REVIEW
    for flow, sector in ((Flow.ALERT, Sector.SOCIAL_CARE), (Flow.FLAG_LOOKUP, Sector.HEALTH)):
        assert granted(flow, sector, restricted=True) < granted(flow, sector)
    research = (
        granted(Flow.EXTRACT, Sector.RESEARCH)
        | decide(
            POLICIES, ask(Flow.EXTRACT, Sector.RESEARCH, purpose="research"), released=True
        ).fields
    )
    assert not research & {"nhs_number", "child.family", "child.postcode", "child.birth-date"}
    for policy in POLICIES.all:
        for one in policy.recipients:
            whole = policy.id in ("child-death", "ncmd-submission")
            assert "*" not in one.fields or whole, f"{policy.id} grants {one.key} everything"


def test_principle_relevant() -> None:
    """Relevant: only what bears on the flow. Checked: a member that no policy names (what a body
    was given by mistake, a mother's history) leaves with no flow to anybody whose fields are
    listed; of a match the hospital learns no more than of its own patient."""
    stray = frozenset({"mother.history", "siblings.name", "visit.note", "diagnosis"})
    for flow, sector in (
        (Flow.ALERT, Sector.SOCIAL_CARE),
        (Flow.MATCH, Sector.HEALTH),
        (Flow.RECEIPT, Sector.HEALTH),
        (Flow.FLAG_LOOKUP, Sector.HEALTH),
        (Flow.ACCESS_NOTICE, Sector.SOCIAL_CARE),
        (Flow.SHARE, Sector.EDUCATION),
        (Flow.REPORT_REQUEST, Sector.HEALTH),
    ):
        ruling = decide(POLICIES, ask(flow, sector, fields=_body(flow) | stray))
        assert ruling.decision is Decision.PERMIT
        assert not ruling.fields & stray
    assert not {one for one in granted(Flow.MATCH, Sector.HEALTH) if one.startswith("flags.")}


def test_principle_adequate() -> None:
    """Adequate: whoever must act can. Checked: the authority learns who, where, why and whom to
    ring; the hospital whose plan and whom to ring; a school which child, when, and whom to ring;
    of a restricted child the registered contact still learns who and whom to ring; and no policy
    can grant a body without what makes it readable."""
    alert = granted(Flow.ALERT, Sector.SOCIAL_CARE)
    who_and_whom = {"person.nhs_number", "flags.local_id", "hospital.callback.phone"}
    assert alert >= who_and_whom | {"visit.reason", "visit.department", "hospital.name"}
    assert granted(Flow.ALERT, Sector.SOCIAL_CARE, restricted=True) >= who_and_whom
    match = granted(Flow.MATCH, Sector.HEALTH)
    assert match >= {"plan_types", "authority.name", "authority.phone_emergency"}
    school = granted(Flow.SHARE, Sector.EDUCATION)
    assert school >= {"share.local_id", "share.attended_on", "authority.phone_office"}
    for flow, needed in REQUIRED.items():
        for policy in POLICIES.by_flow[flow]:
            for one in (*policy.recipients, *policy.restricted):
                assert needed <= granted_by(one.fields, needed)


def granted_by(written: tuple[str, ...], fields: frozenset[str]) -> frozenset[str]:
    """Those of `fields` that the patterns grant."""
    return field_names.patterns(written).select(fields)


def test_principle_secure(tmp_path: Path) -> None:
    """Secure: it reaches the recipient and nobody else. Checked: production refuses a webhook
    without TLS, an MLLP listener without TLS on a wide address and a submission without TLS;
    every policy states the measures; what a ruling does not permit stands in no body."""
    for policy in POLICIES.all:
        assert policy.security
    with pytest.raises(ConfigurationError, match="not https"):
        Outbound(()).check_url("http://council.example/x", "an endpoint", production=True)
    production: dict[str, Any] = {
        "profile": Profile.PRODUCTION,
        "security": SecuritySettings(secrets_file=tmp_path / "secrets"),
    }
    unsafe_ones: tuple[dict[str, Any], ...] = (
        {"hl7v2": Hl7v2Settings(host="0.0.0.0")},
        {"ncmd": NcmdSettings(submit_url="http://ncmd.example/x")},
    )
    for unsafe in unsafe_ones:
        with pytest.raises(ValueError, match="production"):
            Settings(**production, **unsafe)
    ruling = decide(POLICIES, ask(Flow.SHARE, Sector.EDUCATION))
    body = mask(SAMPLES[Flow.SHARE], ruling)
    assert "9990000018" not in str(body)
    refused: Ruling = replace(ruling, decision=Decision.DENY, fields=frozenset())
    assert field_names.names(mask(SAMPLES[Flow.SHARE], refused)) == frozenset()
