"""Who asks PDS: one client for each organisation that is served, one access token for all."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from connectors.pds.client import PdsClient
from connectors.pds.tokens import Tokens
from halyard.errors import ConfigurationError
from halyard.nhs_number import profile_for
from halyard.postgres import Pool
from halyard.settings import Profile, Settings
from stores import trace_requests
from stores.directory import Directory
from stores.trace_requests import Ration

UNNAMED: Final = "X26"
"""Named in practice where the settings have no code of the hub's own; production has one."""


class Clients:
    """The clients of one process. A call that is repeated, because its access token was refused,
    takes a token of the ration too.

    Raises `ConfigurationError` if production lacks what onboarding gives, or a key cannot be read.
    """

    def __init__(
        self, settings: Settings, directory: Directory, pool: Pool, ration: Ration
    ) -> None:
        production = settings.profile is Profile.PRODUCTION
        self._settings = settings
        self._directory = directory
        self._pool = pool
        self._ration = ration
        self._tokens = Tokens.of(settings.pds, production=production)
        if production and (self._tokens is None or settings.pds.organisation is None):
            raise ConfigurationError(
                "Production asks PDS as a registered application: set HALYARD_PDS__TOKEN_URL, "
                "__API_KEY, __PRIVATE_KEY_FILE, __KEY_ID and __ORGANISATION "
                "(docs/howto/connect-to-pds.md)."
            )
        self._clients: dict[str, PdsClient] = {}

    def client_for(self, organisation: str) -> PdsClient:
        """The client that asks for an organisation known by this code, made at first need."""
        pds = self._settings.pds
        ods = self._directory.ods_of(organisation) or pds.organisation or UNNAMED
        if ods not in self._clients:
            # A signed JWT goes before a fixed token, which the practice PDS may still be told
            fixed = None if self._tokens is not None else pds.token
            self._clients[ods] = PdsClient(
                pds.base_url,
                token=fixed.get_secret_value() if fixed else None,
                tokens=self._tokens,
                end_user_organisation=ods,
                profile=profile_for(self._settings.profile),
                timeout_seconds=pds.timeout_seconds,
                spend=self._spend,
            )
        return self._clients[ods]

    async def _spend(self) -> bool:
        """Wait for one more call of the ration, but no longer than a call may take. A refused token
        is an answer of PDS: the breaker, which a probe closes behind itself, is not waited for.
        """
        ends = time.monotonic() + self._settings.pds.timeout_seconds
        while not await trace_requests.take_token(self._pool, self._ration, let_through=True):
            if time.monotonic() > ends:
                return False
            await asyncio.sleep(min(1.0, 1 / self._ration.per_second))
        return True

    async def aclose(self) -> None:
        """Close them all."""
        for client in self._clients.values():
            await client.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()
