"""What a line of a batch asks, made comparable without telling it. Pure."""

from __future__ import annotations

from halyard.names import normalise_name, normalise_postcode
from halyard.nhs_number import NumberProfile
from halyard.privacy import Keys
from schemas.events import PersonClaim
from stores.trace_batches import Question
from streams.identity.evidence import evidence_of


def question_of(keys: Keys, profile: NumberProfile, claim: PersonClaim) -> Question | None:
    """What this line asks: the record of its number, else whoever all that is said of; None if too
    little is said to ask at all.
    """
    evidence = evidence_of(claim, keys=keys, profile=profile)
    if not evidence.traceable:
        return None
    names = (normalise_name(claim.family), "|".join(normalise_name(one) for one in claim.given))
    born = claim.birth_date or ""
    if evidence.number_token is not None:
        return Question(
            keys.token("batch-question", "number", evidence.number_token),
            evidence.number_token,
            keys.token("batch-details", evidence.number_token, *names, born),
        )
    return Question(
        keys.token(
            "batch-question",
            "details",
            *names,
            born,
            (claim.gender or "").casefold(),
            normalise_postcode(claim.postcode) or "",
            claim.nhs_number or "",
        )
    )
