"""Invented families and given names, with the ways in which people write them otherwise."""

from __future__ import annotations

import random
from typing import Final

# fmt: off
_STARTS: Final = ("Ack", "Barr", "Cald", "Dray", "Ever", "Fal", "Grim", "Hals", "Ing", "Kel",
                  "Lang", "Mel", "Nether", "Ot", "Pend", "Quarr", "Rams", "Scar", "Thorn", "Ul",
                  "Wether", "Yar")
_ENDS: Final = ("beck", "bourne", "by", "den", "field", "gate", "ham", "land", "man", "more",
                "shaw", "son", "thwaite", "ton", "well", "worth")
GIVEN: Final = {
    "female": ("Katherine", "Elizabeth", "Aaliyah", "Isabella", "Charlotte", "Fatima", "Zofia",
               "Ella", "Mia", "Amelia", "Olivia", "Aisha", "Poppy", "Sophie", "Chloe", "Maryam",
               "Evie", "Freya", "Niamh", "Rebecca", "Hannah", "Zainab", "Grace", "Lily", "Rosie",
               "Matilda", "Anastasia", "Ngozi", "Priya", "Yasmin", "Megan", "Abigail", "Caitlin",
               "Thea", "Imogen", "Layla", "Bethany", "Safiya", "Eloise", "Iris"),
    "male": ("Mohammed", "William", "Alexander", "Benjamin", "Theodore", "Joseph", "Samuel",
             "Daniel", "Oliver", "Noah", "Jayden", "Aiden", "Ibrahim", "Yusuf", "Jakub", "Arthur",
             "Harrison", "Zachary", "Nathaniel", "Callum", "Rhys", "Finley", "Ethan", "Kofi",
             "Arjun", "Luca", "Toby", "Edward", "Frederick", "George", "Isaac", "Kian", "Leon",
             "Matthew", "Reuben", "Stefan", "Thomas", "Umar", "Vincent", "Elijah"),
}
NICKNAMES: Final = {
    "Katherine": "Kate", "Elizabeth": "Beth", "Isabella": "Bella", "Charlotte": "Lottie",
    "Rebecca": "Becky", "Matilda": "Tilly", "Abigail": "Abi", "Bethany": "Beth",
    "William": "Billy", "Alexander": "Sasha", "Benjamin": "Ben", "Theodore": "Teddy",
    "Joseph": "Joe", "Samuel": "Sam", "Daniel": "Danny", "Harrison": "Harry", "Zachary": "Zach",
    "Nathaniel": "Nate", "Edward": "Ned", "Frederick": "Freddie", "Matthew": "Matt",
    "Thomas": "Tom",
}
SPELLINGS: Final = {
    "Mohammed": "Muhammad", "Katherine": "Catherine", "Aaliyah": "Aliyah", "Isabella": "Izabela",
    "Fatima": "Fatimah", "Aisha": "Ayesha", "Sophie": "Sofie", "Maryam": "Mariam",
    "Evie": "Eevie", "Niamh": "Neeve", "Zainab": "Zaynab", "Caitlin": "Kaitlyn",
    "Jayden": "Jaiden", "Aiden": "Ayden", "Yusuf": "Yousef", "Jakub": "Jacob", "Callum": "Calum",
    "Rhys": "Reece", "Finley": "Finlay", "Luca": "Luka", "Toby": "Tobi", "Isaac": "Isaak",
    "Kian": "Cian", "Safiya": "Saffiya", "Layla": "Leila", "Thea": "Theia",
}
# Twins are given names like these; each pair is of two children
ALIKE: Final = {
    "female": (("Ella", "Ellie"), ("Mia", "Mya"), ("Amelia", "Emilia"), ("Layla", "Kayla"),
               ("Tia", "Mia")),
    "male": (("Jayden", "Hayden"), ("Aiden", "Caiden"), ("Hassan", "Hussain")),
}
# fmt: on
FAMILIES: Final = tuple(start + end for end in _ENDS for start in _STARTS)
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def family(chance: random.Random) -> str:
    """A family name: a few are very common, most are rare; some are double-barrelled."""
    one = FAMILIES[int(len(FAMILIES) * chance.random() ** 2)]
    if chance.random() < 0.05:
        return f"{one}-{FAMILIES[int(len(FAMILIES) * chance.random() ** 2)]}"
    return one


def given(chance: random.Random, sex: str) -> str:
    """A given name; a few are common."""
    names = GIVEN[sex]
    return names[int(len(names) * chance.random() ** 1.5)]


def alike(chance: random.Random, sex: str) -> tuple[str, str]:
    """Two names of twins that differ by little."""
    one, other = chance.choice(ALIKE[sex])
    return (one, other) if chance.random() < 0.5 else (other, one)


def slip(chance: random.Random, text: str) -> str:
    """The text with one letter wrong, left out, doubled or exchanged with its neighbour."""
    at = chance.randrange(1, len(text)) if len(text) > 1 else 0
    how = chance.randrange(4)
    if how == 0:
        return text[:at] + chance.choice(_LETTERS) + text[at + 1 :]
    if how == 1 and len(text) > 3:
        return text[:at] + text[at + 1 :]
    if how == 2 or at + 1 >= len(text):
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
