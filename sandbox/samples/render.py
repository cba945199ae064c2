"""Sample files with times relative to a clock.

In a sample, ``{t-12m}`` becomes the local time (Europe/London) twelve minutes ago as HL7 v2 writes
it (``YYYYMMDDHHMMSS``; units s, m, h, d), ``{i-12m}`` the same as FHIR writes it, ``{d-90}`` the
ISO date ninety days ago, ``{run}`` a text that differs from run to run.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

FLAGS: Final = Path(__file__).with_name("flags.jsonl")
MORNING: Final = Path(__file__).with_name("morning.hl7")
DIALECTS: Final = Path(__file__).with_name("dialects.hl7")
FHIR: Final = Path(__file__).with_name("fhir")  # a folder: one Bundle a file
DEATHS: Final = Path(__file__).with_name("deaths")  # the same, about deaths

_TIME = re.compile(r"\{([ti])([+-]\d+)([smhd])\}")
_DATE = re.compile(r"\{d([+-]\d+)\}")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def render(text: str, now: datetime, run: str) -> str:
    """`text` with its times relative to `now` (aware)."""
    local = now.astimezone(ZoneInfo("Europe/London"))

    def time(match: re.Match[str]) -> str:
        moment = now + timedelta(**{_UNITS[match[3]]: int(match[2])})
        told = moment.astimezone(ZoneInfo("Europe/London"))
        return told.isoformat(timespec="seconds") if match[1] == "i" else f"{told:%Y%m%d%H%M%S}"

    def date(match: re.Match[str]) -> str:
        return (local.date() + timedelta(days=int(match[1]))).isoformat()

    return _DATE.sub(date, _TIME.sub(time, text)).replace("{run}", run)


def messages(text: str) -> list[bytes]:
    """HL7 v2 messages of a file: segments a line each, messages apart by an empty line."""
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text) if block.strip()]
    return [
        ("\r".join(line.strip() for line in block.splitlines()) + "\r").encode() for block in blocks
    ]
