"""`halyard doctor`: checks everything and says what to mend."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta

import psycopg
import typer

from connectors.hl7v2.process import check_feeds
from connectors.hl7v2.tls import server_context
from flag_service.door import make_door
from halyard import kafka_admin
from halyard.cli import doctor_identity
from halyard.cli.doctor_database import DOORSTEP, doctor_pool
from halyard.cli.doctor_pds import pds
from halyard.cli.doctor_proof import Result, guardians, policy_versions, sealer
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.policy import SOON
from halyard.cli.running import not_running, running_system
from halyard.cli.topics import wanted_topics
from halyard.clock import system_clock
from halyard.embedded.errors import JavaMissing
from halyard.embedded.jars import find_java
from halyard.errors import HalyardError
from halyard.postgres import pending_migrations, transaction
from halyard.privacy import load_keys
from halyard.problems import HttpProblem
from halyard.settings import Profile, Settings, load_settings
from policies.decision import local_day
from policies.model import load_policies
from policies.reach import listed, unreached
from stores import bus_key, deliveries, fences, mailbox, months, ncmd, outbox, pauses, retention
from stores.directory import load_directory

_RETENTION_IDLE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do about it."""

    check: str
    result: Result
    text: str


def doctor(json: Json = False) -> None:
    """Check settings, files, Kafka and PostgreSQL, and say what to mend."""
    running_system(load_settings().data_dir)
    settings = load_settings()
    DOORSTEP.forget()
    stopped = not_running()
    findings = [
        _run(name, check, settings)
        for name, check in (
            *(("programs", _programs), ("disk", _disk), ("secrets", _secrets), ("keys", _keys)),
            *(("directory", _directory), ("access", _access), ("policies", _policies)),
            ("guardians", guardians),
            ("hl7v2", _hl7v2),
            ("pds", pds),
            ("kafka", _kafka),
            ("topics", _topics),
            ("database", _database),
            ("rows", _rows),
            ("versions", policy_versions),
            *doctor_identity.CHECKS,
            ("stages", _stages),
            ("deliveries", _deliveries),
            ("messages", _messages),
            ("outbox", _outbox),
            ("sealer", sealer),
            ("retention", _retention),
            ("ncmd", _ncmd),
        )
        if stopped is None or name in ("programs", "disk")
    ]
    if stopped is not None:
        findings.append(Finding("hub", "failed", stopped.message))
    if json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            line(f"{finding.result:8} {finding.check:10} {finding.text}")
    if any(finding.result == "failed" for finding in findings):
        raise typer.Exit(Exit.FAILED)


def _run(name: str, check: Callable[[Settings], tuple[Result, str]], settings: Settings) -> Finding:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a check logs is not what it finds
            result, text = check(settings)
    except HalyardError as error:
        result, text = "failed", error.message
    return Finding(name, result, text)


def _programs(_settings: Settings) -> tuple[Result, str]:
    try:
        java = find_java(os.environ)
    except JavaMissing:
        if "HALYARD_KAFKA__BOOTSTRAP_SERVERS" in os.environ:  # a container's, for one
            return "ok", "no Java, and none is needed: Kafka is given"
        raise
    if shutil.which("mvn") is None:
        return "warning", f"Java: {java}. Maven is missing; it is needed once, for `halyard up`."
    return "ok", f"Java: {java}; Maven is there"


def _disk(settings: Settings) -> tuple[Result, str]:
    place = settings.data_dir.expanduser().absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // 2**20
    if free < 1024:
        return "failed", f"only {free} MiB are free for {settings.data_dir}; free at least 1 GiB"
    return "ok", f"{free} MiB free for {settings.data_dir}"


def _secrets(settings: Settings) -> tuple[Result, str]:
    load_keys(settings.security)
    return "ok", "keys are there and only their owner reads them"


def _keys(settings: Settings) -> tuple[Result, str]:
    """That the bus key here is the one that the system uses."""
    mine = load_keys(settings.security)

    async def current() -> bus_key.BusKey | None:
        async with doctor_pool(settings) as pool, transaction(pool) as connection:
            return await bus_key.current(connection)

    found = asyncio.run(current())
    if found is None or found.key_id == mine.bus_id:
        return "ok", f"the bus key {mine.bus_id} is in use"
    if found.key_id in mine.retired:
        return "failed", (
            f"the change to the bus key {mine.bus_id} was broken off; run `halyard keys rotate "
            "bus` again to finish it"
        )
    return "failed", (
        f"the bus key here ({mine.bus_id}) is not the one in use ({found.key_id}): take the "
        "secrets file of the processes that run"
    )


