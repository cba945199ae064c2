"""Given names that are one name: other spellings, and short forms.

Kept small on purpose. A spelling counts as the name in part, because no family calls two of its
children by two spellings of one name. A short form alone never does: it only says that a person
should look (Kate may be Katherine, or her sister). Nothing here is a list of who is who.
"""

from __future__ import annotations

from typing import Final

_SPELLINGS: Final = (
    "mohammed muhammad mohammad mohamed muhammed mohamad muhamad muhamed mohamud mahammad md mohd",
    "aisha ayesha aishah ayisha aysha",
    "fatima fatimah fathima fatema",
    "khadija khadijah khadeeja khadeejah",
    "amina aminah",
    "zainab zaynab zainub",
    "yusuf yousuf yousef yusef youssef yusof",
    "ibrahim ebrahim ibraheem",
    "ismail ismaeel ismaeil",
    "hussain hussein husain husayn",
    "hassan hasan",
    "abdullah abdallah abdulla",
    "usman uthman osman",
    "catherine katherine kathryn catharine katharine",
    "stephen steven",
    "sarah sara",
    "aidan aiden ayden",
    "zoe zoey",
    "philip phillip",
    "ann anne",
    "elizabeth elisabeth",
    "teresa theresa",
    "geoffrey jeffrey",
    "matthew mathew",
    "isobel isabel",
    "rebecca rebekah",
    "hannah hanna",
    "alan allan allen",
    "sean shaun shawn",
    "lewis louis",
    "nicolas nicholas",
    "frederick frederic fredrick",
)
_SHORT_FORMS: Final = (
    "abigail abi abby abbie",
    "alexander alex sandy xander alec sasha lex",
    "alexandra alex sandra sasha lexi alexa",
    "amelia millie milly mia amy",
    "andrew andy drew",
    "anthony tony ant",
    "benjamin ben benny benji",
    "bethany beth",
    "cameron cam",
    "catherine kate katie cathy kathy cat kitty",
    "charles charlie chas chuck",
    "charlotte charlie lottie lotty",
    "christine chris tina chrissie",
    "christopher chris kit topher",
    "daniel dan danny",
    "danielle dani danni",
    "david dave davy",
    "dominic dom",
    "dorothy dot dolly",
    "edward ed eddie ted teddy ned",
    "eleanor ellie nell nellie nora ella",
    "elizabeth liz lizzie beth betty eliza elsie libby bess lily",
    "emily em emmy millie",
    "finlay fin",
    "finley fin",
    "florence flo flossie florrie",
    "frances fran frankie",
    "francis frank frankie",
    "frederick fred freddie",
    "gabriel gabe gab",
    "gemma gem",
    "george georgie",
    "georgina georgie george gina",
    "harold harry hal",
    "henry harry hal hank",
    "isabel izzy bella",
    "isabella izzy bella ella isa",
    "jacob jake",
    "james jim jimmy jamie",
    "jasmine jas jaz",
    "jennifer jen jenny",
    "jessica jess jessie",
    "john jack johnny",
    "jonathan jon jonny johnny",
    "joseph joe joey",
    "joshua josh",
    "katherine kate katie kathy kitty kat",
    "kimberley kim",
    "lawrence larry laurie",
    "leonard leo len lenny",
    "lillian lily lil",
    "margaret maggie meg peggy margie greta daisy",
    "martha marty mattie",
    "mary molly polly may mae",
    "matilda tilly tilda mattie",
    "matthew matt matty",
    "maximilian max",
    "megan meg",
    "michael mike mick mickey",
    "nathaniel nat nate nathan",
    "nicholas nick nicky",
    "nicola nicky nikki",
    "oliver ollie olly",
    "olivia liv livvy ollie",
    "patricia pat patsy trish tricia",
    "patrick pat paddy",
    "penelope penny nell",
    "philip phil pip",
    "rebecca becky becca bex",
    "richard rick dick richie ricky",
    "robert rob bob bobby robbie bert",
    "ronald ron ronnie",
    "rosemary rose rosie",
    "samantha sam sammy",
    "samuel sam sammy",
    "sarah sally sadie",
    "sebastian seb",
    "stephen steve stevie",
    "susan sue susie suzy",
    "theodore theo ted teddy",
    "theresa terry tess tessa",
    "thomas tom tommy",
    "timothy tim timmy",
    "veronica ronnie vera",
    "victoria vicky tori vic",
    "william will bill billy liam willy",
    "zachary zach zak",
)


def _groups(lines: tuple[str, ...]) -> dict[str, frozenset[int]]:
    places: dict[str, set[int]] = {}
    for place, line in enumerate(lines):
        for name in line.split():
            places.setdefault(name, set()).add(place)
    return {name: frozenset(found) for name, found in places.items()}


_BY_SPELLING: Final = _groups(_SPELLINGS)
_BY_SHORT_FORM: Final = _groups(_SHORT_FORMS)
_NOWHERE: Final[frozenset[int]] = frozenset()


# First names that siblings share, and titles before a name: the further one tells them apart
_SHARED: Final = frozenset(_SPELLINGS[0].split()) | {
    *("abd", "abdul", "abdal", "abdel", "abdur", "abdus", "abu", "muhd", "ghulam", "hafiz"),
    *("syed", "sayed", "sayyid", "saiyid", "syeda", "sayeda", "sayyida", "saiyida"),
    *("mst", "mosammat", "mosamat", "mussammat", "musammat", "bibi", "begum", "umme", "ummi"),
    *("sheikh", "shaikh", "sk", "mir", "mirza", "sri", "shri", "kumari"),
}
# Short forms that are names of their own: twins may be called Nathan and Nathaniel
_OWN_NAMES: Final = frozenset({"alexa", "eliza", "frank", "nathan", "rose"})


def shared_by_siblings(name: str) -> bool:
    """True for a first name that families give to several children. A normalised name."""
    return name in _SHARED


def same_name_otherwise_spelt(one: str, other: str) -> bool:
    """True for two spellings of one given name. Both are normalised names."""
    found = _BY_SPELLING.get(one, _NOWHERE) & _BY_SPELLING.get(other, _NOWHERE)
    return one != other and bool(found)


def perhaps_a_short_form(one: str, other: str) -> bool:
    """True if one is used for the other, or both for a third. Both are normalised names."""
    found = _BY_SHORT_FORM.get(one, _NOWHERE) & _BY_SHORT_FORM.get(other, _NOWHERE)
    return one != other and bool(found)


def begins_as_short_form(one: str, other: str) -> bool:
    """True if one is a short form that the other begins with (Rob, Robert), and no name of its own.
    Both are normalised names.
    """
    shorter, longer = sorted((one, other), key=len)
    if not longer.startswith(shorter) or shorter in _OWN_NAMES:
        return False
    return perhaps_a_short_form(one, other)
