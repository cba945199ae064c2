"""A release of an extract of cases: asked for, decided, handed over; each with its audit entries in
the same transaction. The caller hands the files over only after it.

What a policy leaves to a person is held until a Caldicott guardian, who is not the one that asked,
has released it. It is asked again when it is collected: a policy may have changed since.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from halyard.errors import PermanentError
from halyard.postgres import Connection
from halyard.privacy import Keys
from policies import extract, record
from policies.decision import RELEASED, decide
from policies.model import Policies, Policy
from policies.purposes import Purpose
from policies.register import opt_outs as opt_outs_honoured
from policies.ruling import Decision, Disclosure, Flow, Ruling
from stores import audit, releases
from stores import opt_outs as opt_out_store
from stores.audit import HUB, AuditEntry
from stores.directory import Directory
from stores.releases import Candidate, Release, ReleaseFile
from stores.sectors import Sector, sector_of

REFUSED: Final = "refused-by-person"
OPTED_OUT: Final = "opted-out"
NO_NUMBER: Final = "no-verified-number"  # so nobody can tell whether the person has opted out
OTHER_POLICY: Final = "other-policy"
NO_SUCH: Final = "There is no such release; `halyard register releases` shows them."
NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Office:
    """What a release needs to know."""

    policies: Policies
    directory: Directory
    keys: Keys
    by: str  # role or work name of the person at the command line
    now: datetime

    @property
    def actor(self) -> str:
        """As the audit chain names it."""
        return f"cli:{self.by}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for. `five_safes`: people, project, setting, data, outputs."""

    release_id: uuid.UUID
    policy: str
    organisation: str
    title: str
    five_safes: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Made:
    """A release that may be handed over after the commit: its files by name."""

    release: Release
    table: bytes
    summary: bytes


async def ask(
    connection: Connection, asked: Asked, office: Office
) -> tuple[Ruling, Release | None]:
    """Ask for a release: it is held, or released at once, as its policy says; or there is none,
    because it is refused. Whatever it is, the caller commits: it is in the audit chain.

    Raises `PermanentError` if another policy than the named one decides.
    """
    disclosure = _disclosure(asked.organisation, office)
    ruling = decide(office.policies, disclosure)
    if ruling.decision is not Decision.DENY and ruling.policy != asked.policy:
        raise PermanentError(
            f"The policy that covers an extract to this organisation is {ruling.policy}; name it."
        )
    release = None
    if ruling.decision is not Decision.DENY:
        # what a person is asked about; a held ruling itself grants nothing yet
        granted = decide(office.policies, disclosure, released=True).fields
        release = Release(
            release_id=asked.release_id,
            reference=f"HAL-{office.now:%Y}-{asked.release_id.hex[:8].upper()}",
            state="held" if ruling.decision is Decision.REVIEW else "released",
            organisation=asked.organisation,
            sector=disclosure.sector.value,
            title=asked.title,
            policy=ruling.policy,
            policy_version=ruling.version,
            purpose=ruling.purpose,
            legal_basis=ruling.legal_basis,
            rule=ruling.rule,
            fields=tuple(sorted(granted)),
            five_safes=asked.five_safes,
            requested_at=office.now,
            requested_by=office.by,
        )
        await releases.add(connection, release)
    await audit.append(connection, [_entry(ruling, disclosure, asked.release_id, office)])
    return ruling, release


async def settle(
    connection: Connection,
    release_id: uuid.UUID,
    state: Literal["released", "refused"],
    reason: str,
    office: Office,
) -> Release:
    """A Caldicott guardian has decided a held release. Raises `PermanentError` if there is none, it
    is not held, or it is the decider's own.
    """
    found = await _known(connection, release_id)
    if found.requested_by.casefold() == office.by.casefold():
        raise PermanentError("Somebody else than who asked for the release decides it.")
    await releases.decide(connection, release_id, state, at=office.now, by=office.by, reason=reason)
    permitted = state == "released"
    ruling = Ruling(
        decision=Decision.PERMIT if permitted else Decision.DENY,
        policy=found.policy,
        version=found.policy_version,
        rule=RELEASED if permitted else REFUSED,
        purpose=found.purpose,
        legal_basis=found.legal_basis,
    )
    # nothing leaves yet
    disclosure = replace(_disclosure(found.organisation, office), fields=NOTHING)
    entry = _entry(ruling, disclosure, release_id, office)
    await audit.append(
        connection, [replace(entry, kind="review", reason=reason, role="caldicott-guardian")]
    )
    return replace(found, state=state)


