"""`halyard reviews disclosures list|release|refuse`: what a sharing policy leaves to a person."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import asdict
from typing import Annotated

import typer

from flag_service.releasing import Outcome, Word, decide
from halyard.actor import Actor
from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.cli.stated import By, For, Why, both, decider
from halyard.cli.who import me
from halyard.clock import system_clock
from halyard.errors import PermanentError
from halyard.postgres import make_pool, transaction
from halyard.privacy import load_keys
from halyard.settings import Settings, load_settings
from policies.desk import Desk
from policies.model import load_policies
from stores import held
from stores.audit import HUB
from stores.directory import load_directory
from stores.held import Kept

app = typer.Typer(help="Decisions that people take.", no_args_is_help=True)
disclosures = typer.Typer(
    help="Disclosures that a sharing policy leaves to a person, or denied.", no_args_is_help=True
)
app.add_typer(disclosures, name="disclosures")

_COLUMNS = (
    "item_id",
    "what",
    "kind",
    "recipient",
    "reviewer",
    "subject",
    "version",
    "policy",
    "policy_version",
    "rule",
    "denied",
    "created_at",
)

Item = Annotated[str, typer.Argument(help="Id, as `halyard reviews disclosures list` shows it.")]


@disclosures.command("list")
def list_(
    organisation: Annotated[
        str | None, typer.Option(help="Only what this organisation's people decide.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 200,
    json: Json = False,
) -> None:
    """Show what waits for a person, and alerts that a policy denied; no bodies."""
    running_system(load_settings().data_dir)
    found = asyncio.run(_kept(load_settings(), organisation, limit))
    if json:
        print_json({"disclosures": [asdict(one) for one in found]})
    elif found:
        table(_COLUMNS, [asdict(one) for one in found])
    else:
        line("nothing waits for a person")


@disclosures.command()
def release(item: Item, reason: Why, by: By = None, for_: For = None, json: Json = False) -> None:
    """Let it leave, as far as the policies in force permit with a person's word."""
    _decide(item, "release", reason, by, for_, json=json)


@disclosures.command()
def refuse(item: Item, reason: Why, by: By = None, for_: For = None, json: Json = False) -> None:
    """It never leaves."""
    _decide(item, "refuse", reason, by, for_, json=json)


def _decide(
    item: str, word: Word, reason: str, by: str | None, for_: str | None, *, json: bool
) -> None:
    try:
        item_id = uuid.UUID(item)
    except ValueError:
        raise typer.BadParameter(
            "give an id as `halyard reviews disclosures list` shows it"
        ) from None
    both(by, for_)
    running_system(load_settings().data_dir)
    outcome = asyncio.run(_decided(load_settings(), item_id, word, reason, by, for_))
    if outcome is None:
        raise PermanentError(
            f"Nothing of id {item_id} waits; `halyard reviews disclosures list` shows what does."
        )
    if outcome.state == "denied" and outcome.asked is not None:
        ruling = outcome.asked.ruling
        raise PermanentError(
            f"The policies in force do not permit it ({ruling.policy} version {ruling.version}, "
            f"rule {ruling.rule}); mend the policy, start the processes again, then release."
        )
    if outcome.state == "own":
        raise PermanentError(
            "That person shared it, and nobody releases what they shared; another person of the "
            "organisation must look at it."
        )
    if json:
        print_json({"item_id": item_id, "state": outcome.state, "changed": outcome.changed})
    else:
        line(outcome.state if outcome.changed else f"it was {outcome.state} already")
    if outcome.state != f"{word}d":
        raise typer.Exit(Exit.FAILED)


async def _kept(settings: Settings, organisation: str | None, limit: int) -> list[Kept]:
    async with (
        make_pool(settings, name="reviews", size=1) as pool,
        transaction(pool) as connection,
    ):
        return await held.kept(connection, organisation, limit=limit)


async def _decided(
    settings: Settings,
    item_id: uuid.UUID,
    word: Word,
    reason: str,
    by: str | None,
    for_: str | None,
) -> Outcome | None:
    desk = Desk(
        load_policies(settings.policies.directory),
        load_directory(settings.directory_file),
        load_keys(settings.security),
        me(),
    )
    async with (
        make_pool(settings, name="reviews", size=1) as pool,
        transaction(pool) as connection,
    ):
        whose = await held.reviewer(connection, item_id)
        if whose is None:
            return None
        detail = [("decided_at", "command-line")]
        if whose != HUB:
            detail.append(("entered_by", HUB))
        actor = Actor(
            subject=desk.actor,
            organisation=whose,
            name=decider(
                whose,
                by,
                for_,
                people="a social worker, safeguarding nurse, panel coordinator or Caldicott "
                "guardian",
                route=f"/reviews/disclosures/{item_id}",
            ),
            detail=tuple(detail),
            entered=True,
        )
        return await decide(connection, item_id, word, actor, desk, system_clock(), reason=reason)
