"""What the commands of the audit chain share: settings, a database, and who gives the command."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from halyard.cli.running import running_system
from halyard.postgres import Connection, Pool, make_pool, transaction
from halyard.settings import Settings, load_settings

T = TypeVar("T")


def running_settings() -> Settings:
    """Settings, of the running system where none are given."""
    running_system(load_settings().data_dir)
    return load_settings()


def an_id(text: str) -> uuid.UUID:
    """An id that was given as text."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise typer.BadParameter("give an id as the lists show it") from None


def with_connection(settings: Settings, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do `work` in one transaction."""

    async def inner(pool: Pool) -> T:
        async with transaction(pool) as connection:
            return await work(connection)

    return with_pool(settings, inner)


def with_pool(settings: Settings, work: Callable[[Pool], Awaitable[T]]) -> T:
    """Do `work` with a pool."""

    async def outer() -> T:
        async with make_pool(settings, name="audit", size=1) as pool:
            return await work(pool)

    return asyncio.run(outer())