def _directory(settings: Settings) -> tuple[Result, str]:
    directory = load_directory(settings.directory_file)
    keys = load_keys(settings.security)
    missing = sorted(
        endpoint.name
        for endpoint in directory.endpoints.values()
        if endpoint.secret is not None and endpoint.secret not in keys.webhook
    )
    if missing:
        return "failed", f"no secret in the secrets file for endpoint {', '.join(missing)}"
    deaf = sorted(one.gss for one in directory.authorities.values() if not one.alert_endpoint)
    if deaf:
        return "failed", f"authority {', '.join(deaf)} has no alert_endpoint: nobody would be told"
    silent = sorted(
        one.gss for one in directory.authorities.values() if not one.restricted_endpoint
    )
    if silent:
        return "warning", (
            f"authority {', '.join(silent)} has no contact for restricted children; their flags "
            "are refused with CPR02"
        )
    return "ok", (
        f"{len(directory.hospitals)} hospitals, {len(directory.feeds)} feeds, "
        f"{len(directory.authorities)} authorities, {len(directory.agencies)} agencies, "
        f"{len(directory.panels)} panels"
    )


def _access(settings: Settings) -> tuple[Result, str]:
    """What `halyard serve` checks at its start, and whether the issuer answers now."""
    directory = load_directory(settings.directory_file)
    door = make_door(settings, directory, None, system_clock)
    found = f"{len(directory.clients)} machines, {len(directory.role_maps)} codes of roles"
    if door.issuer is not None:
        try:
            keys = asyncio.run(door.issuer.keys())
        except HttpProblem:
            return "failed", (
                "the issuer's keys cannot be had: nobody comes in by its tokens. Check "
                "HALYARD_ACCESS__ISSUER, and that it answers from here"
            )
        found += f", {len(keys)} keys of the issuer"
    if settings.access.practice_tokens and settings.profile is Profile.PRODUCTION:
        return "warning", f"{found}; shared tokens are taken in production, and never expire"
    return "ok", found


def _policies(settings: Settings) -> tuple[Result, str]:
    policies = load_policies(settings.policies.directory)
    today = local_day(system_clock())
    alone = unreached(policies, load_directory(settings.directory_file), system_clock())
    denied = [one for one in alone if one.denied]
    if denied:
        return "failed", f"not told, whatever happens: {listed(denied)}"
    uncovered = [flow.value for flow in policies.uncovered(today)]
    if uncovered:
        return "warning", f"no policy covers {', '.join(uncovered)}: nothing of it is disclosed"
    if alone:
        return "warning", f"a person must release each: {listed(alone)}"
    soon = [flow.value for flow in policies.uncovered(today + SOON)]
    if soon:
        return "warning", f"the policy of {', '.join(soon)} ends within {SOON.days} days"
    return "ok", f"{len(policies.all)} policies; every flow is covered, everybody can be told"


def _hl7v2(settings: Settings) -> tuple[Result, str]:
    """What the connector checks at its start."""
    directory = load_directory(settings.directory_file)
    check_feeds(directory, client_certificates=settings.hl7v2.tls_client_ca is not None)
    tls = server_context(settings.hl7v2)
    return "ok", f"the listener can start, {'with' if tls else 'without'} TLS"


def _kafka(settings: Settings) -> tuple[Result, str]:
    brokers = len(kafka_admin.describe(settings.kafka.bootstrap_servers).brokers)
    if brokers < 3:
        text = (
            f"{brokers} broker: the loss of its disk loses every message not yet in PostgreSQL; "
            "production needs three, with replication 3 and min.insync.replicas 2"
        )
        return ("failed" if settings.profile is Profile.PRODUCTION else "warning"), text
    return "ok", f"{brokers} brokers"


def _topics(settings: Settings) -> tuple[Result, str]:
    bootstrap = settings.kafka.bootstrap_servers
    single = len(kafka_admin.describe(bootstrap).brokers) < 3
    plan = kafka_admin.plan(bootstrap, wanted_topics(settings, embedded=single))
    if not plan.empty:
        return "failed", f"{'; '.join(plan.lines())} (run `halyard topics apply`)"
    return "ok", "as the registry says"


def _stages(settings: Settings) -> tuple[Result, str]:
    async def every() -> list[pauses.Pause]:
        async with doctor_pool(settings) as pool, transaction(pool) as connection:
            return await pauses.every(connection)

    if held := asyncio.run(every()):
        texts = (f"{one.stage} since {one.since:%Y-%m-%d %H:%M} by {one.by}" for one in held)
        return "warning", (
            f"held, so that alerts wait: {'; '.join(texts)} (`halyard resume` lets it go on)"
        )
    return "ok", "none is held"


def _deliveries(settings: Settings) -> tuple[Result, str]:
    async def waiting() -> deliveries.Waiting:
        async with doctor_pool(settings) as pool:
            return await deliveries.waiting_for_a_person(pool)

    found = asyncio.run(waiting())
    if found.parked or found.unaddressed:
        return "failed", (
            f"{found.parked} were refused by their receivers and are parked, {found.unaddressed} "
            "wait for an endpoint: see `halyard deliveries list`, mend it, then redrive"
        )
    return "ok", "none waits for a person"


