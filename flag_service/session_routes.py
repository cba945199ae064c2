"""``/session``: people log in and out with a browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from flag_service.sessions import LOG_IN_SECONDS, Sessions
from flag_service.shapes import SessionView
from halyard.caller import Caller
from halyard.http import caller as asking
from halyard.problems import HttpProblem, responses

Text = Annotated[str | None, Query(max_length=2_000)]


def make_router(sessions: Sessions | None) -> APIRouter:
    """The routes; without `sessions` nobody can log in, and they say so."""
    router = APIRouter()

    @router.get(
        "/session/login",
        tags=["sessions"],
        summary="Send a browser to the issuer to log in",
        responses=responses(404, 429, 503),
        status_code=303,
    )
    async def login(return_to: Text = None) -> Response:
        at = _known(sessions)
        value, url = await at.begin(return_to)
        answer = RedirectResponse(url, 303)
        _set(answer, at, at.log_in_cookie, value, LOG_IN_SECONDS)
        return answer

    @router.get(
        "/session/callback",
        tags=["sessions"],
        summary="Where the issuer sends the browser back",
        responses=responses(400, 401, 403, 404, 429, 503),
        status_code=303,
    )
    async def callback(
        request: Request, state: Text = None, code: Text = None, error: Text = None
    ) -> Response:
        at = _known(sessions)
        cookies = _cookies(request)
        started = await at.complete(
            cookies=cookies,
            state=state,
            code=None if error is not None else code,
            request_id=request.state.request_id,
        )
        answer = RedirectResponse(started.return_to, 303)
        _set(answer, at, at.cookie, started.value, None)
        _set(answer, at, at.log_in_cookie, "", 0)
        return answer

    @router.post(
        "/session/logout",
        tags=["sessions"],
        summary="End the session",
        responses=responses(401, 403, 404, 503),
        status_code=204,
    )
    async def logout(request: Request) -> Response:
        at = _known(sessions)
        await at.end(_cookies(request), request.state.request_id)
        answer = Response(status_code=204)
        _set(answer, at, at.cookie, "", 0)
        return answer

    @router.get(
        "/session",
        tags=["sessions"],
        summary="Who is logged in, until when, and the token against forged requests",
        responses={200: {"model": SessionView}, **responses(401, 404, 503)},
    )
    async def session(
        request: Request, caller: Annotated[Caller, Depends(asking)]
    ) -> dict[str, Any]:
        at = _known(sessions)
        value = at.value_of(_cookies(request)) if caller.credential == "session" else None
        return {
            "organisation": caller.organisation,
            "subject": caller.subject,
            "name": caller.name,
            "job_role": caller.job_role,
            "roles": sorted(caller.roles),
            "credential": caller.credential,
            "ends_at": caller.expires_at.isoformat() if caller.expires_at else None,
            "idle_seconds": int(at.idle.total_seconds()) if value else None,
            "csrf_token": at.csrf_token(value) if value else None,
        }

    return router


def standing(sessions: Sessions | None) -> Callable[[Request], Awaitable[bool]] | None:
    """Whether the session behind a request stands, for what goes on after it was let in."""
    if sessions is None:
        return None

    async def stands(request: Request) -> bool:
        return await sessions.stands(_cookies(request))

    return stands


def _known(sessions: Sessions | None) -> Sessions:
    if sessions is None:
        raise HttpProblem(
            404,
            "Nobody can log in here with a browser",
            "The hub's operator has set no client of an issuer (HALYARD_SESSIONS__CLIENT_ID).",
            rule="session.not_configured",
        )
    return sessions


def _cookies(request: Request) -> str | None:
    """As the edge reads them: two headers are as none."""
    given = request.headers.getlist("cookie")
    return given[0] if len(given) == 1 else None


def _set(answer: Response, at: Sessions, name: str, value: str, seconds: int | None) -> None:
    # Lax: the issuer's redirect back comes from another site, and must bring the log-in's cookie;
    # changes need more than a cookie
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=at.settings.secure,
        httponly=True,
        samesite="lax",
    )
