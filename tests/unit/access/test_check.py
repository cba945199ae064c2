"""`halyard access`: who may come in, and why a token would not, without asking anybody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halyard.cli.doctor import _access, _run
from halyard.cli.doors import NOT_CHECKED, judge, ways_in
from halyard.cli.main import app
from halyard.cli.output import Exit
from halyard.clock import system_clock
from halyard.issuer import make_issuer
from halyard.problems import HttpProblem
from halyard.settings import Settings
from halyard.settings_access import AccessSettings
from tests.support.access import (
    CERTIFICATE,
    HOSPITAL,
    NOW,
    PRACTICE_TOKEN,
    access_claims,
    attempt,
    base64url,
    directory,
    door,
    key,
    machine_claims,
    public,
    settings,
    sign,
)

T = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("token", "rule", "organisation"),
    [
        (PRACTICE_TOKEN, None, "E99000001"),
        ("else", "http.unauthenticated", None),
        ("", "http.unauthenticated", None),
        ("eyJ.x.y", "token.malformed", None),
        (sign(machine_claims(), key("edis")), None, HOSPITAL),
        (sign(machine_claims(), key("case"), kid="edis"), "token.signature", None),
        (sign(machine_claims(sub="other"), key("edis")), "token.claims", None),
        (sign(machine_claims(jti=None), key("edis")), "token.claims", None),
        (sign(machine_claims("stranger"), key("edis")), "token.issuer", None),
        (sign(access_claims(), key("issuer")), None, HOSPITAL),
        (sign(access_claims(aud="https://else.test"), key("issuer")), "token.audience", None),
        (sign(access_claims(exp=T - 60), key("issuer")), "token.expired", None),
    ],
)
async def test_a_token_is_judged_as_the_door_would(
    tmp_path: Path, token: str, rule: str | None, organisation: str | None
) -> None:
    """By the same rule, and as the same organisation and roles: the door is asked too."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(public(key("issuer"))))
    made = settings(issuer_keys_file=keys)
    verdict = await judge(token, made, directory(), lambda: NOW)
    assert (verdict.rule, verdict.organisation) == (rule, organisation)
    assert verdict.admitted is (rule is None)
    assert verdict.text
    assert (verdict.rule, verdict.organisation, verdict.roles) == await at_the_door(token, made)


async def at_the_door(token: str, made: Settings) -> tuple[str | None, str | None, tuple[str, ...]]:
    """What becomes of a token at the door itself."""
    try:
        caller = await door(made=made, issuer=make_issuer(made))(attempt(token))
    except HttpProblem as problem:
        return problem.rule, None, ()
    if caller is None:
        return "http.unauthenticated", None, ()
    return None, caller.organisation, tuple(sorted(caller.roles))


async def test_what_cannot_be_said_from_here_is_said_so(tmp_path: Path) -> None:
    """Signatures without the issuer's keys, replays, certificates."""
    cnf = {"x5t#S256": base64url(bytes.fromhex(CERTIFICATE))}
    token = sign(access_claims(cnf=cnf), key("issuer"))
    verdict = await judge(token, settings(), directory(), lambda: NOW)
    assert (verdict.admitted, verdict.rule) == (False, NOT_CHECKED)
    assert [one.partition(":")[0] for one in verdict.unchecked] == [
        "its signature",
        "whether its certificate is shown with it",
    ]
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(public(key("issuer"))))
    known = settings(issuer_keys_file=keys)
    verdict = await judge(token, known, directory(), lambda: NOW)
    assert len(verdict.unchecked) == 1
    forged = sign(access_claims(), key("edis"), kid="issuer")
    assert (await judge(forged, known, directory(), lambda: NOW)).rule == "token.signature"
    machine = sign(machine_claims(), key("edis"))
    verdict = await judge(machine, settings(), directory(), lambda: NOW)
    assert verdict.unchecked == ("whether it was used before",)


def test_every_way_in_is_listed_without_a_secret() -> None:
    """Codes, machines, shared tokens."""
    ways = list(ways_in(settings(), directory()))
    assert [(way.credential, way.organisation, way.roles) for way in ways] == [
        ("issuer", "any in the directory", "safeguarding-nurse"),
        ("issuer", "E99000001", "social-worker"),
        ("machine", HOSPITAL, "hospital-system"),
        ("machine", "E99000001", "la-system"),
        ("shared token", "E99000001", "la-system"),
    ]
    assert PRACTICE_TOKEN not in str(ways)
    assert directory().credentials[0].sha256 not in str(ways)


