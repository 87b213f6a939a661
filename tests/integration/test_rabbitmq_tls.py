"""TLS to RabbitMQ: the address says so, and the server's certificate is checked."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from order_service.cli.stack import RabbitMQServer, free_port
from shared.messaging.broker import ConnectionLost
from shared.messaging.brokers.rabbitmq import RabbitMQ
from tests.contract.test_broker import TOPOLOGY, envelope, settle, take

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make certificates with")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for `localhost`."""
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    return tmp_path / "certificate.pem"


@pytest.fixture
def tls_url(rabbitmq_server: RabbitMQServer, broker_url: str, certificate: Path) -> Callable[[str], str]:
    """Opens a TLS listener on the running server and returns its address by a host name."""
    port = free_port()
    options = f'[{{certfile, "{certificate}"}}, {{keyfile, "{certificate.parent}/key.pem"}}]'
    listen = f'rabbit_networking:start_ssl_listener({{"127.0.0.1", {port}}}, {options}, 1)'
    rabbitmq_server.evaluate(f"application:ensure_all_started(ssl), {listen}")
    return lambda host: broker_url.replace("amqp:", "amqps:").replace(
        f"127.0.0.1:{rabbitmq_server.port}", f"{host}:{port}"
    )


def test_messages_travel_over_tls(
    tls_url: Callable[[str], str], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a trusted certificate, everything works as without TLS, large messages too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    broker = RabbitMQ(tls_url("localhost"))
    broker.provision(TOPOLOGY, settle=0)
    shop, store = broker.connect("shop"), broker.connect("store")
    store.prefetch(200)
    shop.publish([envelope(order=number) for number in range(200)])
    assert len(settle(shop, 200)[0]) == 200
    store.acknowledge(take(store, 200))
    shop.close()
    store.close()


def test_a_strangers_certificate_is_refused(tls_url: Callable[[str], str]) -> None:
    """Without the certificate among the trusted ones there is no connection."""
    with pytest.raises(ConnectionLost, match="CERTIFICATE_VERIFY_FAILED"):
        RabbitMQ(tls_url("localhost")).connect("shop")


def test_a_certificate_for_another_name_is_refused(
    tls_url: Callable[[str], str], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trusted certificate counts for the name that it names only."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(ConnectionLost, match="CERTIFICATE_VERIFY_FAILED"):
        RabbitMQ(tls_url("127.0.0.1")).connect("shop")
