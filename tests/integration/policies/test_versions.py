"""One content for each version of a sharing policy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from halyard.cli.doctor import _run
from halyard.cli.doctor_proof import policy_versions
from halyard.errors import ConfigurationError
from halyard.settings import load_settings
from policies import versions
from policies.model import load_policies
from tests.integration.policies.conftest import Desk
from tests.support.policies import NOON, folder, members


async def test_a_version_that_was_used_is_never_another_one(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process does not start, and says which file, policy and version; layout, and the day on
    which a version ends, are no other content. The doctor says it too. No role changes what stands.
    """
    await versions.at_start(desk.pool, load_policies(folder(tmp_path / "a", members())), NOON)
    same = folder(tmp_path / "a", members(end=None, deny=[]))
    (same / "0.yaml").write_text("# why\n" + (same / "0.yaml").read_text())
    await versions.at_start(desk.pool, load_policies(same), NOON)
    edited = load_policies(folder(tmp_path / "b", members(retention="For good")))
    with pytest.raises(ConfigurationError, match=r"0\.yaml: version 1 of made-up .* \(2\)"):
        await versions.at_start(desk.pool, edited, NOON)
    monkeypatch.setenv("HALYARD_POLICIES__DIRECTORY", str(tmp_path / "b"))
    finding = await asyncio.to_thread(_run, "versions", policy_versions, load_settings())
    assert (finding.result, "policy.version-edited" in finding.text) == ("failed", True)
    newer = members(version=2, retention="For good")
    await versions.at_start(desk.pool, load_policies(folder(tmp_path / "b", newer)), NOON)
    table = sql.Identifier("halyard", "policy_versions")
    for url in (desk.database.url, desk.database.face_url):
        with psycopg.connect(url, autocommit=True) as connection:
            add = sql.SQL("insert into {} values ('x', 1, '', now()) on conflict do nothing")
            connection.execute(add.format(table))
            for statement in ("update {} set version = 3", "delete from {}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.SQL(statement).format(table))
