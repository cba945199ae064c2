"""A sharing policy: one version of one agreement, as a file says it; and all of them by flow.

The members follow the shape of the draft `SharingPolicy` of SocialCareData's information governance
work (parties, data, purpose, dates, permitted use, restrictions, responsibilities, security, legal
compliance), with what this hub needs to decide: flows, recipients with their fields, conditions.
docs/reference/sharing-policies.md explains each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from policies.fields import NUMBERS, patterns
from policies.known import unknown
from policies.purposes import Purpose
from policies.reading import read, wrong
from policies.ruling import Flow
from stores.entry import OrganisationCode
from stores.sectors import MAY_HOLD_NUMBER, NCMD, Sector

Text = Annotated[str, Field(min_length=1, max_length=2_000)]
Code = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
FieldPattern = Annotated[
    str, Field(pattern=r"^(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)$", max_length=120)
]
Organisation = OrganisationCode | Literal["NCMD"]

REQUIRED: Final[Mapping[Flow, frozenset[str]]] = {
    # without `provisional` what is provisional would read as final; without its time an HL7 v2
    # message cannot be made
    Flow.ALERT: frozenset({"schema", "alert_id", "version", "change", "restricted", "provisional"}),
    Flow.MATCH: frozenset({"schema", "alert_id", "version", "change", "provisional", "changed_at"}),
    Flow.RECEIPT: frozenset({"schema", "alert_id", "version", "rung", "at"}),
    Flow.SHARE: frozenset({"schema", "alert_id", "version", "change", "provisional"}),
    # without these what is withheld could read as "nothing is held"
    Flow.FLAG_LOOKUP: frozenset({"answer", "as_of"}),
    # a number without its outcome would be taken for verified, whatever it is
    Flow.TRACE: frozenset({"outcome", "lines.outcome"}),
    # without `restricted` it would be passed on as anybody's
    Flow.PERSON_RECORD: frozenset({"answer", "as_of", "restricted"}),
}
"""Without these a recipient cannot read what it is given, so every recipient is granted them."""

PUSHED: Final = frozenset(
    {
        Flow.ALERT,
        Flow.MATCH,
        Flow.RECEIPT,
        Flow.ACCESS_NOTICE,
        Flow.CASE_EVENT,
        Flow.REPORT_REQUEST,
        Flow.NCMD_SUBMISSION,
    }
)
"""What processes send by themselves: nobody asks for it, so nobody's role can decide."""


class _Part(BaseModel):
    # hide_input: an error names the place, not what stands there
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Party(_Part):
    """Who has agreed: a controller (sole or joint) or processor."""

    name: Text
    code: Organisation | None = None
    role: Literal["controller", "joint-controller", "processor", "recipient"]


class LegalBasis(_Part):
    """Why it is lawful, as the owner of the policy states it; the hub does not judge it."""

    text: Text
    statute: Text | None = None
    section: Text | None = None
    source: Text  # where the statement comes from, and who has to confirm it


class OptOut(_Part):
    """Whether the national data opt-out applies to this policy's flows, and why."""

    applies: bool
    reason: Text


class Recipient(_Part):
    """Who may be told which fields: one organisation, or every organisation of a sector."""

    sector: Sector | None = None
    organisation: Organisation | None = None
    roles: tuple[Code, ...] = ()  # one of them, of who asks; none given: whoever asks
    fields: tuple[FieldPattern, ...] = Field(min_length=1, max_length=500)

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.sector is None) is (self.organisation is None):
            raise ValueError("policy.recipient: give `sector` or `organisation`, one of them")
        return self

    @property
    def key(self) -> str:
        """Whom it means."""
        return f"organisation {self.organisation}" if self.organisation else f"sector {self.sector}"


