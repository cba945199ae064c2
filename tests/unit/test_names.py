"""Names and postcodes become comparable, and placeholders are known for what they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.given_names import perhaps_a_short_form, same_name_otherwise_spelt
from halyard.names import (
    beside_placeholder,
    counts_children,
    is_initial,
    is_placeholder_given,
    name_forms,
    name_parts,
    normalise_name,
    normalise_postcode,
    slips,
    telling_parts,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("O'Brien", "OBRIEN"),
        ("O’Brien", "o brien"),
        ("Smith-Jones", "SMITH JONES"),
        ("Zoë", "zoe"),
        ("Łukasz", "lukasz"),
        ("Bjørn", "Bjorn"),
        ("Weiß", "WEISS"),
        ("Nuñez", "Nun\u0303ez"),
        ("ＡＮＮ", "Ann"),
        ("Smith (known as Jones)", "Smith"),
        ("O`Brien", "O´Brien"),
        ("O\u02bcBrien", "O\u02bbBrien"),
        ("D\u2032Arcy", "Darcy"),
        ("Smith\u2013Jones", "Smith\u2011Jones"),
        ("Smith\u00adJones", "Smith\u200bJones"),
        ("Æthelred", "aethelred"),
        ("Øyvind", "Oyvind"),
        ("IŞIK", "Işık"),
        ("İpek", "ipek"),
        ("Ağaoğlu", "Agaoglu"),
        ("Đorđe", "Dorde"),
        ("Þóra", "Thora"),
        ("\u0410nn\u0430", "Anna"),
        ("\u039fmar", "Omar"),
        ("\u0412era", "Bera"),
        ("Ива\u043d", "Иван"),
        ("М\u0430рия", "Мaрия"),
    ],
)
def test_same_name(one: str, other: str) -> None:
    """Case, accents, punctuation, spaces and notes in brackets make no other name."""
    assert normalise_name(one) == normalise_name(other) != ""


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    """normalise_name is idempotent for any text."""
    once = normalise_name(text)
    assert normalise_name(once) == once


def test_other_alphabets_stay() -> None:
    """A name in another alphabet is kept, and different names stay different."""
    assert normalise_name("Σοφία") == "σοφια"
    assert normalise_name("किरण") != normalise_name("करण")


@given(st.text())
def test_case_makes_no_other_name(text: str) -> None:
    """Upper, lower and title case normalise alike wherever Unicode's own rules say they are one."""
    assert normalise_name(text.casefold()) == normalise_name(text.casefold().upper().casefold())


@given(st.text(), st.text())
def test_forms_hold_the_normalised_name(one: str, other: str) -> None:
    """A name's forms contain it as normalised; names that are equal share them all."""
    assert normalise_name(one) in name_forms(one) | {""}
    if normalise_name(one) == normalise_name(other):
        assert name_forms(one) & name_forms(other) or not normalise_name(one)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Müller", "Mueller", True),
        ("Müller", "Muller", True),
        ("Ångström", "Aangstroem", True),
        ("Sørensen", "Soerensen", True),
        ("Mueller", "Muller", False),
        ("", "", False),
    ],
)
def test_umlauts_may_be_written_out(one: str, other: str, same: bool) -> None:
    """ä, ö, ü, ø and å are the plain letter or two letters; two plain spellings stay two names."""
    assert bool(name_forms(one) & name_forms(other)) is same


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("van der Berg", ("berg",)),
        ("O'Brien Smith", ("obrien", "smith")),
        ("Li-Wong", ("wong",)),
        ("Kaur", ()),
        ("bin Laden", ("laden",)),
        (None, ()),
    ],
)
def test_parts_that_tell(text: str | None, expected: tuple[str, ...]) -> None:
    """Particles, names that very many share, and short parts tell nobody apart."""
    assert telling_parts(text) == expected


@pytest.mark.parametrize(
    ("one", "other", "at_most", "expected"),
    [
        ("robin", "robin", 1, 0),
        ("robin", "robyn", 1, 1),
        ("robin", "robni", 1, 1),
        ("robin", "robi", 1, 1),
        ("robin", "robbin", 1, 1),
        ("robin", "rbn", 1, None),
        ("robin", "rbn", 2, 2),
        ("robin", "kit", 1, None),
        ("", "", 1, 0),
        ("a" * 65, "a" * 65, 1, 0),
        ("a" * 65, "a" * 64, 1, None),
    ],
)
def test_slips(one: str, other: str, at_most: int, expected: int | None) -> None:
    """A letter added, left out, replaced or exchanged with its neighbour is one slip."""
    assert slips(one, other, at_most=at_most) == slips(other, one, at_most=at_most) == expected


@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_slips_are_none_only_between_equals(one: str, other: str) -> None:
    """No slips means the same name; it makes no difference which comes first."""
    found = slips(one, other, at_most=3)
    assert (found == 0) == (one == other)
    assert found == slips(other, one, at_most=3)


def test_spellings_and_short_forms() -> None:
    """Spellings of one name are that name; a short form is only perhaps it; twins' names are
    neither."""
    assert same_name_otherwise_spelt("mohammed", "muhammad")
    assert not same_name_otherwise_spelt("mohammed", "mohammed")
    assert not same_name_otherwise_spelt("hassan", "hussain")
    assert perhaps_a_short_form("kate", "katherine")
    assert perhaps_a_short_form("jim", "jamie")
    assert not perhaps_a_short_form("daniel", "danielle")
    assert not perhaps_a_short_form("robin", "robert")


def test_initials() -> None:
    """One letter is an initial; one ideograph is a name."""
    assert is_initial("r")
    assert not is_initial("\u4fca")
    assert not is_initial("jo")


