"""`halyard topics acls`: the rights on topics that the registry implies for its principals."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from halyard import kafka_acls
from halyard.cli import topics
from halyard.cli.output import Json, line, print_json
from halyard.cli.running import running_system
from halyard.errors import ConfigurationError
from halyard.kafka import qualified
from halyard.kafka_acls import Right
from halyard.settings import Settings, load_settings
from schemas.topics import Topic, registry
from stores.credentials import KafkaPrincipal
from stores.directory import Directory, load_directory

app = topics.app
"""`halyard topics`, whole: the other commands of the topics need no library of rights."""

EVERY_WORKER = "every worker"
WORKERS = frozenset({"identity", "matching", "cases"})
# Each of these publishes what is left in the outbox, whoever has put it there
SWEEPERS = WORKERS | {"tracer", "dispatcher", "serve"}


@app.command()
def acls(
    apply: Annotated[bool, typer.Option("--apply", help="Add what is missing.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Print what is wanted; ask no broker.")
    ] = False,
    json: Json = False,
) -> None:
    """Show which rights on topics the directory's Kafka principals need at the brokers and lack;
    with --apply add them. None is ever taken away: others that are there are shown.
    """
    running_system(load_settings().data_dir)
    settings = load_settings()
    wanted = wanted_rights(settings, load_directory(settings.directory_file))
    if offline:
        _show(wanted, (), json)
        return
    bootstrap = settings.kafka.bootstrap_servers
    made = kafka_acls.plan(bootstrap, wanted)
    _show(made.missing, made.others, json)
    if apply:
        kafka_acls.apply(bootstrap, made.missing)
        if not json:
            line("applied")


def wanted_rights(settings: Settings, directory: Directory) -> tuple[Right, ...]:
    """The rights of every principal, by what the registry says of its stages.

    Raises `ConfigurationError` for a stage that the registry does not have, and for another
    organisation's principal that would read or write a topic with personal data: no sharing policy
    holds on the bus.
    """
    stages = {stage for topic in registry() for stage in (*topic.writers, *topic.readers)}
    found: set[Right] = set()
    for one in directory.kafka_principals:
        for stage in one.stages:
            if stage not in stages:
                raise ConfigurationError(
                    f"The directory's {one.principal} names stage {stage}, which no topic has; "
                    f"there are {', '.join(sorted(stages - {EVERY_WORKER}))}."
                )
            found |= _rights(settings, one, stage)
    return tuple(sorted(found))


def _rights(settings: Settings, one: KafkaPrincipal, stage: str) -> set[Right]:
    found: set[Right] = set()
    for topic in registry():
        name = qualified(settings, topic.name)
        writes, reads = _writes(topic, stage), _reads(topic, stage)
        if not writes and not reads:
            continue
        if one.organisation is not None and topic.personal_data != "none":
            raise ConfigurationError(
                f"The directory's {one.principal} is of {one.organisation}, and {topic.name} holds "
                "personal data: no sharing policy holds on the bus. Let the organisation use the "
                "HTTP interface."
            )
        found.add(Right(one.principal, "TOPIC", name, "DESCRIBE"))
        if writes:
            found.add(Right(one.principal, "TOPIC", name, "WRITE"))
        if reads:
            found.add(Right(one.principal, "TOPIC", name, "READ"))
            found.add(Right(one.principal, "GROUP", qualified(settings, stage), "READ"))
        if EVERY_WORKER in topic.readers and stage in WORKERS:
            # a group for each process, named after the stage
            group = qualified(settings, f"{stage}-control-")
            found.add(Right(one.principal, "GROUP", group, "READ", prefixed=True))
    return found


def _writes(topic: Topic, stage: str) -> bool:
    swept = not topic.name.endswith(".dlq") and not SWEEPERS.isdisjoint(topic.writers)
    return stage in topic.writers or (stage in SWEEPERS and swept)


def _reads(topic: Topic, stage: str) -> bool:
    return stage in topic.readers or (EVERY_WORKER in topic.readers and stage in WORKERS)


def _show(missing: tuple[Right, ...], others: tuple[str, ...], json: bool) -> None:
    if json:
        print_json({"missing": [asdict(right) for right in missing], "others": list(others)})
        return
    for right in missing:
        line(f"+ {right.text()}")
    for text in others:
        line(f"? {text}")
    if not missing:
        line("nothing to add")