async def collect(
    connection: Connection,
    release_id: uuid.UUID,
    name: str,
    office: Office,
    *,
    key: bytes,
    opt_outs_within: timedelta,
    output_check: str | None = None,
) -> Made | Ruling:
    """Make the files of a release and write down that they are handed over. `key` is random and
    thrown away: nobody can link two releases, or a release to the hub. `name`: of the file. Gives
    the ruling, and nothing else, if its policy no longer permits it, or is another version than the
    one that was asked about: the caller commits that too. No field leaves that was not asked about.

    Raises `PermanentError` if the release is not released, or the opt-outs that it must honour are
    unknown or older than `opt_outs_within`.
    """
    found = await _known(connection, release_id)
    if found.state != "released":
        raise PermanentError(f"The release is {found.state}; only a released one is collected.")
    disclosure = _disclosure(found.organisation, office)
    ruling = decide(office.policies, disclosure, released=True)
    policy = office.policies.named(ruling.policy, ruling.version)
    same = (ruling.policy, ruling.version) == (found.policy, found.policy_version)
    if ruling.decision is not Decision.PERMIT or policy is None or not same:
        refused = ruling
        if ruling.decision is not Decision.DENY:
            refused = replace(ruling, decision=Decision.DENY, rule=OTHER_POLICY, fields=NOTHING)
        await audit.append(connection, [_entry(refused, disclosure, release_id, office)])
        return refused
    ruling = _within(ruling, frozenset(found.fields))
    given = await releases.candidates(connection)
    imported_at = await _opt_outs_as_at(connection, policy, office.now, opt_outs_within)
    opted_out: frozenset[str] = frozenset()
    if policy.opt_out.applies:
        opted_out = await opt_out_store.among(
            connection, [one.person for one in given if one.person is not None]
        )
    rulings = [
        (
            one,
            _within(_of_case(one, policy, disclosure, opted_out, office.policies), ruling.fields),
        )
        for one in given
    ]
    fields = tuple(sorted(ruling.fields))
    rows = {
        extract.pseudonym(key, one.case_id): {
            field: value
            for field, value in extract.row(one.content).items()
            if field in said.fields
        }
        for one, said in rulings
        if said.decision is Decision.PERMIT
    }
    table = extract.table(rows, fields)
    summary = extract.summary(list(rows.values()), fields, policy.small_numbers)
    release = replace(
        found,
        state="handed",
        handed_at=office.now,
        rows=len(rows),
        left_out=dict(
            Counter(said.rule for _, said in rulings if said.decision is not Decision.PERMIT)
        ),
        fields=fields,
        policy_version=ruling.version,
        rule=ruling.rule,
        five_safes=_with_data(found, len(rows), policy, output_check),
        opt_outs_value=opt_outs_honoured(policy),
        opt_outs_reason=policy.opt_out.reason,
        opt_outs_as_at=imported_at,
        files=(
            _file(name, table, len(rows), office.now),
            _file(f"{name}.summary.csv", summary, summary.count(b"\r\n") - 1, office.now),
        ),
    )
    await releases.hand(connection, release)
    whole = _entry(ruling, disclosure, release_id, office, payload=table)
    await audit.append(
        connection,
        [whole, *(_of_one(one, said, disclosure, release_id, office) for one, said in rulings)],
    )
    return Made(release, table, summary)


