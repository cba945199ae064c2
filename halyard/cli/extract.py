"""`halyard extract …`: a research extract of cases: asked for, decided, handed over as files."""

from __future__ import annotations

import asyncio
import os
import secrets
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from halyard.cli import opt_outs
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.running import running_system
from halyard.cli.stated import Name, stated
from halyard.clock import system_clock
from halyard.errors import PermanentError
from halyard.postgres import Pool, make_pool, transaction
from halyard.privacy import load_keys
from halyard.settings import Settings, load_settings
from policies import releasing
from policies.model import load_policies
from policies.releasing import NO_SUCH, Made, Office
from policies.ruling import Decision, Ruling
from stores import releases as store
from stores.directory import load_directory
from stores.releases import Release

T = TypeVar("T")

app = typer.Typer(help="Research extracts of cases.", no_args_is_help=True)
app.add_typer(opt_outs.app, name="opt-outs")

Within = Annotated[
    int, typer.Option(min=1, max=365, help="Opt-outs imported longer ago are refused.")
]
ReleaseId = Annotated[str, typer.Argument(help="Id of a release.")]


@app.command()
def cases(
    policy: Annotated[str, typer.Option(help="Id of the policy that covers it.")],
    organisation: Annotated[str, typer.Option(help="ODS code of who receives it.")],
    title: Annotated[str, typer.Option(help="Of the release, as the register shows it.")],
    user: Annotated[str, typer.Option(help="Safe people: who will use it, and their role.")],
    trained: Annotated[str, typer.Option(help="Safe people: day of their last training (ISO).")],
    project: Annotated[str, typer.Option(help="Safe project: the study, and its approval.")],
    approver: Annotated[str, typer.Option(help="Safe project: who approved it.")],
    setting: Annotated[str, typer.Option(help="Safe setting: where it is used.")],
    outputs: Annotated[str, typer.Option(help="Safe outputs: who checks what is published, how.")],
    out: Annotated[Path | None, typer.Option(help="File to write; a summary beside it.")] = None,
    region: Annotated[str, typer.Option(help="Safe setting: where that stands.")] = "England",
    opt_out_days: Within = 7,
    by: Name = "",
    json: Json = False,
) -> None:
    """Ask for a research extract of cases, and write it if its policy permits it at once.

    A policy that leaves it to a person has it held: a Caldicott guardian decides it (`decide`),
    then it is collected (`collect`). Exits 1 if nothing was written.
    """
    try:
        date.fromisoformat(trained)
    except ValueError:
        raise typer.BadParameter("give --trained as an ISO date") from None
    asked = releasing.Asked(
        release_id=uuid.uuid4(),
        policy=policy,
        organisation=organisation,
        title=title,
        five_safes={
            "people": {"user": user, "organisation": organisation, "trained": trained},
            "project": {"purpose": project, "policy": policy, "approver": approver},
            "setting": {"where": setting, "region": region},
            "outputs": {"checker": outputs},
        },
    )

    async def work(pool: Pool, office: Office) -> tuple[str, Release | None, Made | None]:
        async with transaction(pool) as connection:
            ruling, release = await releasing.ask(connection, asked, office)
        if ruling.decision is not Decision.PERMIT or release is None or out is None:
            return ruling.rule, release, None
        made = await _collect(pool, office, release.release_id, out, opt_out_days, None)
        if isinstance(made, Ruling):
            return made.rule, None, None
        return ruling.rule, made.release, made

    rule, release, made = _run(work, by)
    if json:
        print_json(_told(release, rule))
    elif release is None:
        line(f"refused: {rule}. The refusal is recorded; nothing was written")
    elif release.state == "held":
        line(
            f"held ({rule}): release {release.release_id}. A Caldicott guardian sees it with "
            f"halyard extract show {release.release_id}, and decides it with halyard extract "
            f"decide {release.release_id} --release|--refuse --by … --reason …"
        )
    elif made is None:
        line(f"released: collect it with halyard extract collect {release.release_id} --out …")
    else:
        _say(made)
    if made is None:
        raise typer.Exit(Exit.FAILED)


@app.command()
def show(release: ReleaseId, json: Json = False) -> None:
    """What a release would tell, or told: every field, to whom, why. For whoever decides it."""
    running_system(load_settings().data_dir)
    release_id = _id(release)

    async def work(settings: Settings) -> list[Release]:
        async with (
            make_pool(settings, name="extract", size=1) as pool,
            transaction(pool) as connection,
        ):
            return await store.every(connection, release_id)

    found = asyncio.run(work(load_settings()))
    if not found:
        raise PermanentError(NO_SUCH)
    (one,) = found
    if json:
        print_json(_told(one, one.rule))
        return
    line(f"{one.reference} ({one.state}): {one.title}, to {one.organisation} ({one.sector})")
    line(f"policy {one.policy} version {one.policy_version}, {one.legal_basis}, for {one.purpose}")
    line(f"{len(one.fields)} fields: {', '.join(one.fields)}")
    for name, said in one.five_safes.items():
        line(f"safe {name}: {'; '.join(f'{key} {value}' for key, value in said.items())}")


