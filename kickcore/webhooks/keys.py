"""The keys that webhooks are signed with: parsed once, RSA only, long enough, and one block of PEM."""

import re
from binascii import a2b_base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from kickcore.errors import ConfigError, KickError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

SHORTEST_KEY: Final = 2048
"""Bits of an RSA key that is taken."""
LONGEST_KEY: Final = 8192
LONGEST_PEM: Final = 8192
"""Characters of a key's text."""

KICK_PUBLIC_KEY: Final = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAq/+l1WnlRrGSolDMA+A8
6rAhMbQGmQ2SapVcGM3zq8ANXjnhDWocMqfWcTd95btDydITa10kDvHzw9WQOqp2
MZI7ZyrfzJuz5nhTPCiJwTwnEtWft7nV14BYRDHvlfqPUaZ+1KR4OCaO/wWIk/rQ
L/TjY0M70gse8rlBkbo2a8rKhu69RQTRsoaf4DVhDPEeSeI5jVrRDGAMGL3cGuyY
6CLKGdjVEM78g3JfYOvDU/RvfqD7L89TZ3iN94jrmWdGz34JNlEI5hqK8dd7C5EF
BEbZ5jgB8s8ReQV8H+MkuffjdAj3ajDDX3DOJMIut1lBrUVD1AaSrGCKHooWoL2e
twIDAQAB
-----END PUBLIC KEY-----
"""
"""Kick's public key, as its documentation prints it. `fetch_public_key` gives what Kick serves."""

_BLOCK: Final = re.compile(r"-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----", re.ASCII)


class PublicKey(Struct, frozen=True, eq=False):
    """A key to check signatures with. `size` is the length of its signatures in octets. Made by `public_key`.

    `has_signed(signature, message)` tells whether this key's owner has made this signature, in base64, of a message
    (RSASSA-PKCS1-v1_5 with SHA-256).
    """

    pem: str
    size: int
    has_signed: Callable[[str, bytes], bool]

    def __repr__(self) -> str:
        return f"<PublicKey RSA, {self.size * 8} bits>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.pem.split() == other.pem.split()

    def __hash__(self) -> int:
        return hash("".join(self.pem.split()))


# The last letter of base64 whose length leaves bits over: those are 0 where it is written as it should be.
_LAST: Final = {1: "AQgw", 2: "AEIMQUYcgkosw048"}


def _checking(rsa: "RSAPublicKey", size: int) -> Callable[[str, bytes], bool]:
    """What checks a signature, with all that it needs at hand: it is called for each delivery."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    verify, padding, digest = rsa.verify, PKCS1v15(), SHA256()
    length, left = -(-size // 3) * 4, size % 3
    # Two texts may stand for the same octets; one of them is what Kick wrote.
    last, at = _LAST.get(left, ""), left - 4

    def has_signed(signature: str, message: bytes) -> bool:
        if len(signature) != length or (last and signature[at] not in last):
            return False
        try:
            verify(a2b_base64(signature, strict_mode=True), message, padding, digest)
        except (InvalidSignature, ValueError):
            return False
        return True

    return has_signed


def public_key(pem: str | bytes = KICK_PUBLIC_KEY) -> PublicKey:
    """The key of a PEM text; without one, Kick's as its documentation prints it.

    Needs the extra `webhooks`. Raises `ConfigError` for what is no RSA key of 2048 to 8192 bits in one block.
    """
    text = pem.decode("ascii", "replace") if isinstance(pem, bytes) else pem
    if len(text) > LONGEST_PEM:
        raise ConfigError(f"a public key has at most {LONGEST_PEM} characters, not {len(text)}; the one before is kept")
    if not _BLOCK.fullmatch(text.strip()):
        raise ConfigError("this is no public key: it is one block of PEM, and nothing beside; the one before is kept")
    rsa = _loaded(text.strip())
    if rsa is None or not SHORTEST_KEY <= rsa.key_size <= LONGEST_KEY:
        raise ConfigError(
            f"this is no RSA key of {SHORTEST_KEY} to {LONGEST_KEY} bits, and webhooks are signed with one; the one "
            "before is kept"
        )
    size = (rsa.key_size + 7) // 8
    return PublicKey(text.strip(), size, _checking(rsa, size))


def _loaded(pem: str) -> "RSAPublicKey | None":
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise KickError('checking webhooks needs cryptography: pip install "kickcore[webhooks]"') from None
    try:
        key = load_pem_public_key(pem.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPublicKey) else None
