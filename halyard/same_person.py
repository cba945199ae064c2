"""Whether a name that another gives is the name of somebody known: spelling decides nothing."""

from __future__ import annotations

import unicodedata


def same_person(said: str, subject: str, name: str | None) -> bool:
    """Whether `said` names whoever has this subject ("user:…") and, if the issuer states one, this
    display name; with another case or other spaces too.
    """
    known = [subject, subject.partition(":")[2], name or ""]
    return _folded(said) in {_folded(one) for one in known if one}


def _folded(text: str) -> str:
    # Not `normalise_name`: in account names a dot or a hyphen tells two people apart
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
