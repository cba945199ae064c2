"""`halyard openapi` and `halyard asyncapi`: the interfaces as documents, made from the code."""

from __future__ import annotations

import json
from typing import Any

import typer

from halyard.privacy import Keys
from halyard.settings import Settings


def openapi_document() -> dict[str, Any]:
    """What `halyard serve` answers, as OpenAPI 3.1. Nothing is connected to."""
    from flag_service.app import create_app
    from halyard.clock import system_clock
    from halyard.postgres import make_pool
    from stores.directory import Directory

    settings = Settings.model_construct()  # as they are by default, whatever runs here
    app = create_app(
        settings,
        make_pool(settings, name="openapi"),  # never opened
        Keys(bus=b"\0" * 32, store=b"\0" * 32),
        Directory(hospitals={}, feeds=(), authorities={}, endpoints={}, credentials=()),
        None,
        system_clock,
    )
    return app.openapi()


def asyncapi_document() -> dict[str, Any]:
    """The bus, as AsyncAPI 3.0."""
    from schemas.asyncapi import document

    return document()


def text(document: dict[str, Any]) -> str:
    """A document as it is printed and checked in."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def openapi() -> None:
    """Print what `halyard serve` answers, as OpenAPI 3.1 (docs/reference/openapi.json)."""
    typer.echo(text(openapi_document()), nl=False)


def asyncapi() -> None:
    """Print the topics of the bus, as AsyncAPI 3.0 (docs/reference/asyncapi.json)."""
    typer.echo(text(asyncapi_document()), nl=False)
