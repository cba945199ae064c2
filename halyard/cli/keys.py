"""`halyard keys`: which keys there are, and their change. No secret is ever printed."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from halyard.audit_keys import audit_keys, new_seed
from halyard.cli import bus_rotation
from halyard.cli.audit_access import running_settings, with_connection
from halyard.cli.bus_rotation import administration
from halyard.cli.output import Json, line, print_json, table
from halyard.cli.stated import stated
from halyard.cli.who import me
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.postgres import Connection
from halyard.privacy import Keys, key_id, load_keys, read_secrets
from halyard.secrets_file import changing
from halyard.settings import Settings
from stores import audit

app = typer.Typer(help="Keys: which there are, and their change.", no_args_is_help=True)
rotate = typer.Typer(help="Put a new key in the place of one.", no_args_is_help=True)
retire = typer.Typer(help="Take an old key away.", no_args_is_help=True)
app.add_typer(rotate, name="rotate")
app.add_typer(retire, name="retire")

Reason = Annotated[str, typer.Option(help="Why; stands in the audit chain.", callback=stated)]
Name = Annotated[str, typer.Argument(help="Of the secret, as the directory's endpoints name it.")]

_COLUMNS: Final = ("key", "id", "made", "age_days", "state", "what_for")
_BUS: Final = "Kafka keys, event ids, digests of bodies"


@app.command("list")
def list_keys(json: Json = False) -> None:
    """List keys by name and id, with their age: what each is for, and nothing of what it is."""
    rows = list(_rows(running_settings()))
    if json:
        print_json({"keys": rows})
    else:
        table(_COLUMNS, rows)


@rotate.command("bus")
def rotate_bus(
    reason: Reason,
    new_key_file: Annotated[
        Path | None,
        typer.Option(help="Take the new key from there (hexadecimal text) instead of making one."),
    ] = None,
    json: Json = False,
) -> None:
    """Change the bus key, when ingress is stopped and nothing is under way; says what is not."""
    settings = running_settings()
    done = asyncio.run(
        bus_rotation.rotate(
            settings, new_key_file=new_key_file, reason=reason, actor=me(), now=system_clock()
        )
    )
    if json:
        print_json(
            {
                "before": done.before,
                "after": done.after,
                "file": done.file,
                "finished": done.finished,
                "to_restart": done.to_restart,
            }
        )
        return
    line(f"the bus key {done.after} is in use; {done.before} was retired")
    line(
        f"{done.file} holds it: give it to every process"
        if done.file
        else "put it in place for every process"
    )
    if done.to_restart:
        line(f"these end by themselves and must be started again: {', '.join(done.to_restart)}")


@rotate.command("webhook")
def rotate_webhook(name: Name, reason: Reason, json: Json = False) -> None:
    """Make a new secret for a name: webhooks are signed with it and with the old one."""
    settings = running_settings()
    new = secrets.token_hex(32)

    def change(whole: dict[str, Any], keys: Keys) -> tuple[tuple[str, str], ...]:
        there = _secrets(whole, name)
        if len(there) > 1:
            raise ConfigurationError(
                f"The secret {name} is being changed already: run `halyard keys retire webhook "
                f"{name}` when every receiver has the new one."
            )
        whole["webhook"][name] = [new, *there]
        made = system_clock().isoformat(timespec="seconds")
        whole.setdefault("made", {})[keys.secret_id(new)] = made
        return (("before", keys.secret_id(there[0])), ("after", keys.secret_id(new)))

    _say(_change(settings, _secrets_file(settings), f"webhook:{name}", change, reason), json)
    if not json:
        line(f"it stands first under [webhook] {name} in {_secrets_file(settings)}")
        line("restart the dispatcher, hand the secret over, then `halyard keys retire webhook`")


@retire.command("webhook")
def retire_webhook(name: Name, reason: Reason, json: Json = False) -> None:
    """Take a name's old secrets away: webhooks are signed with the newest alone."""
    settings = running_settings()

    def change(whole: dict[str, Any], keys: Keys) -> tuple[tuple[str, str], ...]:
        there = _secrets(whole, name)
        if len(there) < 2:
            raise ConfigurationError(
                f"The secret {name} has no older one beside it; `halyard keys rotate webhook` "
                "makes a new one."
            )
        whole["webhook"][name] = there[0]
        gone = ",".join(keys.secret_id(one) for one in there[1:])
        return (("before", gone), ("after", keys.secret_id(there[0])))

    _say(_change(settings, _secrets_file(settings), f"webhook:{name}", change, reason), json)
    if not json:
        line("restart the dispatcher")


