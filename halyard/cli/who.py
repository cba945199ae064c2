"""Who gives a command."""

from __future__ import annotations

import os
import pwd


def account() -> str:
    """The account of this machine, as the kernel knows it: variables may say anything."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user needs no name
        return f"uid-{uid}"


def me() -> str:
    """As audit entries name it."""
    return f"cli:{account()}"
