"""`halyard pause|resume STAGE`: hold a stage, and let it go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.running import not_running, running_system
from halyard.cli.stated import stated
from halyard.cli.who import account
from halyard.kafka import make_producer, qualified
from halyard.postgres import Connection, make_pool, transaction
from halyard.settings import Settings, load_settings
from schemas.topics import CONTROL
from stores import pauses
from streams.channel import control_message

STAGES = ("identity", "matching")

StageName = Annotated[str, typer.Argument(help=f"One of {', '.join(STAGES)}.")]


def pause(
    stage: StageName,
    reason: Annotated[str, typer.Option(help="Why; it is shown and kept.", callback=stated)],
    by: Annotated[
        str | None, typer.Option(help="Who; default: your login name.", callback=stated)
    ] = None,
    json: Json = False,
) -> None:
    """Hold a stage: its records wait on Kafka, nothing is lost. Survives restarts."""
    name = by or account()
    _change(stage, lambda connection: pauses.put(connection, stage, reason=reason, by=name), json)


def resume(stage: StageName, json: Json = False) -> None:
    """Let a held stage go on where it stopped."""
    _change(stage, lambda connection: pauses.drop(connection, stage), json)


def _change(stage: str, change: Callable[[Connection], Awaitable[bool]], json: bool) -> None:
    if stage not in STAGES:
        raise typer.BadParameter(f"there is no stage {stage}; one of {', '.join(STAGES)}")
    running_system(load_settings().data_dir)
    if (stopped := not_running()) is not None:  # at once: nothing is missing but the hub
        raise stopped
    changed, standing = asyncio.run(_apply(load_settings(), stage, change))
    if json:
        print_json({"changed": changed, "paused": [asdict(one) for one in standing]})
    elif standing:
        table(("stage", "reason", "by", "since"), [asdict(one) for one in standing])
    else:
        line("no stage is paused")
    if not changed:
        raise typer.Exit(Exit.FAILED)


async def _apply(
    settings: Settings, stage: str, change: Callable[[Connection], Awaitable[bool]]
) -> tuple[bool, list[pauses.Pause]]:
    async with make_pool(settings, name="pauses", size=1) as pool, transaction(pool) as connection:
        changed = await change(connection)
        standing = await pauses.every(connection)
    await _nudge(settings, stage)
    return changed, standing


async def _nudge(settings: Settings, stage: str) -> None:
    """Tell the workers to look now; without Kafka they look in a few seconds anyway."""
    producer = make_producer(settings, client_id="halyard-cli")
    try:
        async with asyncio.timeout(5):
            await producer.start()
            await producer.send_and_wait(qualified(settings, CONTROL), control_message(stage))
    except (KafkaError, TimeoutError):
        line("Kafka did not take the nudge; workers see the change within a few seconds")
    finally:
        await producer.stop()
