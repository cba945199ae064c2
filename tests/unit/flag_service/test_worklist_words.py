"""What a rule is in words must not say something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flag_service.worklist_words import words

PDS = Path(__file__).parents[3] / "docs" / "reference" / "pds.md"


def rules(prefix: str) -> list[tuple[str, str]]:
    """(rule, verdict) of each comparison that the reference has."""
    text = PDS.read_text().split(f"| rule (`{prefix}")[1].split("\n\n")[0]
    return [
        (f"{prefix}{name}", verdict.strip().split(":")[0])
        for names, verdict in re.findall(r"^\| (`.+?) \| (.+?)(?::| \|)", text, re.MULTILINE)
        for name in re.findall(r"`([a-z_]+)`", names)
    ]


RULES = [*rules("pds.get."), *rules("pds.search.")]


def test_the_reference_has_the_rules() -> None:
    """Else the next test would check nothing."""
    assert ("pds.get.number_birth_date_names", "verified") in RULES
    assert ("pds.search.given_differs", "conflict") in RULES
    assert len(RULES) > 30


@pytest.mark.parametrize(("rule", "verdict"), RULES)
def test_words_of_a_proof_say_so_and_no_others_do(rule: str, verdict: str) -> None:
    """An entry that ended because PDS proved who it is never reads as a difference."""
    assert (words(rule) == "PDS's record proves who it is") is (verdict == "verified")


def test_a_proof_by_a_successor_is_one() -> None:
    """The number was superseded, the record is proven all the same."""
    assert words("pds.get.number_birth_date_names.superseded") == "PDS's record proves who it is"


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("pds.get.given_nearly", "slip"),
        ("pds.search.given_partly", "in part"),
        ("pds.get.further_given_names_differ", "further"),
        ("pds.search.number_of_another_country", "another country"),
        ("pds.get.given_differs_perhaps_a_twin", "twin"),
        ("key-not-traced", "nothing depends"),
    ],
)
def test_words_say_what_the_rule_says(rule: str, part: str) -> None:
    """A name that agrees nearly, or in part, is not another's."""
    assert part in str(words(rule))
