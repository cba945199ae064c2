"""One of twins is never verified as the other: pairs that were once confused, and any others."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import assume
from hypothesis import given as having
from hypothesis import strategies as st

from connectors.pds.comparison import Comparison, Manner, compare, compare_search
from connectors.pds.outcomes import PdsRecord
from halyard.given_names import perhaps_a_short_form, same_name_otherwise_spelt
from halyard.names import is_initial, is_placeholder_given, name_parts
from schemas.events import PersonClaim

NUMBER = "9990001014"
CLAIM = PersonClaim(
    nhs_number=NUMBER, family="Testchild", birth_date="2017-03-14", gender="male", postcode="ZZ11AA"
)
RECORD = PdsRecord(
    nhs_number=NUMBER,
    family="Testchild",
    birth_date="2017-03-14",
    gender="male",
    postcode="ZZ1 1AA",
    restricted=False,
)
MANNERS = (Manner(), Manner(fuzzy=True), Manner(placed=True))


def judged(claim: PersonClaim, record: PdsRecord, *, several: bool = False) -> list[Comparison]:
    """By the other's number; and by search, however PDS came to name the other."""
    searched = replace(claim, nhs_number=None)
    return [
        compare(claim, record, one_of_several=several),
        *(
            compare_search(searched, record, score=1.0, manner=manner, one_of_several=several)
            for manner in MANNERS
        ),
    ]


def verified(
    claimed: str, held: str, *, gender: str | None = "male", birth_order: int | None = None
) -> list[str]:
    """The rules by which a claim of `claimed` is verified as the twin called `held`."""
    claim = replace(CLAIM, given=tuple(claimed.split()), gender=gender)
    record = replace(RECORD, given=tuple(held.split()), birth_order=birth_order)
    return [one.rule for one in judged(claim, record) if one.verified]


PAIRS = [
    ("Mohammed Ali Khan", "Mohammed Hassan Khan"),
    ("Mohammed Zain", "Mohammed Zaid"),
    ("Mohammed Ali", "Mohammed Adil"),
    ("Mohammed Ali", "Mohammed Alistair"),
    ("Muhammad Zain", "Mohammed Zaid"),
    ("Lily Mae", "Lily May"),
    ("Maria Eva", "Maria Ava"),
    ("Abdul Rahman", "Abdul Rahim"),
    ("Abdur Rahman", "Abdur Rahim"),
    ("Abdul-Rahman", "Abdul-Rahim"),
    ("Noor Aisha", "Noor Ayan"),
    ("Bibi Amina", "Bibi Asiya"),
    ("Ann Marie", "Anna Louise"),
    ("Rob James", "Robert Michael"),
    ("MohammedAli", "Mohammed Hassan"),
    ("Ann", "Annabel"),
    ("Lily Grace", "Grace Lily"),
    ("Robin Lee", "Robin Lea"),
]


@pytest.mark.parametrize("order", [None, 1, 2])
@pytest.mark.parametrize("gender", ["male", None])
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_twins_with_names_alike_are_told_apart(
    one: str, other: str, gender: str | None, order: int | None
) -> None:
    """A shared first name, names that begin alike, further names that are near or partly shared:
    neither is verified as the other, whether PDS states an order of birth or not."""
    for mine, theirs in permutations((one, other)):
        assert not verified(mine, theirs, gender=gender, birth_order=order)


@pytest.mark.parametrize("gender", ["male", "female", None])
def test_daniel_is_not_danielle(gender: str | None) -> None:
    """A prefix across genders is no agreement, also where nobody said the gender."""
    assert not verified("Daniel", "Danielle", gender=gender)
    assert not verified("Danielle", "Daniel", gender=gender)