def _only(row: Mapping[str, str], fields: frozenset[str]) -> dict[str, str]:
    return {field: value for field, value in row.items() if field in fields}


def _within(ruling: Ruling, fields: frozenset[str]) -> Ruling:
    """`ruling`, which grants none but `fields`."""
    more = ruling.fields - fields
    return replace(ruling, fields=ruling.fields & fields, withheld=ruling.withheld | more)


def _of_case(
    case: Candidate,
    policy: Policy,
    disclosure: Disclosure,
    opted_out: frozenset[str],
    policies: Policies,
) -> Ruling:
    """What may leave of one case: the policy's answer, then the person's own."""
    fields = frozenset(extract.row(case.content)) or disclosure.fields
    one = replace(disclosure, restricted=case.content.restricted, fields=fields)
    said = decide(policies, one, released=True)
    if said.decision is not Decision.PERMIT or not policy.opt_out.applies:
        return said
    rule = None
    if case.person is None:
        rule = NO_NUMBER
    elif case.person in opted_out:
        rule = OPTED_OUT
    if rule is None:
        return said
    return replace(said, decision=Decision.DENY, rule=rule, fields=NOTHING, withheld=NOTHING)


async def _opt_outs_as_at(
    connection: Connection, policy: Policy, now: datetime, within: timedelta
) -> datetime | None:
    latest = await opt_out_store.latest(connection)
    if not policy.opt_out.applies:
        return None
    if latest is None:
        raise PermanentError(
            "The national data opt-out applies, and no opt-outs are known: import them with "
            "`halyard extract opt-outs import`."
        )
    if now - latest.imported_at > within:
        raise PermanentError(
            "The opt-outs that are known are too old; import them again with `halyard extract "
            "opt-outs import`."
        )
    return latest.imported_at


def _with_data(
    release: Release, rows: int, policy: Policy, output_check: str | None
) -> Mapping[str, Mapping[str, Any]]:
    outputs = dict(release.five_safes.get("outputs", {}))
    if output_check:
        outputs["check"] = output_check
    return {
        **release.five_safes,
        "data": {
            "type": policy.register_entry.type_of_data,
            "fields": len(release.fields),
            "rows": rows,
            "small numbers below": policy.small_numbers,
        },
        "outputs": outputs,
    }


def _disclosure(organisation: str, office: Office) -> Disclosure:
    sector = sector_of(office.directory, organisation)
    return Disclosure(
        flow=Flow.EXTRACT,
        recipient=organisation,
        # whom the directory does not know is somebody outside; an extract is for research
        sector=Sector.RESEARCH if sector is Sector.OTHER else sector,
        purpose=Purpose.RESEARCH.value,
        at=office.now,
        fields=extract.FIELDS,
    )


def _file(name: str, content: bytes, rows: int, at: datetime) -> ReleaseFile:
    return ReleaseFile(name, rows, len(content), hashlib.sha256(content).hexdigest(), at)


def _entry(
    ruling: Ruling,
    disclosure: Disclosure,
    release_id: uuid.UUID,
    office: Office,
    payload: bytes | None = None,
) -> AuditEntry:
    return record.entry(
        ruling,
        disclosure,
        entry_id=uuid.uuid4(),
        recorded_at=office.now,
        kind="disclosure",
        actor=office.actor,
        organisation=HUB,
        subject=f"release:{release_id}",
        payload=payload,
        keys=office.keys,
    )


def _of_one(
    case: Candidate, said: Ruling, disclosure: Disclosure, release_id: uuid.UUID, office: Office
) -> AuditEntry:
    fields = said.fields | said.withheld or disclosure.fields
    one = replace(disclosure, restricted=case.content.restricted, fields=fields)
    entry = _entry(said, one, release_id, office)
    return replace(entry, person=case.person, case_id=case.case_id)


async def _known(connection: Connection, release_id: uuid.UUID) -> Release:
    found = await releases.locked(connection, release_id)
    if found is None:
        raise PermanentError(NO_SUCH)
    return found
