"""Keys and certificates of one run of the node."""

import datetime as dt
import secrets
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_DAYS = 30
_SERVICE = "kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Files:
    """Where they lie; `admin_token` opens everything."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.csv"

    @property
    def admin_token(self) -> str:
        return self.tokens.read_text(encoding="utf-8").partition(",")[0]

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def public(self, name: str) -> Path:
        return self.folder / f"{name}.pub"


def make(files: Files, api_addresses: tuple[IPv4Address, ...]) -> None:
    """A CA, the API server's three faces, the key that signs service accounts, one admin token."""
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _Authority(files)
    authority.sign("api", _named(common="kube-apiserver"), api_addresses)
    authority.sign("kubelet-client", _named(common="kubelet-client", group="system:masters"))
    authority.sign("front-proxy", _named(common="front-proxy"))
    accounts = _new_key(files.key("accounts"))
    files.public("accounts").write_bytes(
        accounts.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    files.tokens.write_text(f"{secrets.token_hex(16)},admin,admin,system:masters\n")


class _Authority:
    """Signs for this cluster alone."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._name = _named(common="glm-serve test cluster")
        self._key = _new_key(files.key("ca"))
        rights = x509.BasicConstraints(ca=True, path_length=0)
        built = self._draft(self._name, self._key).add_extension(rights, critical=True)
        self._write(built, files.ca)

    def sign(self, name: str, subject: x509.Name, addresses: tuple[IPv4Address, ...] = ()) -> None:
        service = [_SERVICE.rsplit(".", cut)[0] for cut in range(5)]  # each of its short forms
        names = [x509.DNSName(each) for each in ("localhost", *service)]
        places = [x509.IPAddress(each) for each in addresses]
        draft = self._draft(subject, _new_key(self._files.key(name)))
        others = x509.SubjectAlternativeName([*names, *places])
        self._write(draft.add_extension(others, critical=False), self._files.certificate(name))

    def _draft(self, subject: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=_DAYS))
        )

    def _write(self, draft: x509.CertificateBuilder, path: Path) -> None:
        signed = draft.sign(self._key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def _named(common: str, group: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if group:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _new_key(path: Path) -> rsa.RSAPrivateKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return key
