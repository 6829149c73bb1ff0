"""Certificates for servers of tests, by an authority that lives as long as its folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


class Authority:
    """An authority with a key of its own; its certificate is at ``path``, PEM.

    Args:
        folder: takes all files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = _key()
        self._name = _name("authority of a test")
        made = _builder(self._name, self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), True
        )
        self.path = folder / "authority.pem"
        self.path.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def certificate(self, common_name: str) -> tuple[Path, Path]:
        """Files of a certificate for localhost, and of its key; PEM.

        Args:
            common_name: whose it is.
        """
        key = _key()
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        made = _builder(_name(common_name), self._name, key)
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate, private = (self._folder / f"{common_name}.{kind}" for kind in ("pem", "key"))
        certificate.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        private.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
        private.chmod(0o600)
        return certificate, private


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
