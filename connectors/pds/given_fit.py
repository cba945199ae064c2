"""How the given names of a claim fit those of a record: what may be one child, and what twins.

Pure. First names decide first; then further names, word by word: what either side has beyond the
other may be what tells twins apart. No slip and no beginning of a word counts among further names
(Mohammed Zain, Mohammed Zaid; Mohammed Ali, Mohammed Alistair).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from connectors.pds.agreement import Agreement
from halyard.given_names import (
    begins_as_short_form,
    perhaps_a_short_form,
    same_name_otherwise_spelt,
    shared_by_siblings,
)
from halyard.names import (
    beside_placeholder,
    counts_children,
    is_initial,
    is_placeholder_given,
    name_forms,
    name_parts,
    name_words,
    normalise_name,
    slips,
)

_SHORTEST_PREFIX: Final = 3
_SHORTEST_SLIP: Final = 4  # letters: Mia and Mya are two names, not a slip
_MOST_JOINED: Final = 3  # words that the other side writes as one


class GivenFit(StrEnum):
    """How given names stand to each other, the best first."""

    WHOLE = "whole"  # the first names are the same, and further ones do not contradict
    SPELLING = "spelling"  # Mohammed, Muhammad
    SHARED = "shared"  # Mohammed, Mohammed Ali: one side has only what siblings share
    FORMER = "former"  # a name of before, and the one in use is another
    PREFIX = "prefix"  # Rob, Robert: a short form that the other begins with
    MIDDLE = "middle"  # one side's first name is a further one of the other
    ORDER = "order"  # the same names the other way round: twins may share them
    FURTHER = "further"  # Mohammed Hassan, Mohammed Hussain: the same first name, others differ
    SILENT = "silent"  # one side has no name, or only an initial that fits
    PLACEHOLDER = "placeholder"
    BESIDE = "beside"  # Baby Jack, Harry: the word beside the placeholder may be another child's
    NEAR = "near"
    OTHER = "other"

    @property
    def agreement(self) -> Agreement:
        """The same in the words of every field."""
        return _AS_AGREEMENT[self]


@dataclass(frozen=True, slots=True)
class Given:
    """A fit, and which side has words beyond the other's: `more` the claim, `less` the record."""

    fit: GivenFit
    more: bool = False
    less: bool = False


_AS_AGREEMENT: Final = {
    GivenFit.WHOLE: Agreement.AGREES,
    GivenFit.SPELLING: Agreement.PARTLY,
    GivenFit.SHARED: Agreement.PARTLY,
    GivenFit.FORMER: Agreement.PARTLY,
    GivenFit.PREFIX: Agreement.PARTLY,
    GivenFit.MIDDLE: Agreement.PARTLY,
    GivenFit.ORDER: Agreement.PARTLY,
    GivenFit.FURTHER: Agreement.PARTLY,
    GivenFit.SILENT: Agreement.ABSENT,
    GivenFit.PLACEHOLDER: Agreement.PLACEHOLDER,
    GivenFit.BESIDE: Agreement.NEARLY,
    GivenFit.NEAR: Agreement.NEARLY,
    GivenFit.OTHER: Agreement.DIFFERS,
}
_BEST_FIRST: Final = list(GivenFit)
_TOLD: Final = (GivenFit.WHOLE, GivenFit.SPELLING, GivenFit.PREFIX, GivenFit.NEAR)
_ANOTHER: Final = (GivenFit.ORDER, GivenFit.FURTHER, GivenFit.NEAR, GivenFit.OTHER)


def fit_given(
    claimed: tuple[str, ...],
    held: tuple[tuple[str, ...], ...],
    *,
    gender: Agreement = Agreement.AGREES,
) -> GivenFit:
    """`weigh_given`'s fit alone."""
    return weigh_given(claimed, held, gender=gender).fit


def compare_given(
    claimed: tuple[str, ...],
    held: tuple[tuple[str, ...], ...],
    *,
    gender: Agreement = Agreement.AGREES,
) -> Agreement:
    """Given names against each set of a record's, as an agreement."""
    return fit_given(claimed, held, gender=gender).agreement


