"""What an answer of PDS means, one class an outcome, each with the stable name of its rule.

Outcomes come from ``issue.details.coding.code``, not from the HTTP status alone: there are two
404s with opposite duties, and "too many matches" is a 200. No repr shows personal data.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PdsRecord:
    """What the hub takes from a Patient resource.

    `family`, `given`: of the name in use now; the `other_` ones are old, maiden, nick- and
    temporary names. `birth_date` is ISO text and may be partial. `restricted` is True for
    everything that is not plainly unrestricted; `postcode` is then None. `birth_order` is there if
    PDS states an order of birth (1 to 7): perhaps one of twins. `warnings` are rule names, without
    values.
    """

    nhs_number: str = field(repr=False)
    family: str | None = field(default=None, repr=False)
    given: tuple[str, ...] = field(default=(), repr=False)
    other_families: tuple[str, ...] = field(default=(), repr=False)
    other_given: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    birth_date: str | None = field(default=None, repr=False)
    gender: str | None = field(default=None, repr=False)
    postcode: str | None = field(default=None, repr=False)
    restricted: bool = True
    deceased: bool = False
    birth_order: int | None = None
    version_id: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One record: under the number asked for, or a search's only match (then with a score)."""

    record: PdsRecord
    score: float | None = None
    rule: str = "pds.found"


@dataclass(frozen=True, slots=True)
class Superseded:
    """The number asked for was merged; `record` is the successor's."""

    record: PdsRecord
    requested: str = field(repr=False)
    rule: str = "pds.superseded"


@dataclass(frozen=True, slots=True)
class Invalidated:
    """The number was taken out of use, perhaps by an adoption.

    Quarantine it; never search with what came along, and never link it to another number.
    """

    rule: str = "pds.invalidated"


@dataclass(frozen=True, slots=True)
class NotFound:
    """PDS has no such record, or no record that matches the search."""

    rule: str = "pds.not_found"


@dataclass(frozen=True, slots=True)
class TooMany:
    """More than one record matches the search."""

    rule: str = "pds.too_many_matches"


@dataclass(frozen=True, slots=True)
class InvalidNumber:
    """The number cannot be anybody's. `rule` is the number's own where PDS was not asked."""

    rule: str = "pds.invalid_number"


@dataclass(frozen=True, slots=True)
class NotSearchable:
    """The claim says too little to search with, or only a placeholder; PDS was not asked."""

    rule: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No answer, for now. Ask again later with the same X-Request-ID if `retry_same_id`.

    `answered`: PDS did answer, but not the question: it is no sign of an outage.
    """

    rule: str
    retry_same_id: bool = True
    answered: bool = False


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The ration is spent. `retry_after_seconds` is there only if PDS said it (it promises not)."""

    retry_after_seconds: float | None = None
    rule: str = "pds.rate_limited"


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The access token is missing, wrong or expired; the same call holds good with a new one."""

    rule: str = "pds.token_refused"


@dataclass(frozen=True, slots=True)
class Bug:
    """An answer that no right request gets, or that cannot be read: it says nothing of the person.

    `status` is the HTTP status. `refused`: PDS itself says that the question is wrong; it is well,
    and will say so again.
    """

    rule: str
    status: int | None = None
    refused: bool = False


GetOutcome = (
    Found
    | Superseded
    | Invalidated
    | NotFound
    | InvalidNumber
    | Unavailable
    | RateLimited
    | TokenRefused
    | Bug
)
"""What asking by number can come to."""

SearchOutcome = (
    Found | NotFound | TooMany | NotSearchable | Unavailable | RateLimited | TokenRefused | Bug
)
"""What a search can come to."""
