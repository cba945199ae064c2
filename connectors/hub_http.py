"""How every client of the hub reaches it: one organisation's token, no proxy, no redirect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halyard.trust import web_authorities


def client_options(
    base_url: str, token: str, *, timeout: float, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Arguments of an httpx client, of either kind; `timeout` in seconds, `headers` besides the
    token's.
    """
    return {
        "base_url": base_url,
        "headers": {"Authorization": f"Bearer {token}", **(headers or {})},
        "timeout": timeout,
        "trust_env": False,  # no proxy of the environment sees what goes to the hub
        "follow_redirects": False,
        "verify": web_authorities(),
    }
