"""Names and postcodes, made comparable.

A normalised name has no case, accents, hyphens, apostrophes or spaces: ``O'Brien-Zoë`` and
``OBRIEN ZOE`` are the same. Nothing here decides who somebody is; `connectors.pds.comparison`
and the identity ladder do, with these functions.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise, takewhile
from typing import Final

# Letters that NFKD leaves whole although people type them plain
_PLAIN: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ħ": "h", "ı": "i"}
    | {"ŧ": "t", "ŋ": "n", "ə": "e", "ĸ": "k", "ƙ": "k", "ɗ": "d", "ɓ": "b", "ƴ": "y", "ɩ": "i"}
)
# The other way in which passports and German or Danish keyboards write the same letters
_WRITTEN_OUT: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
# Letters of other alphabets that look like a Latin one; both cases, because they differ in which
_LOOK_LATIN: Final = dict(
    zip(
        "АВЕКМНОРСТУХІЈЅ" + "аеорсухіјѕԁһ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "ο",
        "ABEKMHOPCTYXIJS" + "aeopcyxijsdh" + "ABEZHIKMNOPTYX" + "o",
        strict=True,
    )
)
_LOOK_CYRILLIC: Final = dict(
    zip(
        "ABEKMHOPCTYXIJS" + "aeopcyxijs",
        "АВЕКМНОРСТУХІЈЅ" + "аеорсухіјѕ",
        strict=True,
    )
)
_BRACKETED: Final = re.compile(r"[(\[][^)\]]*[)\]]")
_BETWEEN_PARTS: Final = re.compile(r"[\s\-\u2010-\u2015\u2212/.,&+_\u00b7]+")
_WORDS: Final = re.compile(r"[^\W\d_]+|\d+")
_SLASHED: Final = re.compile(r"^\s*(b\s*/\s*o|n\s*/\s*[ak])\b", re.IGNORECASE)
_POSTCODE: Final = re.compile(r"([A-Z]{1,2}[0-9][A-Z0-9]?)([0-9][A-Z]{2})", re.ASCII)
_LONGEST_COMPARED: Final = 64

# Parts of family names that very many share: alone they say nothing of whose name it is
_COMMON_PARTS: Final = frozenset(
    {"van", "von", "der", "den", "ten", "ter", "del", "della", "di", "da", "dos", "das", "des"}
    | {"de", "du", "la", "le", "los", "las", "san", "santa", "st", "saint", "the", "ap", "ab"}
    | {"al", "el", "ul", "ur", "ud", "din", "abd", "abdul", "abu", "bin", "ibn", "bint", "ben"}
    | {"mac", "mc", "fitz", "singh", "kaur", "bibi", "begum", "khatun", "khatoon", "senior"}
    | {"junior", "snr", "jnr"}
)

# A given name with one of these says nothing about which child it is, or not for certain: what
# stands beside may be the child's name, the mother's, or the family's
_LEADING: Final = frozenset(
    {"baby", "babe", "bb", "infant", "newborn", "neonate", "unborn", "fetus", "foetus"}
    | {"twin", "twins", "triplet", "triplets", "quad", "quads", "quadruplet", "quadruplets"}
    | {"bby", "bg", "nb", "inf", "mif", "fif", "bboy", "bgirl", "bebe", "ubb", "ubg", "newbaby"}
    | {"liveborn", "livebirth", "stillborn", "stillbirth", "neonatal"}
    | {"mtwin", "ftwin", "minfant", "finfant", "mbaby", "fbaby"}
)
# Whose boy, or a boy of what number: as the first or last word of several they name nobody either
_NOUNS: Final = frozenset({"boy", "girl", "son", "daughter", "child", "male", "female"})
_FILLERS: Final = frozenset(
    {"male", "female", "boy", "girl", "child", "son", "daughter", "of"}
    | {"unknown", "unk", "unnamed", "noname", "nk", "nka", "nn", "none", "x", "xx", "xxx"}
    | {"no", "not", "name", "known", "given", "yet", "st", "nd", "rd", "th"}
    | {"forename", "stated", "specified", "unspecified", "un", "named"}
    | {"notnamed", "notknown", "notstated", "awaiting", "awaited", "tba", "tbc", "fnu", "lnu"}
    | {"nfn", "anon", "anonymous", "fi", "mi", "lb", "live", "birth", "born", "iof"}
    | {"nofirstname", "firstname", "nameless", "nil", "pending", "tbd", "naming", "sibling"}
    | {"prem", "premature", "preterm"}
)
_ROMAN: Final = frozenset({"i", "ii", "iii", "iv"})
# Which of several
_NUMBERS: Final = _ROMAN - {"i"} | {
    *("one", "two", "three", "four", "five", "six"),
    *("first", "second", "third", "fourth", "fifth", "sixth"),
}
_BEFORE_NUMBERS: Final = frozenset({"b", "t", "tw", "tr", "g", "m", "f"})
# Twinkle is a name, and so is Quadir
_SEVERAL: Final = re.compile(r"[mf]?twin(?!k)|triplet|quad(s|ruplets?)?$|(quin|sex)tuplet")
# Words that are written as one with others; before a single letter only those that no name begins
_LETTERED: Final = frozenset(
    {"baby", "twin", "triplet", "quad", "mtwin", "ftwin", "minfant", "finfant", "mbaby", "fbaby"}
)
_STARTS: Final = tuple(
    sorted(
        {word for word in _LEADING | _NOUNS if len(word) >= 3}
        | {"unnamed", "unknown", "first", "second", "third"},
        key=len,
        reverse=True,
    )
)
_ENDS: Final = _NUMBERS | {"of", "unnamed", "unknown", "noname"}


def normalise_name(text: str | None) -> str:
    """Casefold, strip accents, punctuation, spaces and anything in brackets; "" if none is left.

    Idempotent. Letters of other alphabets stay as they are.
    """
    if not text:
        return ""
    if text.isascii() and text.isalpha():  # most are: nothing to undo
        return text.lower()
    return _fold(without_brackets(text))


def without_brackets(text: str) -> str:
    """A name without notes in brackets ("Smith (was Jones)"), unless nothing else is there."""
    rest = _BRACKETED.sub(" ", text).strip()
    return rest if _fold(rest) else text.strip()


def name_forms(text: str | None) -> frozenset[str]:
    """A name normalised, and as it is where umlauts and rings are written out (Müller, Mueller).

    Two names are the same if they share a form. Empty where `normalise_name` is.
    """
    if not text:
        return frozenset()
    composed = unicodedata.normalize("NFKC", without_brackets(text)).casefold()
    forms = {normalise_name(text), _fold(composed.translate(_WRITTEN_OUT))}
    return frozenset(form for form in forms if form)


def _fold(text: str) -> str:
    decomposed = _one_alphabet(unicodedata.normalize("NFKD", text)).casefold().translate(_PLAIN)
    decomposed = unicodedata.normalize("NFKD", decomposed).casefold()
    kept = [
        letter
        for letter in decomposed
        if (letter.isalnum() and not _apostrophe(letter))
        or (unicodedata.category(letter)[0] == "M" and not _accent(letter))
    ]
    return "".join(kept)


def _one_alphabet(text: str) -> str:
    """Undo look-alikes: a name of Latin letters with a Cyrillic or Greek one among them, typed on
    another keyboard or copied, is the Latin name; and the other way round.
    """
    others = {letter for letter in text if "\u0370" <= letter <= "\u052f" and letter.isalpha()}
    if not others:
        return text
    latin = {letter for letter in text if letter.isascii() and letter.isalpha()}
    if not latin:
        return text
    if others <= _LOOK_LATIN.keys():
        return "".join(_LOOK_LATIN.get(letter, letter) for letter in text)
    if latin <= _LOOK_CYRILLIC.keys():
        return "".join(_LOOK_CYRILLIC.get(letter, letter) for letter in text)
    return text


def _apostrophe(letter: str) -> bool:
    """Letters by Unicode, apostrophes by use: ʻ and ʼ in OʼBrien, Hawaiian, Arabic."""
    return "\u02b0" <= letter <= "\u02ff"


def _accent(letter: str) -> bool:
    return unicodedata.combining(letter) != 0


def name_parts(text: str | None) -> tuple[str, ...]:
    """The normalised parts of a name between spaces and hyphens: ``Smith-Jones`` is two."""
    return tuple(normalise_name(part) for part in name_words(text))


def name_words(text: str | None) -> tuple[str, ...]:
    """`name_parts` as they are written."""
    if not text:
        return ()
    parts = _BETWEEN_PARTS.split(without_brackets(text))
    return tuple(part for part in parts if normalise_name(part))


def telling_parts(text: str | None) -> tuple[str, ...]:
    """`name_parts` that tell whose name it is: not van, bin, Mc, Kaur; three letters or more."""
    return tuple(part for part in name_parts(text) if len(part) >= 3 and part not in _COMMON_PARTS)


def is_initial(name: str) -> bool:
    """True for a single letter of a normalised name; an ideograph is a whole name."""
    return len(name) == 1 and unicodedata.category(name) != "Lo"


def slips(one: str, other: str, *, at_most: int) -> int | None:
    """How many slips of the pen lie between two normalised names; None if more than `at_most`.

    A slip is a letter added, left out or replaced, or two neighbours exchanged. Symmetric.
    """
    if max(len(one), len(other)) > _LONGEST_COMPARED or abs(len(one) - len(other)) > at_most:
        return 0 if one == other else None
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, left in enumerate(one, start=1):
        here = [row]
        for column, right in enumerate(other, start=1):
            cost = min(last[column] + 1, here[column - 1] + 1, last[column - 1] + (left != right))
            crossed = row > 1 and column > 1 and one[row - 2] == right and left == other[column - 2]
            here.append(min(cost, before[column - 2] + 1) if crossed else cost)
        before, last = last, here
    return last[-1] if last[-1] <= at_most else None


def is_placeholder_given(text: str | None) -> bool:
    """True for what stands where a given name is not known: Baby, Twin 1, B/O Ann, Jane Baby, NK.

    Errs towards True: a placeholder is never agreement, so an error costs a person's look, not a
    wrong match. An absent or empty name is a placeholder too. Words written as one (MaleInfant,
    TwinOne) are taken apart.
    """
    if not text or _SLASHED.match(text):
        return True
    words = _taken_apart(text)
    if not words or "of" in words or _names_nobody(words[0]):
        return True
    if _counts(words[0]) and any(map(_names_nobody, words[1:])):  # 2nd twin, first baby
        return True
    if words[0] in _BEFORE_NUMBERS and words[1:] and _counts(words[1]):  # B1, T2, Tw1
        return True
    if words[0] == "bo" and words[1:]:  # baby of; alone it is a name
        return True
    if _ends_with_nobody(_taken_apart(without_brackets(text))):  # Jane Baby, Smith Boy 2
        return True
    return all(word in _FILLERS or _counts(word) or word in _LEADING for word in words)


def counts_children(text: str | None) -> bool:
    """True if a given name says which of several children: Twin B, TripletC, Baby 2, Second Baby.

    A word for twins is enough, whatever stands beside it; a number, or a single letter after the
    word for a child, only where the whole is a placeholder.
    """
    if not text:
        return False
    words = _taken_apart(_SLASHED.sub("", text))
    if any(_SEVERAL.match(word) for word in words):
        return True
    if not is_placeholder_given(text):
        return False
    after = pairwise(words)
    return any(_counts(word) for word in words) or any(
        _names_nobody(one) and is_initial(other) for one, other in after
    )


def beside_placeholder(text: str | None) -> tuple[str, ...]:
    """The words of a placeholder that may be the child's own name: Jack of Baby Jack 2.

    They may be the mother's, too, or another family name. What follows "of" is the mother's.
    """
    if not text or _SLASHED.match(text):
        return ()
    words = takewhile(lambda word: word != "of", _taken_apart(without_brackets(text)))
    return tuple(
        word
        for word in words
        if not (_names_nobody(word) or _counts(word) or word in _FILLERS or is_initial(word))
    )


def _ends_with_nobody(words: tuple[str, ...]) -> bool:
    """Whether a word for any child is last but for a count, or one for a baby is anywhere."""
    last = next((w for w in reversed(words) if not (_counts(w) or is_initial(w))), "")
    return last in _NOUNS or any(word in _LEADING for word in words)


def _names_nobody(word: str) -> bool:
    return word in _LEADING or word in _NOUNS


def _counts(word: str) -> bool:
    return word.isdecimal() or word in _NUMBERS


def _taken_apart(text: str) -> tuple[str, ...]:
    """The words and numbers of a given name, and of those written as one each known word."""
    found = _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())
    return tuple(piece for word in found for piece in _pieces(word) or (word,))


def _pieces(word: str) -> tuple[str, ...]:
    """Twin and two of TwinTwo, baby and b of BabyB; none of what is not known throughout."""
    if len(word) > _LONGEST_COMPARED:
        return ()
    for first in _STARTS:
        rest = word.removeprefix(first)
        if rest == word:
            continue
        if not rest:
            return (first,)
        if first in _LETTERED and (len(rest) == 1 or rest in _ROMAN):
            return first, rest
        if first in ("boy", "girl") and rest in ("a", "b", "c"):  # Boyd is a name
            return first, rest
        if further := _pieces(rest):
            return first, *further
        if rest in _ENDS:
            return first, rest
    return ()


def normalise_postcode(text: str | None) -> str | None:
    """A full postcode as ``AB1 2CD``, else None.

    None, too, for the pseudo-postcodes ZZ99 (no fixed abode, not known): they are no place.
    """
    compact = re.sub(r"[\s\-.]+", "", text or "").upper()
    match = _POSTCODE.fullmatch(compact)
    if match is None or match[1] == "ZZ99":
        return None
    return f"{match[1]} {match[2]}"