SEVERAL = [
    ("TwinA", "TwinB"), ("Twin A", "Twin B"), ("TripletB", "TripletC"), ("Twin2", "Twin1"),
    ("Baby 2", "Baby 1"), ("Baby B", "Baby A"), ("BabyB", "BabyA"), ("B2", "B1"), ("T2", "T1"),
    ("Boy 2", "Boy 1"), ("Girl Two", "Girl One"), ("Second Baby", "First Baby"),
    ("2nd Twin", "1st Twin"), ("TwinOne", "TwinTwo"), ("BabyOne", "BabyTwo"), ("Tw1", "Tw2"),
    ("Girlone", "Girltwo"), ("Infantone", "Infanttwo"), ("Quad 3", "Quad 4"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [*SEVERAL, *((one, one) for one, _ in SEVERAL)])
def test_a_placeholder_that_counts_children_tells_of_twins(one: str, other: str) -> None:
    """On either side, glued together or not, and although both have it: a person looks."""
    for mine, theirs in permutations((one, other)):
        assert not verified(mine, theirs)
    for silent in ("", "Baby", "Robin"):
        assert not verified(silent, other)
        assert not verified(other, silent)


def test_a_placeholder_of_before_tells_of_twins() -> None:
    """PDS had the child as "Twin B" at first: who comes without a name may be the other."""
    record = replace(RECORD, given=("Robin",), other_given=(("Twin", "B"),))
    assert not any(one.verified for one in judged(replace(CLAIM, given=("Baby",)), record))


@pytest.mark.parametrize("name", ["MaleInfant", "FemaleInfant", "Baby", "Infant", ""])
def test_unnamed_twins_are_not_each_other(name: str) -> None:
    """No placeholder is a whole name: with an order of birth, or the sender's word, it is
    nobody's."""
    claim = replace(CLAIM, given=(name,))
    for order, several in ((1, True), (2, False), (1, False)):
        record = replace(RECORD, given=(name,), birth_order=order)
        assert not any(one.verified for one in judged(claim, record, several=several))


@pytest.mark.parametrize("order", [None, 1, 2])
@pytest.mark.parametrize(
    ("one", "other"),
    [("Baby Jack", "Harry"), ("Baby Jack", "Baby Lily"), ("Jack", "Baby Lily"), ("Bo Wen", "Anna"),
     ("Bo Wen", "Bo Han"), ("Son Minh", "Son Hai"), ("Girl Aisha", "Girl Amina"),
     ("Boy Jack", "Harry"), ("Jane Baby", "Robin"), ("Babe Ruth", "Babe Ann"),
     ("Baby Jack", "Jack Lee"), ("Baby Mohammed", "Mohammed Ali"), ("Anna of", "Maria")],
)  # fmt: skip
def test_a_word_beside_a_placeholder_may_be_the_other_twins_name(
    one: str, other: str, order: int | None
) -> None:
    """Whichever side has it, by number or by search: another word is a person's to look at, and
    never the silence that number and family name make up for. It is no conflict either: the word
    may be the mother's, and the child the right one.
    """
    for mine, theirs in permutations((one, other)):
        claim = replace(CLAIM, given=tuple(mine.split()))
        record = replace(RECORD, given=tuple(theirs.split()), birth_order=order)
        assert {each.verdict for each in judged(claim, record)} == {"potential"}
        assert compare(claim, record).rule == "pds.get.given_unknown_perhaps_a_twin"
        assert compare(claim, record).given == "nearly"


@pytest.mark.parametrize(
    ("claimed", "held"),
    [("Bo Wen", "Bo Wen"), ("Son Minh", "Son Minh"), ("Minh Son", "Minh Son"), ("Bo", "Bo"),
     ("Ba Thanh", "Ba Thanh"), ("Girl Aisha", "Girl Aisha"), ("Mi", "Mi"), ("Jack", "Baby Jack"),
     ("Baby Muhammad", "Mohammed"), ("Baby Testchild", "Robin"), ("Robin", "Testchild Baby"),
     ("Baby", "Robin"), ("Baby Jack", "Baby"), ("B/O Ann", "Robin"), ("Baby of Ann", "Robin")],
)  # fmt: skip
def test_an_ordinary_child_with_a_word_like_a_placeholder_is_verified_by_number(
    claimed: str, held: str
) -> None:
    """The same words on both sides, none but the family's name, or the mother's after "of"."""
    for mine, theirs in permutations((claimed, held)):
        assert any(rule.startswith("pds.get.") for rule in verified(mine, theirs))


def test_a_word_beside_a_placeholder_may_be_a_name_of_before() -> None:
    """PDS had the child as "Baby Jack", and now as Harry: "Baby Jack" is he, "Baby Tom" is not;
    a mere "Baby" of before says nothing."""
    record = replace(RECORD, given=("Harry",), other_given=(("Baby", "Jack"), ("Baby",)))
    assert compare(replace(CLAIM, given=("Baby", "Jack")), record).verified
    assert not compare(replace(CLAIM, given=("Baby", "Tom")), record).verified


UNNAMED = ("Jane Baby", "Smith Baby", "Smith Boy", "Mrs Smith Baby", "Jane Baby Smith", "Liveborn",
           "Live Birth", "FI", "MI", "LB", "Bebe", "UBB", "Newbaby", "FInfantA", "MTwin",
           "Baby Jack", "Son Minh", "BO Ann")  # fmt: skip


@pytest.mark.parametrize("name", UNNAMED)
def test_unnamed_newborn_twins_in_the_same_words_are_not_each_other(name: str) -> None:
    """What stands for a name is no whole name, however it is written and although both have it:
    nobody is verified by it by search, nor by number under six weeks or with word of a twin."""
    claim = replace(CLAIM, given=tuple(name.split()))
    for order in (None, 1, 2):
        record = replace(RECORD, given=tuple(name.split()), birth_order=order)
        by_number, *by_search = judged(claim, record, several=True)
        assert not by_number.verified
        assert not any(one.verified for one in (*by_search, *judged(claim, record)[1:]))
        assert not compare(claim, record, newborn=True).verified


@pytest.mark.parametrize(
    ("one", "other"),
    [("Syeda", "Syeda Zainab"), ("Mst", "Mst Zainab"), ("Mosammat", "Mosammat Fatima"),
     ("Abdur", "Abdur Rahim"), ("Anna", "Anna Maria"), ("Mohammed", "Muhammad Ali")],
)  # fmt: skip
@pytest.mark.parametrize(("order", "several"), [(1, True), (2, True), (2, False), (None, True)])
def test_known_twins_need_their_further_names(
    one: str, other: str, order: int | None, several: bool
) -> None:
    """Where message or PDS tells of twins, a name that only one side has may be what tells them
    apart."""
    for mine, theirs in permutations((one, other)):
        claim = replace(CLAIM, given=tuple(mine.split()))
        record = replace(RECORD, given=tuple(theirs.split()), birth_order=order)
        assert not any(each.verified for each in judged(claim, record, several=several))


@pytest.mark.parametrize(("one", "other"), [("Mohammed", "Muhammad Ali"), ("Syeda", "Syeda Noor")])
def test_a_name_that_siblings_share_proves_nothing_by_search(one: str, other: str) -> None:
    """PDS may hold the brother alone under that spelling; his number, though, is his."""
    for mine, theirs in permutations((one, other)):
        found = verified(mine, theirs)
        assert not [rule for rule in found if rule.startswith("pds.search.")]
    assert verified(one, other) == ["pds.get.number_birth_date_names"]
    assert verified(other, one) == []


def test_a_name_of_before_is_no_proof_by_search_but_at_home() -> None:
    """Omar was Alistair once: "Ali" is not he, and "Alistair" is at the same address alone."""
    record = replace(RECORD, given=("Omar",), other_given=(("Alistair",),))
    ali, alistair = replace(CLAIM, given=("Ali",)), replace(CLAIM, given=("Alistair",))
    assert not any(one.verified for one in judged(ali, record))
    assert all(one.verified for one in judged(alistair, record))
    searched = replace(alistair, nhs_number=None)
    for elsewhere in (
        replace(searched, postcode=None),
        replace(searched, gender=None),
        replace(searched, postcode="ZZ2 2BB"),
    ):
        found = compare_search(elsewhere, record, score=1.0, manner=Manner())
        assert found.verdict == "potential"


def test_a_shorter_name_of_before_outvotes_no_further_name_of_now() -> None:
    """PDS has Anna Louise, once only Anna: Anna Maria is not she."""
    record = replace(RECORD, given=("Anna", "Louise"), other_given=(("Anna",),))
    assert not any(one.verified for one in judged(replace(CLAIM, given=("Anna", "Maria")), record))


@pytest.mark.parametrize("born", ["2008-01-01", "1904-06-03", "1900-01-01"])
def test_a_birth_date_that_stands_for_not_known_tells_nobody_apart(born: str) -> None:
    """1 January, and what is before 1905: by search the whole postcode must agree, by number a
    given name."""
    claim, record = replace(CLAIM, birth_date=born), replace(RECORD, birth_date=born)
    named = replace(claim, given=("Robin",), nhs_number=None)
    held = replace(record, given=("Robin",))
    assert compare_search(named, held, score=1.0, manner=Manner()).verified
    for place in (None, "ZZ2 2BB"):
        found = compare_search(replace(named, postcode=place), held, score=1.0, manner=Manner())
        assert (found.verdict, found.rule) == (
            "potential", "pds.search.birth_date_stands_for_unknown",
        )  # fmt: skip
    assert compare(replace(named, nhs_number=NUMBER), held).verified
    for nameless in ((), ("Unknown",), ("R",)):
        result = compare(replace(claim, given=nameless), held)
        assert (result.verdict, result.rule) == (
            "potential", "pds.get.birth_date_stands_for_unknown",
        )  # fmt: skip


def test_without_gender_and_home_a_namesake_is_potential() -> None:
    """By search: names and birth date alone, no gender, and not the same whole postcode."""
    claim = replace(CLAIM, given=("Robin",), nhs_number=None, gender=None)
    record = replace(RECORD, given=("Robin",))
    assert compare_search(claim, record, score=1.0, manner=Manner()).verified
    for place in (None, "ZZ2 2BB", "ZZ1 2BB"):
        found = compare_search(replace(claim, postcode=place), record, score=1.0, manner=Manner())
        assert (found.verdict, found.rule) == ("potential", "pds.search.gender_and_home_unknown")


def test_a_baby_under_six_weeks_needs_its_name() -> None:
    """Nobody says yet that there is a twin: number and family name are not enough."""
    for given, held in (("Baby", "Baby"), ("", "Robin"), ("Robin", "Baby"), ("MaleInfant", "Baby")):
        claim = replace(CLAIM, given=tuple(given.split()))
        record = replace(RECORD, given=tuple(held.split()))
        assert compare(claim, record).verified
        young = compare(claim, record, newborn=True)
        assert (young.verdict, young.rule) == ("potential", "pds.get.given_unknown_perhaps_a_twin")
    named = replace(CLAIM, given=("Robin",))
    assert compare(named, replace(RECORD, given=("Robin",)), newborn=True).verified


FIRSTS = ("Mohammed", "Muhammad", "Maria", "Lily", "Ann", "Anna", "Annabel", "Daniel", "Danielle",
          "Rob", "Robert", "Robin", "Zoë", "Ali", "Alistair", "Jayden", "Hayden", "Abdul-Rahman",
          "Abdul-Rahim", "Lily-Mae", "Kate", "Katherine", "Syeda")  # fmt: skip
FURTHER = ("Ali", "Adil", "Hassan", "Hasan", "Hussain", "Khan", "Zain", "Zaid", "Mae", "May", "Eva",
           "Ava", "Grace", "Lily", "Maria", "Marie", "Louise", "Alistair")  # fmt: skip
COUNTED = ("Twin 1", "Twin 2", "TwinA", "TwinB", "Baby 1", "Baby 2", "BabyA", "BabyB", "Boy One",
           "Girl Two", "T1", "T2", "2nd Twin", "First Baby")  # fmt: skip
NAMED = st.builds(
    lambda first, further: (first, *further),
    st.sampled_from(FIRSTS),
    st.lists(st.sampled_from(FURTHER), max_size=2, unique=True),
)
CHILDREN = st.one_of(NAMED, st.sampled_from(COUNTED).map(lambda name: (name,)))
GENDERS = st.sampled_from(["male", "female", None])


def alike(one: str, other: str) -> bool:
    """Whether two words are one name: equal, or another spelling."""
    return one == other or same_name_otherwise_spelt(one, other)


def beyond(ours: tuple[str, ...], theirs: tuple[str, ...]) -> list[str]:
    """The words of `ours` that `theirs` has in no spelling."""
    return [one for one in ours if not any(alike(one, other) for other in theirs)]


def may_be_one(claimed: tuple[str, ...], held: tuple[str, ...]) -> bool:
    """Whether nothing in a claim tells its child from the record's: no word is another's."""
    if any(is_placeholder_given(" ".join(names)) for names in (claimed, held)):
        return False
    ours, theirs = name_parts(" ".join(claimed)), name_parts(" ".join(held))
    if alike(ours[0], theirs[0]):
        return not (beyond(ours, theirs) and beyond(theirs, ours))
    if not beyond(ours, theirs):
        return ours[0] in theirs[1:] and bool(beyond(theirs, ours))
    shorter, longer = sorted((ours[0], theirs[0]), key=len)
    short = longer.startswith(shorter) and perhaps_a_short_form(ours[0], theirs[0])
    return short and not (beyond(ours[1:], theirs[1:]) and beyond(theirs[1:], ours[1:]))


@having(CHILDREN, CHILDREN, GENDERS, GENDERS, st.sampled_from([None, 1, 2]), st.booleans())
def test_no_child_is_verified_as_a_twin_whom_the_claim_tells_apart(
    claimed: tuple[str, ...],
    held: tuple[str, ...],
    gender: str | None,
    held_gender: str | None,
    order: int | None,
    several: bool,
) -> None:
    """Family name, birth date and home are shared; whatever first name, further name or count the
    claim has and the record has not, the record is not verified."""
    assume(None in (gender, held_gender) or gender == held_gender)
    assume(not may_be_one(claimed, held))
    claim = replace(CLAIM, given=claimed, gender=gender)
    record = replace(RECORD, given=held, gender=held_gender, birth_order=order)
    assert not [one.rule for one in judged(claim, record, several=several) if one.verified]


@having(NAMED, NAMED, st.sampled_from([2, None]))
def test_of_known_twins_only_the_same_names_are_verified(
    claimed: tuple[str, ...], held: tuple[str, ...], order: int | None
) -> None:
    """Where PDS or the message tells of twins, all words must be there on both sides, in the same
    order but for spellings; an initial is no word."""
    ours, theirs = name_parts(" ".join(claimed)), name_parts(" ".join(held))
    assume(beyond(ours, theirs) or beyond(theirs, ours))
    assert not any(map(is_initial, (*ours, *theirs)))
    claim = replace(CLAIM, given=claimed)
    record = replace(RECORD, given=held, birth_order=order)
    found = judged(claim, record, several=order is None)
    assert not [one.rule for one in found if one.verified]


@pytest.mark.parametrize(
    ("claimed", "held"),
    [("Robin", "Robin Lee"), ("Robin L", "Robin Lee"), ("Robin Lee", "Robin"), ("Rob", "Robert"),
     ("Lee", "Robin Lee"), ("Mohammed", "Mohammed Ali"), ("Muhammad", "Mohammed"),
     ("Mohamed Hasan", "Muhammad Hassan"), ("Rob Lee", "Robert Lee"), ("Mary Jane", "Maryjane Lee"),
     ("Björn Lee", "Bjoern Lee"), ("Sara Jane", "Sarah"), ("Ben", "Benjamin James")],
)  # fmt: skip
def test_who_is_plainly_the_same_is_still_verified_by_number(claimed: str, held: str) -> None:
    """Nothing in the claim is another's: a left-out name, an initial, a spelling, a short form."""
    assert "pds.get.number_birth_date_names" in verified(claimed, held)


@pytest.mark.parametrize(
    ("sent", "held", "same"),
    [(2, 1, False), (1, 2, False), (2, 2, True), (1, 1, True), (None, 2, True), (2, None, True)],
)
def test_another_order_of_birth_is_the_other_twins(
    sent: int | None, held: int | None, same: bool
) -> None:
    """By search, whatever the names: both twins may stand in PDS by one name (the mother's, or one
    that brothers share). A whole name with the number beside it outweighs a slip in the order."""
    claim = replace(CLAIM, given=("Sarah",), multiple_birth=True, birth_order=sent)
    record = replace(RECORD, given=("Sarah",), birth_order=held)
    by_number, *by_search = judged(claim, record)
    assert by_number.verified
    assert {one.verified for one in by_search} == {same}
    if not same:
        assert {(one.verdict, one.rule) for one in by_search} == {
            ("potential", "pds.search.birth_order_differs")
        }


def test_a_newborns_own_whole_name_is_enough_by_search() -> None:
    """Two registered twins are called otherwise. Who is said to be one of several needs all the
    names that PDS has; and PDS's name alone must not be what unnamed twins share."""
    record = replace(RECORD, given=("Robin", "Grace"))
    said = replace(CLAIM, nhs_number=None, multiple_birth=True)
    for given, whole in (("Robin Grace", True), ("Robin", False), ("Robin Rose", False)):
        found = compare_search(
            replace(said, given=tuple(given.split())), record, score=1.0, manner=Manner()
        )
        assert found.verified is whole
    for unnamed in (("Baby",), ("Twin", "1"), ("Jane", "Baby")):
        claim, same = replace(said, given=unnamed), replace(record, given=unnamed)
        assert not compare_search(claim, same, score=1.0, manner=Manner()).verified
