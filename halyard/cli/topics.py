"""`halyard topics plan|apply`: topics as the registry states them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from halyard import kafka_admin
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.running import running_system
from halyard.kafka import qualified
from halyard.kafka_admin import Plan, TopicSpec
from halyard.settings import Settings, load_settings
from schemas.topics import registry

app = typer.Typer(
    help="The topics of the bus, created from schemas/topics.toml.", no_args_is_help=True
)

Embedded = Annotated[
    bool,
    typer.Option("--single-node", help="Sizes for one broker: fewer partitions, replication 1."),
]


def wanted_topics(settings: Settings, *, embedded: bool) -> list[TopicSpec]:
    """Every topic of the registry for this namespace."""
    return [
        TopicSpec(
            name=qualified(settings, topic.name),
            partitions=topic.embedded_partitions if embedded else topic.partitions,
            replication=1 if embedded else topic.replication,
            config={
                "cleanup.policy": topic.cleanup_policy,
                "retention.ms": str(topic.retention_days * 86_400_000),
                "max.message.bytes": str(topic.max_message_bytes),
                "min.insync.replicas": "1" if embedded else str(topic.min_insync_replicas),
                **({} if embedded else {"unclean.leader.election.enable": "false"}),
            },
        )
        for topic in registry()
    ]


@app.command()
def plan(single_node: Embedded = False, json: Json = False) -> None:
    """Show what `apply` would do; changes nothing."""
    settings, single = _target(single_node)
    wanted = wanted_topics(settings, embedded=single)
    _show(kafka_admin.plan(settings.kafka.bootstrap_servers, wanted), json)


@app.command()
def apply(
    single_node: Embedded = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask after showing the plan.")] = False,
    json: Json = False,
) -> None:
    """Create and extend topics, after showing the plan. Run it as often as you like."""
    settings, single = _target(single_node)
    bootstrap = settings.kafka.bootstrap_servers
    wanted = wanted_topics(settings, embedded=single)
    made = kafka_admin.plan(bootstrap, wanted)
    _show(made, json)
    if made.empty:
        return
    if not yes and not json and not typer.confirm("Apply?"):
        raise typer.Exit(Exit.FAILED)
    kafka_admin.apply(bootstrap, wanted)
    if not json:
        line("applied")


def _target(single_node: bool) -> tuple[Settings, bool]:
    """Settings, and whether sizes are those of one broker: a system of `halyard up` has one."""
    found = running_system(load_settings().data_dir)
    return load_settings(), single_node or found


def _show(made: Plan, json: bool) -> None:
    if json:
        print_json(asdict(made))
        return
    for text in made.lines():
        line(text)
    if made.empty:
        line("nothing to do")
