"""What alert an episode calls for, from the facts alone (pure)."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from schemas.events import AlertContent
from stores.alerts import AlertRow
from stores.directory import Directory
from stores.flags import Flag
from stores.visits import Visit
from streams.matching.content import alert_content, alert_flags
from streams.matching.episodes import Episode


@dataclass(frozen=True, slots=True)
class PersonState:
    """All that is known of one person: the visits that name them (and those of their alerts,
    whomever they name now), their flags of all authorities, their alerts of all states; and whether
    they are restricted, by whatever is known of them.
    """

    person: str
    visits: tuple[Visit, ...]
    flags: tuple[Flag, ...]
    alerts: tuple[AlertRow, ...]
    restricted: bool = False
    inactive: bool = False  # PDS has invalidated the number: what was told stays told


@dataclass(frozen=True, slots=True)
class Deciding:
    """What a decision needs besides the facts."""

    directory: Directory
    now: datetime
    digest: Callable[[bytes], str]  # keyed: content is clinical
    trace: Callable[[str, Iterable[uuid.UUID]], str | None]  # of a person and an episode's visits


@dataclass(frozen=True, slots=True)
class Desired:
    """One alert as it should stand; `digest` covers all that makes a new version."""

    episode: Episode
    authority: str
    content: AlertContent
    provisional: bool
    late: bool
    restricted: bool
    digest: str


def desire(
    state: PersonState,
    episode: Episode,
    authority: str,
    flags: Sequence[Flag],
    restricted: bool,
    deciding: Deciding,
) -> Desired | None:
    """The alert for `episode` and `authority`, whose flags are `flags`; None if there is none.

    `restricted` is the person's; a restricted person is never alerted provisionally.
    """
    shown = alert_flags(flags, episode)
    if not any(flag.active for flag in shown):
        return None
    provisional = all(visit.provisional for visit in episode.visits)
    if restricted and provisional:
        return None
    content = alert_content(
        episode,
        flags[-1].nhs_number,
        shown,
        [visit for visit in state.visits if visit.person == state.person],
        deciding.directory,
        restricted=restricted,
    )
    late = all(visit.late for visit in episode.visits)
    fingerprint = digest(
        content, deciding, provisional=provisional, late=late, restricted=restricted
    )
    return Desired(episode, authority, content, provisional, late, restricted, fingerprint)


def digest(
    content: AlertContent, deciding: Deciding, *, provisional: bool, late: bool, restricted: bool
) -> str:
    """Keyed digest of everything in an alert that makes a new version."""
    body = {
        "content": dataclasses.asdict(content),
        "provisional": provisional,
        "late": late,
        "restricted": restricted,
    }
    return deciding.digest(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))
