"""Mutual TLS in front of a real Kafka: a feed is bound to its certificates; start fails closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.hl7v2.ack import parse_ack
from connectors.hl7v2.client import MllpClient
from connectors.hl7v2.tls import client_context, server_context
from halyard.cli.main import app
from halyard.embedded.datadir import free_ports
from halyard.settings import Hl7v2Settings
from tests.integration.hl7v2.rig import connector, create_topics, listening, make_settings
from tests.support.certificates import Certificates
from tests.support.waiting import aeventually
from tests.unit.hl7v2.messages import FEED, arrival, message


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority; keys take time, so once a module."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


async def test_a_feed_is_taken_from_its_own_certificates_alone(
    kafka_bootstrap: str, namespace: str, made: Certificates
) -> None:
    """Two hospitals with valid certificates: the one cannot send as the other; what it tries is
    refused (AR) and kept."""
    settings = make_settings(kafka_bootstrap, namespace)
    await asyncio.to_thread(create_topics, settings)
    hub, own, other = made.issue("127.0.0.1"), made.issue("own"), made.issue("other")
    tls = server_context(
        Hl7v2Settings(
            tls_certificate=hub.certificate, tls_key=hub.key, tls_client_ca=made.authority
        )
    )
    feed = FEED.model_copy(update={"certificates": (own.digest,)})
    async with listening(settings, feed, tls=tls) as rig:
        codes = []
        for pair in (own, other):
            shown = client_context(made.authority, pair.certificate, pair.key)
            async with rig.client(shown) as client:
                codes.append(parse_ack(await client.send(arrival()), arrival()).code)
        assert codes == ["AA", "AR"]
        assert len(await rig.attendances()) == 1
        (kept,) = await rig.rejected()
        assert (kept.rule, kept.head) == ("unknown-feed", arrival())


async def test_the_process_speaks_tls_and_halyard_send_does_too(
    kafka_bootstrap: str, namespace: str, made: Certificates, tmp_path: Path
) -> None:
    """Settings and directory of a real process; `halyard send` with its own certificate."""
    settings = make_settings(kafka_bootstrap, namespace)
    await asyncio.to_thread(create_topics, settings)
    hub, own = made.issue("localhost", "127.0.0.1"), made.issue("hospital")
    (port,) = free_ports(1)
    paths = {
        "HALYARD_HL7V2__TLS_CERTIFICATE": str(hub.certificate),
        "HALYARD_HL7V2__TLS_KEY": str(hub.key),
        "HALYARD_HL7V2__TLS_CLIENT_CA": str(made.authority),
    }
    file = tmp_path / "one.hl7"
    file.write_text(arrival().decode().replace("\r", "\n"))
    feed = f'certificates = ["{own.digest}"]'
    with connector(settings, tmp_path, port, feed=feed, **paths) as process:
        await asyncio.to_thread(process.wait_for, "mllp_listening", 20)
        result = await asyncio.to_thread(
            CliRunner().invoke,
            app,
            [
                *("send", str(file), "--port", str(port), "--tls-ca", str(made.authority)),
                *("--tls-certificate", str(own.certificate), "--tls-key", str(own.key)),
            ],
        )
        assert result.exit_code == 0, result.output
        assert " AA " in result.output
        async with MllpClient("127.0.0.1", port, timeout=2) as plain:  # plain bytes: no answer
            plain.submit(message("MSH|^~\\&|A|B"))
            await aeventually(lambda: not plain.connected)


@pytest.mark.parametrize(
    ("feed", "setting", "named"),
    [
        ("", "certificate", "HALYARD_HL7V2__TLS_CERTIFICATE"),
        (f'certificates = ["{"0" * 64}"]', "", "HALYARD_HL7V2__TLS_CLIENT_CA"),
    ],
)
def test_the_process_does_not_start_without_what_it_needs(
    namespace: str, tmp_path: Path, feed: str, setting: str, named: str
) -> None:
    """A certificate that is not there, or a feed bound to certificates that nobody asks for: the
    process ends with the configuration's code and names the setting."""
    (port,) = free_ports(1)
    missing = str(tmp_path / "missing.pem")
    extra = {"HALYARD_HL7V2__TLS_CERTIFICATE": missing, "HALYARD_HL7V2__TLS_KEY": missing}
    settings = make_settings("127.0.0.1:1", namespace)
    with connector(settings, tmp_path, port, feed=feed, **(extra if setting else {})) as process:
        assert process.wait(15) == 78
        assert named in process.log_text()
