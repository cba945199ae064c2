"""Who is a person: nobody who is not shown to be one."""

from __future__ import annotations

from typing import Any

import pytest

from flag_service.claims import caller_of
from tests.support.access import access_claims, directory, settings


@pytest.mark.parametrize(
    ("claims", "access"),
    [
        (access_claims(auth_time=None), {}),
        (access_claims(auth_time=0), {}),  # older Keycloak, of a service account
        (access_claims(auth_time=True), {}),
        (access_claims(auth_time="1"), {}),
        (access_claims(auth_time=[1]), {}),
        (access_claims(sub="the-app"), {}),
        (access_claims(sub="the-app", client_id=None, azp="the-app"), {}),
        # Keycloak, client credentials: sub is the id of the service account's user
        (
            access_claims(
                auth_time=None,
                azp="edis-client",
                client_id="edis-client",
                preferred_username="service-account-edis-client",
            ),
            {},
        ),
        # Entra ID, an application's own token: sub is the id of its service principal
        (access_claims(auth_time=None, client_id=None, azp="appid", idtyp="app"), {}),
        (access_claims(idtyp="app"), {"person_claim": "idtyp", "person_value": "user"}),
        (access_claims(), {"person_claim": "idtyp", "person_value": "user"}),
        (access_claims(idtyp=["user"]), {"person_claim": "idtyp", "person_value": "user"}),
        (access_claims(), {"person_claim": "kind.of", "person_value": "user"}),
    ],
)
def test_a_system_of_a_common_issuer_is_no_person(
    claims: dict[str, Any], access: dict[str, Any]
) -> None:
    """Its `sub` alone does not tell: what is not marked as a person is a system."""
    caller = caller_of(claims, directory(), settings(**access).access)
    assert (caller.person, caller.subject.partition(":")[0]) == (False, "client")


@pytest.mark.parametrize(
    ("claims", "access"),
    [
        (access_claims(), {}),
        (
            access_claims(auth_time=None, idtyp="user"),
            {"person_claim": "idtyp", "person_value": "user"},
        ),
        (
            access_claims(auth_time=None, kind={"of": "user"}),
            {"person_claim": "kind.of", "person_value": "user"},
        ),
    ],
)
def test_who_is_marked_as_a_person_is_one(claims: dict[str, Any], access: dict[str, Any]) -> None:
    """By when they logged in, or by the claim and the value that are set."""
    caller = caller_of(claims, directory(), settings(**access).access)
    assert (caller.person, caller.subject) == (True, "user:7c1f")


def test_an_id_token_is_of_a_person_but_never_of_its_own_client() -> None:
    """It is given for somebody who has logged in, whether or not it says when."""
    known, access = directory(), settings().access
    assert caller_of(access_claims(auth_time=None), known, access, logged_in=True).person
    own = access_claims(sub="the-app")
    assert not caller_of(own, known, access, logged_in=True).person


@pytest.mark.parametrize("half", [{"person_claim": "idtyp"}, {"person_value": "user"}])
def test_half_a_mark_is_none(half: dict[str, str]) -> None:
    """A claim that systems have too, with another value, would make people of them."""
    with pytest.raises(ValueError, match="set both"):
        settings(**half)
