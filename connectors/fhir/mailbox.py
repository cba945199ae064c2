"""The mailbox routes: an organisation reads its letters, as often as it likes, and acknowledges.

Reading takes nothing away. A page is a searchset Bundle of message Bundles, each as it was written;
an error is an OperationOutcome. Others' letters are like letters that do not exist.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from connectors.fhir.documented import answer, fhir_responses
from connectors.fhir.outcomes import CONTENT_TYPE, RULES_SYSTEM, Rule
from halyard.clock import Clock
from halyard.errors import RejectedError, TransientError
from halyard.http import organisation
from halyard.postgres import Pool, scoped
from halyard.telemetry import get_logger
from stores import mailbox
from stores.mailbox import Cursor, Page, StoredLetter

MESSAGES: Final = "/fhir/R4/messages"
LATER: Final = "urn:halyard:fhir:later"
"""Link relation of a page: where to go on at any later time, also when there is no `next` now."""
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100

RULES: Final = {
    "parameter-unknown": Rule(
        400, "not-supported", "Send only the parameters that the reference lists."
    ),
    "parameter-invalid": Rule(400, "invalid", "Send this parameter as the reference says."),
    "parameters-together": Rule(
        400, "invalid", "`response-to` stands alone; leave the other parameters out."
    ),
    "letter-unknown": Rule(
        404, "not-found", "Your organisation has no letter with this id; read the list."
    ),
    "mailbox-away": Rule(
        503, "transient", "The hub cannot read its mailbox now; try again in a moment."
    ),
}
"""Every rule for which a request is refused; docs/reference/messages-out.md lists them."""

PARAMETERS: Final[list[dict[str, Any]]] = [
    {"name": name, "in": "query", "required": False, "schema": schema}
    for name, schema in (
        ("after", {"type": "string"}),
        ("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
        ("unacknowledged", {"type": "boolean"}),
        ("response-to", {"type": "string"}),
        ("_format", {"type": "string"}),
    )
]

_PLAIN: Final = frozenset({"after", "limit", "unacknowledged", "_format"})
_ANSWERED: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_CURSOR: Final = re.compile(r"([0-9]{1,20})\.([0-9]{1,19})", re.ASCII)
_MAX_XID: Final = 2**64 - 1
_MAX_POSITION: Final = 2**63 - 1

Caller = Annotated[str, Depends(organisation)]

log = get_logger()


class _Refused(RejectedError):
    """The mailbox refuses the request by a rule of `RULES`; mend the parameter in `place`."""

    def __init__(self, rule: str, place: str = "") -> None:
        super().__init__(RULES[rule].advice, place=place, rule=rule)


def make_router(pool: Pool, clock: Clock) -> APIRouter:
    """The routes of the mailbox."""
    router = APIRouter()

    @router.get(
        MESSAGES,
        tags=["messages"],
        summary="Your organisation's letters",
        response_class=Response,
        responses={
            200: answer("Bundle", "A searchset of messages."),
            **fhir_responses(400, 503),
        },
        openapi_extra={"parameters": PARAMETERS},
    )
    async def list_messages(request: Request, caller: Caller) -> Response:
        asked: dict[str, str] = {}
        try:
            for name, value in request.query_params.multi_items():
                if name in asked:
                    raise _Refused("parameter-invalid", _known(name))
                asked[name] = value
            if "response-to" in asked:
                return await _answers(pool, caller, asked)
            return await _page(pool, caller, asked)
        except _Refused as refused:
            return _outcome(refused.rule, refused.place)
        except TransientError:
            return _outcome("mailbox-away")

    @router.get(
        f"{MESSAGES}/{{letter_id}}",
        tags=["messages"],
        summary="One letter",
        response_class=Response,
        responses={200: answer("Bundle", "The message."), **fhir_responses(404, 503)},
    )
    async def show_message(letter_id: str, caller: Caller) -> Response:
        try:
            known = _letter_id(letter_id)
            async with scoped(pool, caller) as connection:
                letter = await mailbox.get(connection, caller, known)
        except _Refused as refused:
            return _outcome(refused.rule)
        except TransientError:
            return _outcome("mailbox-away")
        if letter is None:
            return _outcome("letter-unknown")
        return Response(letter.body, 200, media_type=CONTENT_TYPE)

    @router.post(
        f"{MESSAGES}/{{letter_id}}/$acknowledge",
        status_code=204,
        tags=["messages"],
        summary="Acknowledge a letter",
        response_class=Response,
        responses=fhir_responses(404, 503),
    )
    async def acknowledge(letter_id: str, caller: Caller) -> Response:
        try:
            known = _letter_id(letter_id)
            async with scoped(pool, caller) as connection:
                found = await mailbox.acknowledge(connection, caller, known, clock())
        except _Refused as refused:
            return _outcome(refused.rule)
        except TransientError:
            return _outcome("mailbox-away")
        if not found:
            return _outcome("letter-unknown")
        log.info("letter_acknowledged", letter_id=str(known), organisation=caller)
        return Response(status_code=204)

    return router


async def _page(pool: Pool, caller: str, asked: dict[str, str]) -> Response:
    if unknown := set(asked) - _PLAIN:
        raise _Refused("parameter-unknown", _known(min(unknown)))
    limit = _limit(asked.get("limit"))
    only = asked.get("unacknowledged", "false")
    if only not in ("true", "false"):
        raise _Refused("parameter-invalid", "unacknowledged")
    async with scoped(pool, caller) as connection:
        page = await mailbox.page(
            connection,
            caller,
            after=decode(asked.get("after")),
            limit=limit,
            unacknowledged=only == "true",
        )
    return _bundle(page.letters, _links(page, limit, asked))


async def _answers(pool: Pool, caller: str, asked: dict[str, str]) -> Response:
    if set(asked) - {"response-to", "_format"}:
        raise _Refused("parameters-together")
    answered = asked["response-to"].removeprefix("urn:uuid:")
    if not _ANSWERED.fullmatch(answered):
        raise _Refused("parameter-invalid", "response-to")
    async with scoped(pool, caller) as connection:
        letters = await mailbox.answer_to(connection, caller, answered)
    return _bundle(letters, [_link("self", {"response-to": answered})])


def _links(page: Page, limit: int, asked: dict[str, str]) -> list[dict[str, str]]:
    kept = {"limit": str(limit)}
    if asked.get("unacknowledged") == "true":
        kept["unacknowledged"] = "true"
    here = {"after": asked["after"], **kept} if "after" in asked else kept
    links = [_link("self", here)]
    if page.next is not None:
        onward = {"after": encode(page.next), **kept}
        links += [_link("next", onward)] if page.more else []
        links.append(_link(LATER, onward))
    return links


def _link(relation: str, parameters: dict[str, str]) -> dict[str, str]:
    return {"relation": relation, "url": f"{MESSAGES}?{urlencode(parameters)}"}


def _bundle(letters: Sequence[StoredLetter], links: Sequence[dict[str, str]]) -> Response:
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
    if letters:
        bundle["entry"] = [
            {
                "fullUrl": f"urn:uuid:{one.letter_id}",
                "resource": orjson.Fragment(one.body),
                "search": {"mode": "match", "extension": _marks(one)},
            }
            for one in letters
        ]
    return Response(orjson.dumps(bundle), 200, media_type=CONTENT_TYPE)


def _marks(letter: StoredLetter) -> list[dict[str, Any]]:
    """What stands outside the letter, which is the same bytes for ever."""
    marks: list[dict[str, Any]] = [
        {
            "url": "urn:halyard:fhir:needs-acknowledgement",
            "valueBoolean": letter.needs_acknowledgement,
        }
    ]
    if letter.acknowledged_at is not None:
        at = letter.acknowledged_at.isoformat()
        marks.append({"url": "urn:halyard:fhir:acknowledged-at", "valueDateTime": at})
    return marks


def encode(cursor: Cursor) -> str:
    """A cursor as clients hold it: opaque."""
    return base64.urlsafe_b64encode(f"{cursor[0]}.{cursor[1]}".encode()).decode().rstrip("=")


def decode(text: str | None) -> Cursor | None:
    """A cursor; None for none. Refuses what is not one."""
    if text is None:
        return None
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (ValueError, binascii.Error):
        plain = ""
    match = _CURSOR.fullmatch(plain)
    if match is None or int(match[1]) > _MAX_XID or int(match[2]) > _MAX_POSITION:
        raise _Refused("parameter-invalid", "after")
    return int(match[1]), int(match[2])


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT):
        raise _Refused("parameter-invalid", "limit")
    return int(text)


def _letter_id(text: str) -> uuid.UUID:
    try:
        if len(text) == 36:
            return uuid.UUID(text)
    except ValueError:
        pass  # no letter has such an id
    raise _Refused("letter-unknown")


def _known(name: str) -> str:
    """A parameter's name, if it is one of ours: another could hold anything."""
    return name if name in _PLAIN or name == "response-to" else ""


def _outcome(rule: str, place: str = "") -> Response:
    found = RULES[rule]
    issue: dict[str, Any] = {
        "severity": "error",
        "code": found.issue,
        "details": {
            "coding": [{"system": RULES_SYSTEM, "code": rule}],
            "text": found.advice,
        },
    }
    if place:
        issue["expression"] = [f"http.{place}"]
    headers = {"Retry-After": "5"} if found.status == 503 else {}
    body = {"resourceType": "OperationOutcome", "issue": [issue]}
    return Response(orjson.dumps(body), found.status, headers, CONTENT_TYPE)
