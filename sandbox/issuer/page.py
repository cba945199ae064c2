"""The log-in page: a plain list of invented people, without scripts and without a password."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

from sandbox.issuer.people import PracticePerson

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def log_in_page(people: Iterable[PracticePerson], asked: Sequence[tuple[str, str]]) -> str:
    """HTML with a button for each person; `asked` are the request's parameters, sent again."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in asked
    )
    ordered = sorted(people, key=lambda one: (one.organisation, one.subject))
    groups = "".join(
        f"<fieldset><legend>{escape(code)}</legend>{''.join(map(_button, those))}</fieldset>"
        for code, those in groupby(ordered, key=lambda one: one.organisation)
    )
    return (
        '<!doctype html><html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        "<title>Practice log-in</title></head><body><main><h1>Practice log-in</h1>"
        "<p>These people are invented. Choose who you are; nothing is checked here.</p>"
        f'<form method="post" action="/oauth2/authorize">{hidden}{groups}</form>'
        "</main></body></html>"
    )


def _button(person: PracticePerson) -> str:
    return (
        f'<p><button name="person" value="{escape(person.subject)}">{escape(person.name)}</button> '
        f"{escape(person.job_role)} ({escape(', '.join(person.roles))})</p>"
    )