@app.command()
def decide(
    release: ReleaseId,
    reason: Annotated[
        str,
        typer.Option(help="Why; kept with the decision. No personal data.", callback=stated),
    ],
    yes: Annotated[
        bool,
        typer.Option("--release/--refuse", help="What is decided; needed.", show_default=False),
    ],
    by: Name = "",
    json: Json = False,
) -> None:
    """A Caldicott guardian, who is not the one that asked, decides a held release."""
    release_id = _id(release)
    state: Literal["released", "refused"] = "released" if yes else "refused"

    async def work(pool: Pool, office: Office) -> Release:
        async with transaction(pool) as connection:
            return await releasing.settle(connection, release_id, state, reason, office)

    done = _run(work, by)
    if json:
        print_json(_told(done, state))
    else:
        line(
            f"{done.state}: {done.release_id}: {len(done.fields)} fields, {', '.join(done.fields)}"
        )


@app.command()
def collect(
    release: ReleaseId,
    out: Annotated[Path, typer.Option(help="File to write; a summary is written beside it.")],
    output_check: Annotated[
        str | None, typer.Option(help="Safe outputs: result of the check of the files.")
    ] = None,
    opt_out_days: Within = 7,
    by: Name = "",
    json: Json = False,
) -> None:
    """Write the files of a release that was released. It is done once."""
    release_id = _id(release)
    made = _run(
        lambda pool, office: _collect(pool, office, release_id, out, opt_out_days, output_check), by
    )
    if isinstance(made, Ruling):
        if json:
            print_json(_told(None, made.rule))
        else:
            line(f"refused: {made.rule}. The refusal is recorded; ask for a new release")
        raise typer.Exit(Exit.FAILED)
    if json:
        print_json(_told(made.release, made.release.rule))
    else:
        _say(made)


async def _collect(
    pool: Pool,
    office: Office,
    release_id: uuid.UUID,
    out: Path,
    opt_out_days: int,
    output_check: str | None,
) -> Made | Ruling:
    """Record first, hand over then: the files get their names only after the commit. The names are
    taken before it, so that nothing but a rename is left to fail; if that does, the files stay.
    """
    names = (out, out.with_name(f"{out.name}.summary.csv"))
    parts = [one.with_name(f".{one.name}.{release_id.hex}.part") for one in names]
    with ExitStack() as undo:
        for name in names:
            _write(name, b"")
            undo.callback(name.unlink, missing_ok=True)
        undo.callback(_remove, parts)
        async with transaction(pool) as connection:
            made = await releasing.collect(
                connection,
                release_id,
                out.name,
                office,
                key=secrets.token_bytes(32),
                opt_outs_within=timedelta(days=opt_out_days),
                output_check=output_check,
            )
            if not isinstance(made, Ruling):
                for part, content in zip(parts, (made.table, made.summary), strict=True):
                    _write(part, content)
        if isinstance(made, Ruling):
            return made
        undo.pop_all()
    try:
        for part, name in zip(parts, names, strict=True):
            os.replace(part, name)
    except OSError as error:
        left = ", ".join(str(one) for one in parts if one.exists())
        raise PermanentError(
            f"The release is handed over, and its files could not be given their names "
            f"({type(error).__name__}). They are kept: rename {left}."
        ) from None
    return made


def _write(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        raise typer.BadParameter(
            "--out or its summary is there already; nothing is overwritten"
        ) from None
    except OSError as error:
        raise typer.BadParameter(f"--out cannot be written ({type(error).__name__})") from None


def _remove(paths: list[Path]) -> None:
    for one in paths:
        one.unlink(missing_ok=True)


def _run(work: Callable[[Pool, Office], Awaitable[T]], by: str) -> T:
    running_system(load_settings().data_dir)
    settings = load_settings()
    office = Office(
        policies=load_policies(settings.policies.directory),
        directory=load_directory(settings.directory_file),
        keys=load_keys(settings.security),
        by=by.strip(),
        now=system_clock(),
    )

    async def done() -> T:
        async with make_pool(settings, name="extract", size=1) as pool:
            return await work(pool, office)

    return asyncio.run(done())


def _told(release: Release | None, rule: str) -> dict[str, Any]:
    if release is None:
        return {"state": "denied", "rule": rule}
    return {
        "release_id": release.release_id,
        "reference": release.reference,
        "state": release.state,
        "rule": rule,
        "policy": release.policy,
        "policy_version": release.policy_version,
        "fields": list(release.fields),
        "rows": release.rows,
        "left_out": dict(release.left_out),
        "files": [one.name for one in release.files],
    }


def _say(made: Made) -> None:
    left = ", ".join(f"{name} {amount}" for name, amount in sorted(made.release.left_out.items()))
    line(
        f"{made.release.reference}: {made.release.rows} cases in "
        f"{' and '.join(one.name for one in made.release.files)}; left out: {left or 'none'}"
    )


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise typer.BadParameter("give the id of a release") from None