class Condition(_Part):
    """When a disclosure is refused (`deny`) or left to a person (`review`): all that is given must
    hold; of a list one member is enough.
    """

    code: Code  # the ruling's `rule`
    reason: Text
    always: bool = False
    restricted: bool | None = None
    sectors: tuple[Sector, ...] = ()
    organisations: tuple[Organisation, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    roles: tuple[Code, ...] = ()
    without_roles: tuple[Code, ...] = ()  # who asks has none of them
    fields: tuple[FieldPattern, ...] = ()  # the disclosure has one of them

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        lists = (self.sectors, self.organisations, self.purposes, self.fields)
        given = any((*lists, self.roles, self.without_roles)) or self.restricted is not None
        if given is self.always:
            raise ValueError("policy.condition: say when, or `always: true`, not both")
        return self


class Register(_Part):
    """What the register of flows and releases says of it, beside what the policy says anyway."""

    reference: Text | None = None
    type_of_data: Text
    commercial: bool = False
    sensitive: bool = True
    access_method: Literal["one-off", "ongoing", "system-access"] = "ongoing"
    used: Literal["released-outside", "used-in-place"] = "released-outside"
    sub_licensing: bool = False
    datasets: tuple[Text, ...] = ()
    outputs: tuple[Text, ...] = ()


class Policy(_Part):
    """One version of one policy."""

    id: Code
    version: int = Field(ge=1, le=1_000_000)
    name: Text
    contact: Text
    start: date
    end: date | None  # the last day; null, written so: until it is replaced
    parties: tuple[Party, ...] = Field(min_length=1)
    data: tuple[Text, ...] = Field(min_length=1)
    flows: tuple[Flow, ...] = Field(min_length=1)
    purposes: tuple[Purpose, ...] = Field(min_length=1)  # the first is the flow's own
    legal_basis: tuple[LegalBasis, ...] = Field(min_length=1)
    permitted_use: tuple[Text, ...] = Field(min_length=1)
    restrictions: tuple[Text, ...] = ()
    responsibilities: tuple[Text, ...] = ()
    security: tuple[Text, ...] = ()
    retention: Text
    opt_out: OptOut
    recipients: tuple[Recipient, ...] = Field(min_length=1, max_length=2_000)
    restricted: tuple[Recipient, ...] = ()
    deny: tuple[Condition, ...] = ()
    review: tuple[Condition, ...] = ()
    # of an extract: counts below it are not told in the summary
    small_numbers: int = Field(default=5, ge=1, le=1_000)
    register_entry: Register = Field(alias="register")

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError("policy.dates: `end` is before `start`")
        for place, given in (("recipients", self.recipients), ("restricted", self.restricted)):
            keys = [one.key for one in given]
            if len(keys) != len(set(keys)):
                raise ValueError(f"policy.recipient-twice: {place} names somebody twice")
            for one in given:
                self._check_fields(place, one)
        self._check_roles()
        codes = [one.code for one in (*self.deny, *self.review)]
        if len(codes) != len(set(codes)):
            raise ValueError("policy.code-twice: two conditions have the same code")
        return self

    def _check_roles(self) -> None:
        roles = any(one.roles for one in (*self.recipients, *self.restricted)) or any(
            one.roles or one.without_roles for one in (*self.deny, *self.review)
        )
        if roles and (pushed := PUSHED.intersection(self.flows)):
            raise ValueError(
                f"policy.role-pushed: {min(pushed)} is sent by the hub itself, which has no role; "
                "leave out `roles` and `without_roles`"
            )

    def _check_fields(self, place: str, one: Recipient) -> None:
        granted = patterns(one.fields)
        # the sector of a named organisation is the directory's to say, when it is asked about
        outside = one.sector is not None and one.sector not in MAY_HOLD_NUMBER
        if outside and any(granted.match(name) for name in NUMBERS):
            raise ValueError(
                f"policy.number-outside: {place} of {one.key} grants an NHS number outside health "
                "and social care; name its fields one by one"
            )
        for flow in self.flows:
            if lacking := {n for n in REQUIRED.get(flow, ()) if not granted.match(n)}:
                raise ValueError(
                    f"policy.field-needed: {place} of {one.key} lacks {', '.join(sorted(lacking))}"
                )

    def in_force(self, day: date) -> bool:
        """Whether it holds on that day; first and last day are days on which it holds."""
        return self.start <= day and (self.end is None or day <= self.end)

    def overlaps(self, other: Policy) -> bool:
        """Whether both hold on some day."""
        return (self.end is None or other.start <= self.end) and (
            other.end is None or self.start <= other.end
        )

    def recipient(self, organisation: str, sector: Sector) -> Recipient | None:
        """The entry for a recipient: its own before its sector's."""
        return find(self.recipients, organisation, sector)

    @property
    def law(self) -> str:
        """The legal basis in one line."""
        return "; ".join(
            ", ".join(part for part in (one.statute, one.section) if part) or one.text
            for one in self.legal_basis
        )


def find(given: Sequence[Recipient], organisation: str, sector: Sector) -> Recipient | None:
    """The entry of `given` for a recipient: its own before its sector's."""
    own = next((one for one in given if one.organisation == organisation), None)
    return own or next((one for one in given if one.sector is sector), None)


@dataclass(frozen=True, slots=True)
class Policies:
    """All versions of all policies."""

    all: tuple[Policy, ...]
    by_flow: Mapping[Flow, tuple[Policy, ...]] = field(repr=False)
    # by id and version; of what was read from a folder
    files: Mapping[tuple[str, int], str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, given: Iterable[Policy], files: Mapping[int, str] | None = None) -> Self:
        """Policies that do not contradict one another. Raises `ConfigurationError`."""
        listed = tuple(given)
        names = files or {}
        for (first, one), (second, other) in combinations(enumerate(listed), 2):
            if (clash := _clash(one, other)) is not None:
                rule, advice = clash
                place = names.get(second, other.id)
                raise wrong(place, f"with {names.get(first, one.id)}", rule, advice)
        by_flow = {flow: tuple(one for one in listed if flow in one.flows) for flow in Flow}
        read_from = {(listed[n].id, listed[n].version): name for n, name in names.items()}
        return cls(listed, by_flow, read_from)

    def named(self, policy: str, version: int | None = None) -> Policy | None:
        """The version of a policy; the newest, if none is said."""
        found = [p for p in self.all if p.id == policy and version in (None, p.version)]
        return max(found, key=lambda one: one.version, default=None)

    def uncovered(self, day: date) -> list[Flow]:
        """Flows of which nothing may leave on that day, for want of a policy."""
        return [f for f in Flow if not any(one.in_force(day) for one in self.by_flow[f])]


def load_policies(path: Path | None) -> Policies:
    """The policies of a folder; None: those of the package.

    Raises `ConfigurationError` that names file, place and rule.
    """
    files = {}
    found = []
    for number, (name, content) in enumerate(read(path)):
        files[number] = name
        found.append(_policy(name, content))
        _check_names(name, found[-1])
    return Policies.of(found, files)


def _policy(name: str, content: dict[str, Any]) -> Policy:
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        issue = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in issue["loc"])
        told = issue["msg"].removeprefix("Value error, ")
        rule, found, advice = told.partition(": ")
        if not found or not rule.startswith("policy."):
            rule, advice = f"policy.{issue['type']}", told
        raise wrong(name, place, rule, advice) from None