def _messages(settings: Settings) -> tuple[Result, str]:
    async def waiting() -> mailbox.Waiting:
        async with doctor_pool(settings) as pool:
            return await mailbox.waiting(pool)

    found = asyncio.run(waiting())
    if found.parked:
        return "failed", (
            f"{found.parked} were refused by their receivers and are parked; their organisations "
            "can fetch them: see `halyard messages list`"
        )
    return "ok", f"none is parked; {found.awaited} wait for an acknowledgement"


def _outbox(settings: Settings) -> tuple[Result, str]:
    async def counted() -> int:
        async with doctor_pool(settings) as pool:
            return await outbox.count_parked(pool)

    if amount := asyncio.run(counted()):
        return "failed", (
            f"{amount} records can never be sent as they are: see `halyard outbox list`, mend what "
            "it names (a setting of Kafka), then `halyard outbox redrive`"
        )
    return "ok", "no record is parked"


def _retention(settings: Settings) -> tuple[Result, str]:
    """That what is due ends, and next month has its partitions."""
    now = system_clock()

    async def look() -> tuple[retention.Upkeep, list[months.Month]]:
        async with doctor_pool(settings) as pool, transaction(pool) as connection:
            there = await months.there(connection, sorted(months.TABLES.values()))
            return await retention.upkeep(connection), there

    upkeep, there = asyncio.run(look())
    wanted = {months.name(name, months.following(now.date())) for name in months.TABLES.values()}
    apply = "`halyard retention apply` (a timer's work, daily)"
    since = upkeep.applied_at or upkeep.database_since
    if now - since > _RETENTION_IDLE:
        return (
            "warning",
            f"nothing has ended what is due for {(now - since).days} days: run {apply}",
        )
    if upkeep.applied_at is None:
        return "ok", f"it has not run yet; run {apply}"
    if missing := sorted(wanted - {one.partition for one in there}):
        return "warning", f"{', '.join(missing)} is missing, the next month's: run {apply}"
    return "ok", f"applied {upkeep.applied_at:%Y-%m-%d}; next month's partitions are there"


def _ncmd(settings: Settings) -> tuple[Result, str]:
    """The store as its own role sees it."""

    async def status() -> ncmd.Status:
        async with doctor_pool(settings, "ncmd") as pool, transaction(pool) as connection:
            return await ncmd.status(connection)

    found = asyncio.run(status())
    stuck = sum(found.submissions.get(state, 0) for state in ("failed", "rejected"))
    if found.dead_letters or stuck:
        return "failed", (
            f"{found.dead_letters} records could not be kept, {stuck} submissions failed or were "
            "rejected: see `halyard ncmd status`, mend it, then `halyard ncmd redrive`"
        )
    if found.version_gaps or found.log_gaps:
        return "warning", (
            f"versions of cases are missing ({found.version_gaps} gaps, {found.log_gaps} in the "
            "log): `halyard cases republish --all` sends the newest again"
        )
    return "ok", f"{sum(found.cases.values())} cases in {found.versions} versions"


def _database(settings: Settings) -> tuple[Result, str]:
    DOORSTEP.knock(settings)
    url = settings.database.url.get_secret_value()
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            role = connection.execute(
                "select rolsuper, rolbypassrls from pg_roles where rolname = current_user"
            ).fetchone()
            verbosity = connection.execute("show log_error_verbosity").fetchone()
            pending = pending_migrations(connection)
    except psycopg.OperationalError as error:
        return "failed", f"PostgreSQL does not answer ({type(error).__name__}); check the URL"
    if role is not None and (role[0] or role[1]):
        return "failed", "the app role may bypass row security; use a role without superuser"
    if pending:
        return "failed", f"{len(pending)} migrations are missing; run `halyard migrate`"
    if verbosity is not None and verbosity[0] != "terse":
        return "warning", "log_error_verbosity is not terse: PostgreSQL's log may quote values"
    return "ok", "reachable, migrated, least rights"


def _rows(settings: Settings) -> tuple[Result, str]:
    """Row-level security, and that the face can log in behind it."""

    async def holes() -> list[str]:
        async with doctor_pool(settings) as pool, transaction(pool) as connection:
            return await fences.holes(connection)

    if found := asyncio.run(holes()):
        return "failed", (
            f"row-level security does not hold for `halyard serve`: {'; '.join(found)}; switch it "
            "on again, or take the right away, as the owner (migration 0018 has the form)"
        )
    try:
        psycopg.connect(settings.http.database_url.get_secret_value(), connect_timeout=5).close()
    except psycopg.OperationalError:
        return "failed", (
            "the role of `halyard serve` cannot log in; check HALYARD_HTTP__DATABASE_URL"
        )
    return "ok", "`halyard serve` sees the rows of whoever asks, and no others"
