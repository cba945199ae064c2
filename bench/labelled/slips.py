"""How what is true becomes what is typed."""

from __future__ import annotations

import random
import unicodedata
from typing import Final

from halyard.names import normalise_name
from halyard.nhs_number import check_digit

# Ordinary English short forms, not taken from any list that the product has
NICKNAMES: Final = {
    "Alexander": "Alex", "Andrew": "Andy", "Anthony": "Tony", "Benjamin": "Ben",
    "Catherine": "Kate", "Charles": "Charlie", "Christopher": "Chris", "Daniel": "Danny",
    "Dorothy": "Dot", "Edward": "Ted", "Eleanor": "Nell", "Elizabeth": "Beth",
    "Frances": "Fran", "Frederick": "Freddie", "Gabriel": "Gabe", "Harold": "Harry",
    "Henry": "Harry", "Isabella": "Bella", "Jacqueline": "Jackie", "James": "Jim",
    "Jennifer": "Jenny", "Jonathan": "Jon", "Joseph": "Joe", "Joshua": "Josh",
    "Katherine": "Katie", "Lawrence": "Larry", "Lillian": "Lily", "Margaret": "Maggie",
    "Matthew": "Matt", "Michael": "Mike", "Nathaniel": "Nate", "Nicholas": "Nick",
    "Patricia": "Trish", "Penelope": "Penny", "Rebecca": "Becky", "Richard": "Dick",
    "Robert": "Bob", "Samuel": "Sam", "Susannah": "Sue", "Theodore": "Teddy",
    "Thomas": "Tom", "Victoria": "Vicky", "William": "Bill", "Zachary": "Zac",
}  # fmt: skip
_GIRLS: Final = frozenset(
    {"Catherine", "Dorothy", "Eleanor", "Elizabeth", "Frances", "Isabella", "Jacqueline"}
    | {"Jennifer", "Katherine", "Lillian", "Margaret", "Patricia", "Penelope", "Rebecca"}
    | {"Susannah", "Victoria"}
)
PLACEHOLDERS: Final = ("Baby", "Baby Girl", "Baby Boy", "Infant", "Twin 1", "Twin II", "B/O Ann")


def formal_name(rng: random.Random, gender: str) -> str:
    """A given name that has a short form."""
    girls = gender == "female"
    return rng.choice([name for name in NICKNAMES if (name in _GIRLS) is girls])


def mistype(rng: random.Random, name: str) -> tuple[str, str]:
    """The name with one letter inserted, deleted, substituted or transposed, and which it was.

    What is compared of it differs from the name's.
    """
    letters = "abcdefghijklmnopqrstuvwxyz"
    while True:
        kind = rng.choice(("insert", "delete", "substitute", "transpose"))
        at = rng.randrange(len(name))
        if kind == "insert":
            typed = name[:at] + rng.choice(letters) + name[at:]
        elif kind == "delete":
            typed = name[:at] + name[at + 1 :]
        elif kind == "substitute":
            typed = name[:at] + rng.choice(letters) + name[at + 1 :]
        else:
            typed = name[:at] + name[at : at + 2][::-1] + name[at + 2 :]
        if normalise_name(typed) not in ("", normalise_name(name)):
            return typed, kind


def mistype_number(rng: random.Random, number: str) -> str:
    """One digit other, or two neighbours transposed: modulus 11 finds each of these."""
    while True:
        at = rng.randrange(9)
        digits = list(number)
        if rng.random() < 0.5:
            digits[at] = rng.choice("0123456789")
        else:
            digits[at], digits[at + 1] = digits[at + 1], digits[at]
        if (typed := "".join(digits)) != number:
            return typed


def other_number(rng: random.Random, number: str) -> str:
    """A number one digit away that is valid: its check digit is another too."""
    while True:
        at = rng.randrange(2, 9)
        nine = number[:at] + rng.choice("0123456789") + number[at + 1 : 9]
        digit = check_digit(nine)
        if nine != number[:9] and digit is not None:
            return f"{nine}{digit}"


def plain(name: str) -> str:
    """As somebody types it who has no key for accents."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def restyle(rng: random.Random, name: str) -> str:
    """The same name in another hand: capitals, no accents, hyphens as spaces, no apostrophes."""
    ways = (str.upper, str.lower, plain, lambda text: plain(text).upper())
    typed = rng.choice(ways)(name)
    if rng.random() < 0.5:
        typed = typed.replace("-", " ")
    if rng.random() < 0.5:
        typed = typed.replace("'", rng.choice(("’", "", " "))).replace("’", "")
    return typed


def swap_day_and_month(birth_date: str) -> str:
    """A whole date with day and month exchanged; the caller asks only where that is a date."""
    return f"{birth_date[:4]}-{birth_date[8:]}-{birth_date[5:7]}"


def border_number(rng: random.Random, *, scottish: bool) -> str:
    """A valid Scottish CHI (day, month and year in front) or Northern Irish number."""
    while True:
        if scottish:
            front = f"{rng.randint(1, 28):02}{rng.randint(1, 12):02}{rng.randint(8, 25):02}"
        else:
            front = f"{rng.randint(320_001, 399_999)}"
        nine = f"{front}{rng.randint(0, 999):03}"
        if (digit := check_digit(nine)) is not None:
            return f"{nine}{digit}"
