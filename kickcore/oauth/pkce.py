"""Proof Key for Code Exchange (RFC 7636), with S256 only."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

from kickcore.errors import ConfigError
from kickcore.secret import Secret

VERIFIER_SIZE: Final = 32
"""Octets of entropy in a code verifier; 43 characters when encoded (RFC 7636, section 4.1)."""

# `\Z` and not `$`: `$` would also match before a newline at the end.
_VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}\Z", re.ASCII)


def base64url(octets: bytes) -> str:
    """Base64 with the URL-safe alphabet and without padding (RFC 7636, appendix A)."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def code_verifier(entropy: bytes) -> Secret:
    """The code verifier made of at least 32 octets of `entropy`. Raises `ConfigError` for fewer."""
    if len(entropy) < VERIFIER_SIZE:
        raise ConfigError(f"a code verifier needs {VERIFIER_SIZE} octets of entropy, not {len(entropy)}")
    return checked_verifier(Secret(base64url(entropy)))


def checked_verifier(verifier: Secret) -> Secret:
    """`verifier` itself, if it has 43 to 128 unreserved characters (RFC 7636, section 4.1), else `ConfigError`."""
    text = verifier.reveal()
    if not _VERIFIER.match(text):
        raise ConfigError(f"a code verifier has 43 to 128 of A-Z a-z 0-9 - . _ ~; this one, of {len(text)}, does not")
    return verifier


def code_challenge(verifier: Secret) -> str:
    """The S256 challenge of a verifier (RFC 7636, section 4.2): 43 characters."""
    return base64url(sha256(checked_verifier(verifier).reveal().encode("ascii")).digest())