def test_parts() -> None:
    """A double-barrelled name has its parts."""
    assert name_parts("Smith-Jones") == name_parts("SMITH JONES") == ("smith", "jones")
    assert name_parts(None) == ()


@pytest.mark.parametrize(
    "text",
    [
        None, "", "-", "Baby", "BABY", "Baby of Ann", "Baby Smith", "B/O Ann", "b / o ANN",
        "BabyBoy", "Babygirl", "Infant", "Twin 1", "Twin1", "twin two", "TWIN A", "Triplet 3",
        "Male", "Female", "Male infant", "Boy", "Girl", "Unknown", "Not known", "NK",
        "N/K", "N/A", "Unnamed", "No name", "Newborn", "Unborn", "Female 2", "X", "Babyof",
        "Girl of Ann", "Boy Ann", "Daughter of Sarah", "BO Ann", "B of Ann", "BabyA", "TwinB", "T1",
        "Inf", "MIF", "Bby", "BG Smith", "NB", "Not Stated", "No Forename", "Awaiting Name", "TBA",
        "NotNamed", "FNU", "Un-named", "Child of Ann", "Infant of Ann", "BGirl", "MaleInfant",
        "FEMALEINFANT", "TwinOne", "BabyOne", "Girlone", "Infantone", "Tw1", "2nd Twin", "BabyB",
        "1st Baby Smith", "SecondBaby", "BoyB", "Baby 2", "B2", "Boy 2", "Girl Two", "TwinII",
        "BabyBoyTwo", "Quadruplet 3", "Unknown 2", "UnknownMale", "Jane Baby", "Smith Baby",
        "Smith Boy", "Smith Girl 2", "Jane Baby A", "Mrs Smith Baby", "Jane Baby Smith", "Liveborn",
        "Live Birth", "Live Born", "FI", "MI", "LB", "Bebe", "Bebe 1", "UBB", "Newbaby", "FInfantA",
        "Mtwin1", "MTwin", "Neonatal", "Nameless", "Tbd", "Pending", "No first name", "Ann Twin",
    ],
)  # fmt: skip
def test_placeholders(text: str | None) -> None:
    """What stands for "no name yet" is a placeholder, however it is written."""
    assert is_placeholder_given(text)


@pytest.mark.parametrize(
    "text",
    [
        "Bo",
        "Robin",
        "Infanta",
        "Babs",
        "Girlie",
        "Mali",
        "Na",
        "Xander",
        "Ofelia",
        "Sonny",
        "Bonnie",
        "Tia",
        "Bea",
        "Boyd",
        "Twinkle",
        "Quadir",
        "Malone",
        "Sonia",
        "Childe",
        "Tristan",
        "Minh",
        "Mina",
        "Olive",
        "Robin (baby)",
        "Ba Thanh",
        "Mi Na",
        "Lily Mi",
        "किरण",
    ],
)
def test_names_that_are_no_placeholders(text: str) -> None:
    """Names that look a little like a placeholder are names."""
    assert not is_placeholder_given(text)


@pytest.mark.parametrize(
    "text",
    [
        "TwinA", "Twin B", "TripletC", "triplet 2", "Twin", "Ann (twin)", "Ann Twin 2", "TwinOne",
        "2nd Twin", "Quad 3", "Quadruplet", "Baby 2", "Baby B", "BabyB", "B2", "T2", "Boy 2",
        "Girl Two", "Second Baby", "BabyOne", "Tw1", "Baby Boy II", "Infant 2", "Boy B", "Girlone",
        "B/O Ann 2", "Unknown 2", "Baby Twin A", "MTwin", "Mtwin1", "Jane Baby 2", "Jane Baby B",
    ],
)  # fmt: skip
def test_placeholders_that_count_children(text: str) -> None:
    """Which of several it is: a word for twins, or a number or letter after a placeholder."""
    assert counts_children(text)


@pytest.mark.parametrize(
    "text",
    [None, "", "Baby", "Baby Girl", "BabyBoy", "B/O Ann", "B of Ann", "MaleInfant", "Unknown", "NK",
     "Robin", "Robin 2", "Robin II", "Twinkle", "Quadir", "Boy of Ann B"],
)  # fmt: skip
def test_names_that_count_nobody(text: str | None) -> None:
    """A baby without a count, a name, and a name that begins like a word for twins."""
    assert not counts_children(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Baby Jack", ("jack",)), ("Baby Jack 2", ("jack",)), ("Jane Baby", ("jane",)),
     ("Son Minh", ("minh",)), ("Bo Wen", ("bo", "wen")), ("BabyBoy A", ()), ("B/O Ann", ()),
     ("Baby of Ann", ()), ("Anna of", ("anna",)), ("Not Known", ()), ("Twin II", ()), (None, ())],
)  # fmt: skip
def test_words_beside_a_placeholder(text: str | None, expected: tuple[str, ...]) -> None:
    """What may be the child's own name; a count, an initial and the mother after "of" are not."""
    assert beside_placeholder(text) == expected


@given(st.text())
def test_a_name_of_any_length_can_be_taken_apart(text: str) -> None:
    """Neither question raises, however often known words repeat."""
    for one in (text, text * 50, "boy" * 5_000, f"baby{text}"):
        assert is_placeholder_given(one) in (True, False)
        assert counts_children(one) in (True, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zz1 2ab", "ZZ1 2AB"),
        ("ZZ12AB", "ZZ1 2AB"),
        (" zz1a-2ab ", "ZZ1A 2AB"),
        ("ZZ99 3VZ", None),
        ("ZZ1", None),
        ("", None),
        (None, None),
        ("12345", None),
    ],
)
def test_postcodes(text: str | None, expected: str | None) -> None:
    """Full postcodes get one shape; partial and pseudo-postcodes are none."""
    assert normalise_postcode(text) == expected
