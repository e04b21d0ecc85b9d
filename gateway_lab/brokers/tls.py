"""TLS to a broker: what is trusted, and what a failure of it means, in words."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files of an address, in PEM; None stands for what the system has.

    Attributes:
        ca: The authorities that are trusted, instead of the system's.
        cert: The certificate that this client shows, with its chain.
        key: Its private key; None if it is in `cert`.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def make_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what verifies a broker's certificate and the host in it, TLS 1.2 or later.

    Raises:
        OSError: A file is not there or is not what it should be.
    """
    context = ssl.create_default_context(cafile=files.ca)
    if files.cert is not None:
        # Without a password of ours OpenSSL would ask for one on the terminal.
        context.load_cert_chain(files.cert, files.key, password="")
    return context


EXPIRED: Final = "the broker's certificate has expired"
OTHER_HOST: Final = "the broker's certificate is for another host"
UNTRUSTED: Final = "the broker's certificate is signed by nobody who is trusted here"
UNVERIFIED: Final = (
    "the broker's certificate has expired, is for another host, or is signed by nobody who is"
    " trusted here"
)
"""Where a client does not say which."""

INVALID: Final = "the broker's certificate is not valid"
CLIENT: Final = "the broker wants a certificate of this client, or refuses the one it has"
NO_TLS: Final = "the broker and this client agree on no TLS"

_VERIFY: Final = {
    10: EXPIRED,
    62: OTHER_HOST,
    63: OTHER_HOST,
    64: OTHER_HOST,
    18: UNTRUSTED,
    19: UNTRUSTED,
    20: UNTRUSTED,
    21: UNTRUSTED,
}
"""By OpenSSL's numbers of what can be wrong with a certificate."""


def tls_refusal(error: BaseException | None) -> str | None:
    """Say why TLS cannot be had, if that is what is behind an error; None: something else is.

    A connection that ends in the middle of it says nothing: the broker may be starting.
    """
    for each in _causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return _VERIFY.get(each.verify_code, INVALID)
        if isinstance(each, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return None
        if isinstance(each, ssl.SSLError):
            return CLIENT if "ALERT" in (each.reason or "") else NO_TLS
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()  # a client may raise an error again that was its own cause
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
