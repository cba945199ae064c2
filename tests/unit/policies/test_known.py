"""Field names of a policy file that no body has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halyard.cli.policy_samples import SAMPLES
from halyard.errors import ConfigurationError
from policies import fields as field_names
from policies.known import KNOWN
from policies.model import load_policies
from tests.support.policies import folder, members, package_files

SLIP: dict[str, Any] = {"code": "slip", "reason": "a test", "fields": ["visit.raeson"]}


@pytest.mark.parametrize("section", ["recipients", "restricted", "deny", "review"])
def test_a_misspelt_field_is_refused_with_the_nearest(section: str, tmp_path: Path) -> None:
    """It would withhold or ask about nothing. File, flow, field and the nearest name are said."""
    alert = package_files()["alert"]
    if section in ("deny", "review"):
        alert[section] = [SLIP]
    else:
        alert[section][0]["fields"].append("visit.raeson")
    with pytest.raises(ConfigurationError) as caught:
        load_policies(folder(tmp_path, alert))
    for said in ("0.yaml", section, "alert has a field visit.raeson", "did you mean visit.reason?"):
        assert said in caught.value.message


def test_a_tree_or_an_open_flow_is_not_refused(tmp_path: Path) -> None:
    """`visit.*` means fields; of a worklist the fields are not known, so none is refused."""
    alert = package_files()["alert"]
    alert["recipients"][0]["fields"] += ["visit.*", "hospital.callback.*"]
    open_flow = members(recipients=[{"sector": "health", "fields": ["new.field"]}])
    assert len(load_policies(folder(tmp_path, alert, open_flow)).all) == 2


def test_every_field_of_a_body_is_known() -> None:
    """Nothing that a body has is refused in a policy."""
    for flow, known in KNOWN.items():
        assert field_names.names(SAMPLES[flow]) <= known
