"""TLS on MLLP over real sockets: who is let in, what is known of them, what is refused at start."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from connectors.hl7v2.client import CannotConnect, MllpClient, MllpError, TlsRefused
from connectors.hl7v2.mllp import Limits, MllpServer
from connectors.hl7v2.tls import client_context, server_context
from halyard.errors import ConfigurationError
from halyard.settings import Hl7v2Settings
from tests.support.certificates import Certificates
from tests.support.waiting import aeventually
from tests.unit.hl7v2.test_mllp import Recorder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority; keys take time, so once a module."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def hub(made: Certificates) -> Hl7v2Settings:
    """A listener's settings that ask for client certificates."""
    pair = made.issue("127.0.0.1")
    return Hl7v2Settings(
        tls_certificate=pair.certificate, tls_key=pair.key, tls_client_ca=made.authority
    )


@asynccontextmanager
async def serving(
    settings: Hl7v2Settings, handler: Recorder | None = None, limits: Limits | None = None
) -> AsyncIterator[MllpServer]:
    """A listener with these settings' TLS."""
    tls = server_context(settings)
    assert tls is not None
    async with MllpServer(handler or Recorder(), limits=limits or Limits(), tls=tls) as server:
        yield server


async def _send(server: MllpServer, tls: ssl.SSLContext | None) -> bytes:
    async with MllpClient("127.0.0.1", server.port, timeout=5, tls=tls) as client:
        return await client.send(b"one")


async def test_the_certificate_of_a_sender_is_known_by_its_sha_256(
    made: Certificates, hub: Hl7v2Settings
) -> None:
    """The handler is told the digest of the certificate that TLS has verified."""
    pair, handler = made.issue("sender"), Recorder()
    tls = client_context(made.authority, pair.certificate, pair.key)
    async with serving(hub, handler) as server:
        assert await _send(server, tls) == b"re:one"
    assert {peer.certificate for peer in handler.peers} == {pair.digest}


async def test_who_shows_no_certificate_or_a_strange_one_is_not_heard(
    made: Certificates, hub: Hl7v2Settings, tmp_path: Path
) -> None:
    """With a client CA, no certificate, one of another authority, and plain bytes: no frame."""
    stranger = Certificates(tmp_path, "stranger").issue("sender")
    handler = Recorder()
    async with serving(hub, handler) as server:
        for tls in (
            client_context(made.authority),
            client_context(made.authority, stranger.certificate, stranger.key),
            None,
        ):
            with pytest.raises(MllpError):
                await _send(server, tls)
        await aeventually(lambda: server.connections == 0)
        assert server.refused == 3
    assert handler.frames == []


async def test_without_a_client_ca_the_sender_checks_the_receiver(made: Certificates) -> None:
    """TLS of the receiver alone: served without a certificate; a wrong name is refused."""
    pair, wrong = made.issue("127.0.0.1"), made.issue("elsewhere.invalid")
    tls = client_context(made.authority)
    settings = Hl7v2Settings(tls_certificate=pair.certificate, tls_key=pair.key)
    async with serving(settings) as server:
        assert await _send(server, tls) == b"re:one"
    settings = Hl7v2Settings(tls_certificate=wrong.certificate, tls_key=wrong.key)
    async with serving(settings) as server:
        with pytest.raises(TlsRefused):
            await _send(server, tls)


async def test_a_plain_sender_is_told_that_tls_may_be_wanted(hub: Hl7v2Settings) -> None:
    """The receiver just closes; the error names the likely cause."""
    async with serving(hub) as server:
        with pytest.raises(MllpError, match="may want TLS"):
            await _send(server, None)


async def test_a_handshake_that_never_ends_gives_its_place_back(hub: Hl7v2Settings) -> None:
    """A silent connection in the handshake counts as a connection, until its time is up."""
    async with serving(hub, limits=Limits(read_timeout=0.2)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await aeventually(lambda: server.connections == 1)
        assert await reader.read() == b""
        await aeventually(lambda: server.connections == 0)
        writer.close()


async def test_silent_handshakes_give_way_with_their_sockets(
    made: Certificates, hub: Hl7v2Settings
) -> None:
    """Connections that never say a word of TLS: no more sockets than places stay open, however
    many come, and a sender who speaks is served."""
    limits, pair = Limits(max_connections=10), made.issue("sender")
    tls = client_context(made.authority, pair.certificate, pair.key)
    async with serving(hub, limits=limits) as server, AsyncExitStack() as stack:
        silent = []
        for _ in range(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            silent.append(reader)
            await asyncio.sleep(0)
            assert server.connections <= 11  # the one that comes, and the one that goes
        await aeventually(lambda: sum(one.at_eof() for one in silent) == 50)
        assert server.connections == 10
        assert await _send(server, tls) == b"re:one"
        assert server.refused == 0


async def test_a_stop_closes_what_has_only_just_come(hub: Hl7v2Settings) -> None:
    """Connections that were accepted and not looked at yet are closed with the server."""
    async with serving(hub) as server:
        readers = []
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            readers.append((reader, writer))
        await aeventually(lambda: server.connections > 0)
        await server.stop(grace=0.1)
        assert server.connections == 0
    for reader, writer in readers:
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_older_versions_of_tls_are_refused(made: Certificates, hub: Hl7v2Settings) -> None:
    """TLS 1.2 is the oldest that is spoken."""
    pair = made.issue("sender")
    tls = client_context(made.authority, pair.certificate, pair.key)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        tls.minimum_version = ssl.TLSVersion.TLSv1
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(hub) as server:
        with pytest.raises(CannotConnect):
            await _send(server, tls)


async def test_a_stop_answers_what_is_in_hand_over_tls_too(
    made: Certificates, hub: Hl7v2Settings
) -> None:
    """Stopping over TLS: the frame in work is answered before the close."""
    pair, handler = made.issue("sender"), Recorder()
    handler.gates[b"one"] = asyncio.Event()
    tls = client_context(made.authority, pair.certificate, pair.key)
    async with serving(hub, handler) as server:
        sending = asyncio.create_task(_send(server, tls))
        await aeventually(lambda: handler.frames == [b"one"])
        stopping = asyncio.create_task(server.stop(grace=5))
        handler.gates[b"one"].set()
        assert await sending == b"re:one"
        await stopping


def test_a_start_with_unusable_files_is_refused(made: Certificates, tmp_path: Path) -> None:
    """Missing, no PEM, not belonging together, with a passphrase: the setting is named."""
    pair, other = made.issue("127.0.0.1"), made.issue("other")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no PEM")
    locked = tmp_path / "locked.pem"
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"phrase"),
        )
    )
    for certificate, its_key in (
        (tmp_path / "none.pem", pair.key),
        (pair.certificate, tmp_path / "none.pem"),
        (rubbish, pair.key),
        (pair.certificate, other.key),
        (pair.certificate, locked),
    ):
        with pytest.raises(ConfigurationError, match="HALYARD_HL7V2__TLS_CERTIFICATE"):
            server_context(Hl7v2Settings(tls_certificate=certificate, tls_key=its_key))
    for authorities in (tmp_path / "none.pem", rubbish):
        with pytest.raises(ConfigurationError, match="HALYARD_HL7V2__TLS_CLIENT_CA"):
            server_context(
                Hl7v2Settings(
                    tls_certificate=pair.certificate, tls_key=pair.key, tls_client_ca=authorities
                )
            )
    with pytest.raises(ConfigurationError, match="give both"):
        client_context(made.authority, pair.certificate)


def test_without_a_certificate_there_is_no_tls() -> None:
    """The default listener is plain, on loopback."""
    assert server_context(Hl7v2Settings()) is None