def weigh_given(
    claimed: tuple[str, ...],
    held: tuple[tuple[str, ...], ...],
    *,
    gender: Agreement = Agreement.AGREES,
    families: tuple[str | None, ...] = (),
) -> Given:
    """The best fit of given names with a set of a record's; the first set is the one in use.

    Rob and Robert fit if `gender` agrees; Ann and Annabel, or Daniel and Danielle, may be twins. An
    initial says nothing, unless it is a wrong one, or further names differ. A further name that
    both have (Casey Marie, Corey Marie) is no fit. A name of before counts only by what it says: an
    initial among old names, or an old name that says less, does not outvote the name in use.

    A placeholder is no name, but a word beside it may be (Baby Jack): where the other side has
    other words, it is `BESIDE`, unless they are `families`, those of claim and record.
    """
    held = tuple(names for names in held if names)
    if not any(each.strip() for each in claimed) or not held:
        return Given(GivenFit.SILENT)
    if is_placeholder_given(" ".join(claimed)) or is_placeholder_given(" ".join(held[0])):
        return Given(_fit_beside(claimed, held, families))
    now, *others = (_fit(claimed, names, gender) for names in held)
    before = min((one for one in others if one.fit in _TOLD), key=_rank, default=now)
    if _rank(before) >= _rank(now) or now.fit is GivenFit.SHARED:
        return now
    if now.fit not in _ANOTHER:
        return before
    if before.fit is GivenFit.WHOLE and not before.more:
        return replace(before, fit=GivenFit.FORMER)
    return Given(GivenFit.NEAR) if now.fit is GivenFit.OTHER else now


def tells_of_several(*given: tuple[str, ...]) -> bool:
    """Whether given names say that their child is one of twins or more ("Twin 2", "Baby B")."""
    return any(counts_children(" ".join(names)) for names in given)


def _fit_beside(
    claimed: tuple[str, ...], held: tuple[tuple[str, ...], ...], families: tuple[str | None, ...]
) -> GivenFit:
    """Never agreement: what is the same may be the mother's name on both sides, of two children."""
    shared = {part for family in families for part in name_parts(family)}
    ours, theirs = _own_words(claimed, shared), _own_words(held[0], shared)
    if not ours or not theirs:
        return GivenFit.PLACEHOLDER
    before = filter(None, (_own_words(names, shared) for names in held[1:]))
    same = any(_same_words(ours, names) for names in (theirs, *before))
    return GivenFit.PLACEHOLDER if same else GivenFit.BESIDE


def _own_words(given: tuple[str, ...], shared: set[str]) -> tuple[str, ...]:
    text = " ".join(given)
    if not is_placeholder_given(text):
        return name_words(text)
    return tuple(one for one in beside_placeholder(text) if normalise_name(one) not in shared)


