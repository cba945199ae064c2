"""Who gives a command is whom the kernel knows."""

from __future__ import annotations

import os
import pwd

import pytest

from halyard.cli.who import account, me


def test_variables_name_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An actor that anybody could choose would prove nothing."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert account() == pwd.getpwuid(os.getuid()).pw_name
    assert me() == f"cli:{account()}"


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container."""
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert account() == "uid-4000000000"