def test_the_commands_read_the_directory_and_never_print_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment or standard input; exit 1 for a refusal."""
    path = tmp_path / "directory.toml"
    path.write_text('[[hospital]]\nods = "RX901"\nname = "Infirmary"\n')
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("HALYARD_DIRECTORY_FILE", str(path))
    runner = CliRunner()
    listed = runner.invoke(app, ["access", "list", "--json"])
    assert (listed.exit_code, json.loads(listed.stdout)) == (0, {"ways": []})
    token = sign(machine_claims(), key("edis"))
    checked = runner.invoke(app, ["access", "check"], input=token)
    assert checked.exit_code == 1
    assert "token.issuer" in checked.stdout
    assert token.split(".")[1] not in checked.stdout
    monkeypatch.setenv("HALYARD_TOKEN", token)
    checked = runner.invoke(app, ["access", "check", "--json"])
    assert json.loads(checked.stdout)["rule"] == "token.issuer"


def test_a_token_whose_signature_nobody_checked_is_not_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can write such a token: the first line says so, and the exit code is neither that of
    a good token (0) nor of a refused one (1).
    """
    path = tmp_path / "directory.toml"
    path.write_text('[[hospital]]\nods = "RX901"\nname = "Infirmary"\n')
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("HALYARD_DIRECTORY_FILE", str(path))
    known = settings()
    assert known.access.issuer is not None
    monkeypatch.setenv("HALYARD_ACCESS__ISSUER", known.access.issuer)
    monkeypatch.setenv("HALYARD_ACCESS__AUDIENCE", known.access.audience)
    now = int(system_clock().timestamp())
    claims = access_claims(iat=now, nbf=now, exp=now + 300)
    claims[known.access.organisation_claim] = "RX901"
    forged = sign(claims, key("edis"), kid="issuer")
    checked = CliRunner().invoke(app, ["access", "check"], input=forged)
    assert checked.exit_code == Exit.UNAVAILABLE
    assert checked.stdout.startswith("not checked: ")
    assert "let in" not in checked.stdout
    found = json.loads(CliRunner().invoke(app, ["access", "check", "--json"], input=forged).stdout)
    assert (found["admitted"], found["rule"]) == (False, NOT_CHECKED)
    # what can be seen without a key is still a refusal
    late = sign(access_claims(iat=now - 600, nbf=now - 600, exp=now - 300), key("issuer"))
    checked = CliRunner().invoke(app, ["access", "check"], input=late)
    assert (checked.exit_code, checked.stdout.partition(":")[0]) == (1, "token.expired")


async def test_keys_that_cannot_be_had_leave_a_token_unchecked(tmp_path: Path) -> None:
    """A keys file that is not there is no admission, and no fault of the token."""
    made = settings(issuer_keys_file=tmp_path / "none.json")
    verdict = await judge(sign(access_claims(), key("issuer")), made, directory(), lambda: NOW)
    assert (verdict.admitted, verdict.rule) == (False, NOT_CHECKED)


def test_the_doctor_says_what_would_stop_the_door(tmp_path: Path) -> None:
    """A role that is none, and an issuer whose keys cannot be had."""
    path = tmp_path / "directory.toml"
    path.write_text('[[role_map]]\nclaim = "x"\nrole = "king"\n')
    found = _run("access", _access, Settings(directory_file=path))
    assert (found.result, "king" in found.text) == ("failed", True)
    path.write_text('[[role_map]]\nclaim = "x"\nrole = "auditor"\n')
    assert _run("access", _access, Settings(directory_file=path)).result == "ok"
    keys = tmp_path / "keys.json"
    access = AccessSettings(issuer="https://issuer.test", issuer_keys_file=keys)
    made = Settings(directory_file=path, access=access)
    assert "HALYARD_ACCESS__ISSUER" in _run("access", _access, made).text
    keys.write_text(json.dumps(public(key("issuer"))))
    assert _run("access", _access, made).text.endswith("1 keys of the issuer")