def _same_words(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    fit = _fit(ours, theirs, Agreement.AGREES)
    return fit in (Given(GivenFit.WHOLE), Given(GivenFit.SPELLING))


def _rank(one: Given) -> int:
    return _BEST_FIRST.index(one.fit)


@dataclass(frozen=True, slots=True)
class _Word:
    """A part of a given name: as it is compared first, and all its forms."""

    name: str
    forms: frozenset[str]

    @classmethod
    def of(cls, *written: str) -> _Word:
        text = " ".join(written)
        return cls(normalise_name(text), name_forms(text))

    def equals(self, other: _Word) -> bool:
        return bool(self.forms & other.forms)

    def same(self, other: _Word) -> bool:
        return self.equals(other) or same_name_otherwise_spelt(self.name, other.name)

    def initial_of(self, other: _Word) -> bool:
        return is_initial(self.name) and other.name.startswith(self.name)


def _fit(claimed: tuple[str, ...], held: tuple[str, ...], gender: Agreement) -> Given:
    ours, theirs = name_words(" ".join(claimed)), name_words(" ".join(held))
    if not ours or not theirs:
        return Given(GivenFit.SILENT)
    whole = _Word.of(*ours)
    if whole.equals(_Word.of(*theirs)) and not is_initial(whole.name):
        return Given(GivenFit.WHOLE)
    (one, our_further), (other, their_further) = _aligned(ours, theirs)
    differ, more, less = _further(our_further, their_further)
    fit = _fit_first(one, other, gender)
    if fit in (GivenFit.OTHER, GivenFit.NEAR) and not (
        is_initial(one.name) or is_initial(other.name)
    ):
        elsewhere = _elsewhere(ours, theirs)
        if elsewhere is not None:
            return elsewhere
    if fit in (GivenFit.OTHER, GivenFit.NEAR):
        return Given(fit)
    if differ:
        return Given(GivenFit.FURTHER)
    named = fit in (GivenFit.WHOLE, GivenFit.SPELLING)
    if named and (more or less) and _shared(one, other):
        fit = GivenFit.SHARED
    return Given(fit, more, less)


def _fit_first(one: _Word, other: _Word, gender: Agreement) -> GivenFit:
    if is_initial(one.name) or is_initial(other.name):
        return GivenFit.SILENT if one.name[0] == other.name[0] else GivenFit.OTHER
    if one.equals(other):
        return GivenFit.WHOLE
    if same_name_otherwise_spelt(one.name, other.name):
        return GivenFit.SPELLING
    shorter, longer = sorted((one.name, other.name), key=len)
    begins = longer.startswith(shorter)
    short_form = begins_as_short_form(one.name, other.name)
    if short_form and gender is Agreement.AGREES and len(shorter) >= _SHORTEST_PREFIX:
        return GivenFit.PREFIX
    if begins or perhaps_a_short_form(one.name, other.name):
        return GivenFit.OTHER if gender is Agreement.DIFFERS else GivenFit.NEAR
    slipped = len(shorter) >= _SHORTEST_SLIP and slips(one.name, other.name, at_most=1) is not None
    return GivenFit.NEAR if slipped else GivenFit.OTHER


def _shared(one: _Word, other: _Word) -> bool:
    return shared_by_siblings(one.name) or shared_by_siblings(other.name)


_Named = tuple[_Word, list[_Word]]


def _aligned(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[_Named, _Named]:
    """First and further names of both sides; the first is several words if the other side writes
    these as one (Mary Jane, Maryjane)."""
    joined = range(2, _MOST_JOINED + 1)
    for left, right in ((1, 1), *((1, n) for n in joined), *((n, 1) for n in joined)):
        one, other = _Word.of(*ours[:left]), _Word.of(*theirs[:right])
        if one.equals(other):
            break
    else:
        left = right = 1
    return _named(ours, left), _named(theirs, right)


def _named(words: tuple[str, ...], first: int) -> _Named:
    return _Word.of(*words[:first]), [_Word.of(word) for word in words[first:]]


def _further(ours: list[_Word], theirs: list[_Word]) -> tuple[bool, bool, bool]:
    """Whether both sides have words that the other has not; and whether ours has, or theirs.

    An initial is not another's word if it fits; the word it stands for says more than it.
    """
    left, right = _without(ours, theirs, _Word.same)
    if (
        left
        and right
        and _Word.of(*(one.name for one in left)).equals(_Word.of(*(one.name for one in right)))
    ):
        return False, False, False
    beyond, behind = _without(left, right, _Word.initial_of)
    less = len(beyond) < len(left)
    behind, unsaid = _without(behind, beyond, _Word.initial_of)
    more = len(unsaid) < len(beyond)
    return bool(unsaid and behind), more or bool(unsaid), less or bool(behind)


def _without(
    ours: list[_Word], theirs: list[_Word], fits: Callable[[_Word, _Word], bool]
) -> tuple[list[_Word], list[_Word]]:
    """Both lists without the pairs that fit, each word used once."""
    left, right = list[_Word](), list(theirs)
    for one in ours:
        found = next((other for other in right if fits(one, other)), None)
        if found is None:
            left.append(one)
        else:
            right.remove(found)
    return left, right


def _elsewhere(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Given | None:
    """One side's first name is a further one of the other; None if it is not."""
    one, other = [_Word.of(word) for word in ours], [_Word.of(word) for word in theirs]
    if not (any(one[0].equals(word) for word in other) or any(other[0].equals(w) for w in one)):
        return None
    more, less = _without(one, other, _Word.same)
    if not more and not less:
        return Given(GivenFit.ORDER)
    if more and less:
        return Given(GivenFit.OTHER)
    return Given(GivenFit.MIDDLE, bool(more), bool(less))
