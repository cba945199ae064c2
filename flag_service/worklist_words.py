"""Rules of worklist entries, and of how decisions about them ended, in words for who works them."""

from __future__ import annotations

from typing import Final

_WHOLE: Final = {
    "pds.not_found": "PDS knows nobody with this NHS number",
    "pds.search_no_match": "PDS knows nobody with these details",
    "pds.too_many_matches": "PDS knows several people with these details",
    "pds.not_confirmed": "PDS did not confirm that the details are one person's; no candidate can "
    "be shown",
    "pds.invalidated": "the NHS number was taken out of use; ask for the person's present record",
    "pds.invalid_number": "this is no NHS number",
    "flag-without-evidence": "neither an NHS number nor names and birth date to search with",
    "flag-line-reused": "another record was sent before under the same upload and line",
    "flag-restricted-without-contact": "no contact for restricted children is registered: register "
    "one, then have it tried again",
    "child-without-evidence": "neither an NHS number nor names and birth date to search with",
    "death-without-evidence": "neither an NHS number nor names and birth date to search with",
    "beside-invalidated": "the same patient or visit came under a number that was taken out of use",
    "key-unresolved": "it waited for another message about the same person, whom PDS did not find",
    "contradicts-visit": "it contradicts what the visit is known to be of",
    "merge-conflict": "the merged patients are known to be different people; check the merge",
    "merge-too-many": "the merge links more patients than can be one",
    "resolution-withdrawn": "it was resolved, and that was taken back",
    "resolved-by-person": "a person resolved it",
    "resolved-by-person.superseded": "a person resolved it; the number was superseded, take over "
    "the new one",
    "rejected-by-person": "a person closed it",
    "rejected-by-person.nobody": "a person closed it: nobody is to be found",
    "flag-sent-again": "the plan was sent again, and is held",
    "expired": "nobody resolved it in time",
    "expired-held": "nobody looked at it in time; the plan is held as it was",
    "local-index": "number, names and birth date agree with a person whom the hub knows",
    "key-evidence": "another message of the same patient says who it is",
    "visit-corrected": "the sender corrected it",
    "merged": "the sender merged it with a patient whom the hub knows",
    "key-not-traced": "it waited for another message about the same person, whom PDS did not "
    "find; nothing depends on it",
    "resolution.contradicted": "PDS's record differs from what was sent in a field that was not "
    "confirmed as wrong, or too little that was sent is the record's (number or birth date, and "
    "one more of number, birth date, family and given name); check the number, and which fields "
    "were sent wrong; what names nobody must be sent again",
    "resolution.overtaken": "it had ended, or changed, before this was carried out",
    "resolution.too_late": "the record is no longer kept; have it sent again",
    "resolution.record_gone": "the record is no longer kept; have it sent again",
    "resolution.line_reused": "another record was sent before under the same upload and line: send "
    "it under a new sequence",
    "resolution.number_invalidated": "the number that was sent was taken out of use; ask for the "
    "person's present record",
    "resolution.failed": "it could not be carried out; tell the hub's operator",
    "resolution.not_of_a_person": "a merge of patients is not resolved by a number",
    "resolution.nothing_to_ask": "the record says too little to ask PDS",
    "asked": "the sender is asked, by a letter in its mailbox too",
    "asked.no_letter": "the question stands with the entry; the sharing policy lets no letter go",
}

_PROVES: Final = frozenset(
    {
        "number_birth_date_names",
        "number_birth_date_given",
        "number_birth_date_family",
        "birth_date_names",
        "birth_date_names_postcode",
        "birth_date_given_postcode",
    }
)
"""Comparisons that verify (docs/reference/pds.md): the rule of an entry that ended with one."""

_PARTS: Final = (
    ("perhaps_a_twin", "everything else agrees, and it may be the twin's record"),
    ("birth_date_range", "somebody was found by another birth date than was sent"),
    ("birth_date_swapped", "day and month of the birth date may be exchanged"),
    ("birth_date_absent", "the birth date is missing"),
    ("birth_date_partly", "the birth date is not whole"),
    ("birth_date_stands", "the birth date is one that is written where nobody knows the day"),
    ("gender_and_home", "names and birth date agree, and neither gender nor home was compared"),
    ("birth_date", "number or names were found, but the birth date is another"),
    ("names_swapped", "family and given name may be exchanged"),
    ("names_insufficient", "the names are missing or do not suffice"),
    ("further_given_names", "further given names are another's"),
    ("given_nearly", "the given name agrees but for a slip or a short form"),
    ("given_partly", "the given name agrees in part"),
    ("placeholder_given", "the given name is a placeholder"),
    ("family_nearly", "the family name agrees but for a slip"),
    ("family_partly", "the family name agrees in part"),
    ("number_of_another_country", "it came with a number of another country"),
    ("names", "the names are another's"),
    ("family", "the family name is another's"),
    ("given", "the given name is another's"),
    ("number", "the NHS number is another's"),
    ("score", "PDS found somebody, but not surely enough"),
)


def words(rule: str | None) -> str | None:
    """A rule in words; None for none."""
    if rule is None:
        return None
    if rule in _WHOLE:
        return _WHOLE[rule]
    if rule.startswith("pds.bug"):
        return "PDS gave no usable answer"
    if rule.startswith("pds.not_searchable"):
        return "the record says too little to search with"
    if rule.startswith(("pds.get.", "pds.search.")):
        name = rule.split(".", 2)[2]
        if name.removesuffix(".superseded") in _PROVES:
            return "PDS's record proves who it is"
        found = next((text for part, text in _PARTS if part in name), None)
        return found or "PDS found somebody, and neither proved nor ruled out that it is them"
    return "see docs/reference/identity.md under this rule"
