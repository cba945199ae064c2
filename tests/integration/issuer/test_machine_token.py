"""`halyard token machine` and `person` against an issuer that answers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from sandbox.issuer.model import Client, Issuer
from sandbox.issuer.process import COMMAND_LINE
from tests.support.face import ROOT
from tests.support.issuer import CLIENT_KEY, client, practice_issuer

CLIENTS = {
    "pas": client("pas", organisation="RZ9", roles=("hospital-system",)),
    COMMAND_LINE: Client(COMMAND_LINE, redirect_uris=("http://127.0.0.1:1/callback",)),
}


async def command(issuer: Issuer, place: Path, *arguments: str) -> tuple[int, str, str]:
    """Run `halyard token …` for this issuer: exit code, standard output, standard error."""
    key = place / "key.json"
    key.write_text(json.dumps(CLIENT_KEY.as_dict(private=True)))
    key.chmod(0o600)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "halyard.cli.main",
        "token",
        *arguments,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HALYARD_DATA_DIR": str(place),
            "HALYARD_ACCESS__ISSUER": issuer.url,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


async def test_tokens_go_to_standard_output_alone(tmp_path: Path) -> None:
    """A machine's by its key, a person's by code and PKCE; a refusal is a sentence and exit 1."""
    async with practice_issuer(CLIENTS) as issuer, httpx.AsyncClient() as http:
        keys = KeySet.import_key_set((await http.get(f"{issuer.url}/jwks")).json())
        key = str(tmp_path / "key.json")
        machine, person, wrong = await asyncio.gather(
            command(issuer, tmp_path, "machine", "--client", "pas", "--key", key),
            command(issuer, tmp_path, "person", "p-2001"),
            command(issuer, tmp_path, "machine", "--client", "nobody", "--key", key),
        )
    for done, subject in ((machine, "pas"), (person, "p-2001")):
        assert (done[0], done[2]) == (0, "")
        assert jwt.decode(done[1].strip(), keys, ["RS512"]).claims["sub"] == subject
    assert wrong[:2] == (1, "")
    assert "Invalid 'iss'/'sub' claims in client_assertion JWT" in wrong[2]
