"""A certificate authority of the tests' own, and what it signs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


@dataclass(frozen=True)
class Certificate:
    """PEM files; `both` holds the key and the chain, as Kafka wants them."""

    cert: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates for servers and clients."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder, self._authority = folder, trustme.CA()
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))

    def sign(self, name: str, *hosts: str, until: datetime | None = None) -> Certificate:
        leaf = self._authority.issue_cert(*hosts, not_after=until)
        made = Certificate(
            *(self._folder / f"{name}.{kind}.pem" for kind in ("cert", "key", "both"))
        )
        chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        made.cert.write_bytes(chain)
        made.key.write_bytes(key)
        made.both.write_bytes(key + chain)
        return made

    def sign_expired(self, name: str, *hosts: str) -> Certificate:
        return self.sign(name, *hosts, until=datetime(2021, 1, 1, tzinfo=UTC))
