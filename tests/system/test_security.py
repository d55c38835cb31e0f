# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole server with TLS and passwords, as an administrator sets it up from the README."""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import pywbem
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from libvirtcim import serve
from libvirtcim.config import load
from libvirtcim.demo import sample_uri
from libvirtcim.hosts import hosts_of


@pytest.fixture(autouse=True)
def no_certificates_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """requests lets these variables win over what a client asks for."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


@pytest.fixture(scope="module")
def secured(
    certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URL of a server with HTTPS and an htpasswd file, configured through a file."""
    folder = tmp_path_factory.mktemp("config")
    users = folder / "users"
    made = subprocess.run(
        ["openssl", "passwd", "-6", "correct horse"], capture_output=True, text=True, check=True
    )
    users.write_text(f"admin:{made.stdout}")
    file = folder / "libvirtcim.toml"
    file.write_text(f"""
        [connections]
        KVM = "{sample_uri()}"
        [server]
        listen = []
        listen_tls = ["127.0.0.1:0"]
        tls_certificate = "{certificate[0]}"
        tls_key = "{certificate[1]}"
        authentication = "htpasswd"
        htpasswd_file = "{users}"
        auth_failure_delay = 0.05
    """)
    config = load(file, legacy=folder / "none")
    served = hosts_of(config)
    server = serve.make_server(config, served)
    server.start()
    host, port = server.addresses[0]
    yield f"https://{host}:{port}"
    server.stop()
    served.close()


def names(url: str, credentials: tuple[str, str] | None, ca: Path | None) -> int:
    with pywbem.WBEMConnection(
        url,
        credentials,
        default_namespace="root/virt",
        ca_certs=str(ca) if ca else None,
        timeout=30,
    ) as client:
        return len(client.EnumerateInstanceNames("KVM_ComputerSystem"))


def test_the_right_password_over_tls(secured: str, certificate: tuple[Path, Path]) -> None:
    assert names(secured, ("admin", "correct horse"), certificate[0]) == 3


@pytest.mark.parametrize(
    "credentials", [None, ("admin", "wrong"), ("nobody", "correct horse"), ("", "")]
)
def test_anything_else_is_refused(
    secured: str, certificate: tuple[Path, Path], credentials: tuple[str, str] | None
) -> None:
    with pytest.raises(pywbem.AuthError):
        names(secured, credentials, certificate[0])


def test_a_client_that_does_not_know_the_certificate_refuses(secured: str) -> None:
    with pytest.raises(pywbem.ConnectionError):
        names(secured, ("admin", "correct horse"), None)


def test_plain_http_on_the_tls_port_fails_at_once(secured: str) -> None:
    with pytest.raises(pywbem.Error):
        names(secured.replace("https", "http"), ("admin", "correct horse"), None)