@rotate.command("checkpoint")
def rotate_checkpoint(
    reason: Reason,
    name: Annotated[
        str | None, typer.Option(help="Of the new key; default: today's date. Never used before.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a new key for the audit chain's checkpoints; of the old one the public key stays."""
    settings = running_settings()
    now = system_clock()
    path = settings.audit.keys_file or _secrets_file(settings)

    def change(whole: dict[str, Any], _keys: Keys | None) -> tuple[tuple[str, str], ...]:
        private, public = whole.setdefault("audit", {}), whole.setdefault("audit_public", {})
        before = str(private.pop("current", ""))
        used = {*private, *public}
        new = name or next(one for one in _dated(now) if one not in used)
        if new in used or new == "current":
            raise ConfigurationError(f"There is a checkpoint key {new} already; give another name.")
        for old in list(private):
            key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private.pop(old)))
            public[old] = key.public_key().public_bytes_raw().hex()
        private |= {"current": new, new: new_seed()}
        whole.setdefault("made", {})[f"checkpoint:{new}"] = now.isoformat(timespec="seconds")
        audit_keys(whole, str(path))
        return (("before", before), ("after", new))

    _say(_change(settings, path, "checkpoint", change, reason), json)
    if not json:
        line("restart the sealer; give `halyard audit keys --json` to those who verify")


def _change(
    settings: Settings,
    path: Path,
    what: str,
    change: Callable[[dict[str, Any], Any], tuple[tuple[str, str], ...]],
    reason: str,
) -> dict[str, str]:
    """Change the file and say so in the audit chain: neither without the other."""
    keys = None if what == "checkpoint" else load_keys(settings.security)

    async def work(connection: Connection) -> dict[str, str]:
        with changing(path) as whole:
            detail = change(whole, keys)
            entry = administration(
                f"keys.{what.partition(':')[0]}", f"key:{what}", detail, reason, me(), now
            )
            await audit.append(connection, [entry])
        return {"key": what, **dict(detail)}

    now = system_clock()
    return with_connection(settings, work)


def _say(done: dict[str, str], json: bool) -> None:
    if json:
        print_json(done)
    else:
        line(f"{done['key']}: {done['after']} is in use, before it was {done['before'] or 'none'}")


def _secrets_file(settings: Settings) -> Path:
    if settings.security.secrets_file is None:
        raise ConfigurationError(
            "There is no secrets file to change; change the key where it stands "
            "(docs/howto/rotate-keys.md)."
        )
    return settings.security.secrets_file


def _secrets(whole: dict[str, Any], name: str) -> list[str]:
    found = whole.get("webhook", {}).get(name)
    if found is None:
        raise ConfigurationError(
            f"The secrets file has no webhook secret {name}; `halyard keys list` shows them. One "
            "from HALYARD_SECURITY__WEBHOOK… is changed there."
        )
    return [found] if isinstance(found, str) else list(found)


def _dated(now: datetime) -> Iterator[str]:
    yield f"{now:%Y-%m-%d}"
    for number in range(2, 1_000):
        yield f"{now:%Y-%m-%d}-{number}"


def _rows(settings: Settings) -> Iterator[dict[str, Any]]:
    keys = load_keys(settings.security)
    made = _made(settings.security.secrets_file)
    yield _row("bus", keys.bus_id, made, "in use", _BUS)
    for one in keys.retired:
        yield _row("bus", one, made, "retired", "digests of before")
    yield _row("store", key_id(keys.store), made, "in use", "people in PostgreSQL; never changes")
    for name, texts in sorted(keys.webhook.items()):
        for place, text in enumerate(texts):
            state = "signs" if place == 0 else "signs too, until retired"
            yield _row(f"webhook:{name}", keys.secret_id(text), made, state, "signs webhooks")
    path = settings.audit.keys_file or settings.security.secrets_file
    if path is None:
        return
    try:
        whole = read_secrets(path)
    except ConfigurationError:
        yield _row("checkpoint", "", {}, "not readable here", "checkpoints of the audit chain")
        return
    found = audit_keys(whole, str(path))
    made |= _made(path)
    for name, public in sorted(found.public.items()):
        signs = found.signer is not None and found.signer.key_id == name
        row = _row(
            f"checkpoint:{name}",
            hashlib.sha256(public.public_bytes_raw()).hexdigest()[:12],
            made,
            "signs" if signs else "verifies",
            "checkpoints of the audit chain",
        )
        yield row | _age(made.get(f"checkpoint:{name}"))


def _row(name: str, one: str, made: dict[str, datetime], state: str, what: str) -> dict[str, Any]:
    return {"key": name, "id": one, **_age(made.get(one)), "state": state, "what_for": what}


def _age(made: datetime | None) -> dict[str, Any]:
    """Of a key that this command did not make nobody wrote down when it was made."""
    return {
        "made": None if made is None else made.date().isoformat(),
        "age_days": None if made is None else (system_clock() - made).days,
    }


def _made(path: Path | None) -> dict[str, datetime]:
    found = {}
    for name, text in ({} if path is None else read_secrets(path)).get("made", {}).items():
        try:
            at = datetime.fromisoformat(str(text))
        except ValueError:
            continue  # written by hand
        found[name] = at if at.tzinfo else at.replace(tzinfo=UTC)
    return found