def _check_names(name: str, policy: Policy) -> None:
    sections: dict[str, Sequence[Recipient | Condition]] = {
        "recipients": policy.recipients,
        "restricted": policy.restricted,
        "deny": policy.deny,
        "review": policy.review,
    }
    for section, given in sections.items():
        for number, one in enumerate(given):
            if (slip := unknown(policy.flows, one.fields)) is not None:
                field_name, near = slip
                flows = " or ".join(policy.flows)
                advice = f"no body of {flows} has a field {field_name}"
                if near:
                    advice += f"; did you mean {near}?"
                raise wrong(name, f"{section}.{number}.fields", "policy.field-unknown", advice)


def _clash(one: Policy, other: Policy) -> tuple[str, str] | None:
    """Why two policies cannot stand together: which of them decides must never be a matter of luck.
    The more specific one decides (an organisation's before its sector's).
    """
    if one.id == other.id:
        if one.version == other.version:
            return "policy.version-twice", "the same id and version stand in two files"
        if one.overlaps(other):
            return "policy.versions-overlap", "end the older version the day before the newer"
        older, newer = sorted((one, other), key=lambda policy: policy.start)
        if newer.version < older.version:
            return "policy.versions-order", "a later version has a higher number"
        return None
    shared = set(one.flows) & set(other.flows)
    purposes = set(one.purposes) & set(other.purposes)
    parties = {r.key for r in one.recipients} & {r.key for r in other.recipients}
    if shared and purposes and parties and one.overlaps(other):
        what = f"{min(shared)} to {min(parties)} for {min(purposes)}"
        return "policy.ambiguous", f"both cover {what}; give the recipient to one of them"
    return None


__all__ = ["NCMD", "Policies", "Policy", "Recipient", "load_policies"]
