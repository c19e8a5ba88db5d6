"""Keys that the simulated Kick signs webhooks with, and what a delivery looks like on the wire.

No private key is in the package: one is made in each process that needs it, so that nothing takes a delivery of the
sandbox for one of Kick's unless it was told to. `cryptography` is imported when a key is made, not before.
"""

from base64 import b64encode
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from interpreters.sandbox.deliveries import Fault, Outgoing
from kickcore.errors import ConfigError, KickError
from kickcore.webhooks.keys import SHORTEST_KEY, PublicKey, public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

LONGEST_PEM: Final = 16 * 1024
"""Characters of a private key's text."""

Pairs: TypeAlias = tuple[tuple[str, str], ...]


class Delivery(Struct, frozen=True):
    """A delivery as it comes to a receiver: method, headers in Kick's order and writing, and the octets of the body.

    `sent` is what it was made from: which event, of which channel, for which app, and what is wrong with it.
    """

    headers: Pairs
    body: bytes
    sent: Outgoing
    method: str = "POST"

    @property
    def message_id(self) -> str:
        """The id by which a receiver tells duplicates."""
        return self.sent.message_id

    @property
    def event(self) -> str:
        """What happened, whatever the headers call it."""
        return self.sent.event

    @property
    def fault(self) -> Fault | None:
        """What is wrong with it, or None."""
        return self.sent.fault

    def __repr__(self) -> str:
        fault = f", {self.fault.value}" if self.fault else ""
        return f"<Delivery {self.message_id} {self.event}{fault}, {len(self.body)} bytes>"


class SigningKey:
    """An RSA key that signs as Kick does: RSASSA-PKCS1-v1_5 with SHA-256."""

    def __init__(self, rsa: "RSAPrivateKey") -> None:
        self._rsa = rsa
        self._public = ""

    def __repr__(self) -> str:
        return f"<SigningKey RSA, {self._rsa.key_size} bits>"

    @classmethod
    def made(cls) -> "SigningKey":
        """A new key of 2048 bits, as Kick's is; it takes about a tenth of a second.

        Needs the extra `webhooks`, and raises `KickError` without it.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
        except ImportError:
            raise _not_installed() from None
        return cls(generate_private_key(65537, SHORTEST_KEY))

    @classmethod
    def from_pem(cls, pem: bytes) -> "SigningKey":
        """The key of a PEM text that is not encrypted. Raises `ConfigError` for what is no RSA key of 2048 bits."""
        try:
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ImportError:
            raise _not_installed() from None
        try:
            key = load_pem_private_key(pem, None) if len(pem) <= LONGEST_PEM else None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # Not from it: the text of the error might repeat the key's.
            key = None
        if not isinstance(key, RSAPrivateKey) or key.key_size < SHORTEST_KEY:
            raise ConfigError(
                f"this is no RSA private key of at least {SHORTEST_KEY} bits in PEM without a password; nothing was "
                f"signed. One is made by: openssl genrsa {SHORTEST_KEY}"
            )
        return cls(key)

    def to_pem(self) -> bytes:
        """The private key as PEM (PKCS 8). Whoever has it can sign as this sandbox."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self._rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public_pem(self) -> str:
        """The public key as Kick serves its own: PEM without a final line end."""
        if not self._public:
            from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

            public = self._rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            self._public = public.decode("ascii").strip()
        return self._public

    @property
    def public_key(self) -> PublicKey:
        """The public key as `kickcore.webhooks.verify` takes it."""
        return public_key(self.public_pem)

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, 256 octets for a key of 2048 bits. The same again for the same message."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._rsa.sign(message, PKCS1v15(), SHA256())


def _not_installed() -> KickError:
    return KickError('signing webhooks needs cryptography: pip install "kickcore[webhooks]"')


def can_sign() -> bool:
    """Whether what signing needs is installed."""
    return find_spec("cryptography") is not None


@cache
def key_of_this_run() -> SigningKey:
    """The key of every sandbox in this process that was given none."""
    return SigningKey.made()


@cache
def foreign_key() -> SigningKey:
    """The key that forged deliveries are signed with."""
    return SigningKey.made()


def signed(outgoing: Outgoing, key: SigningKey) -> Delivery:
    """A delivery with its signature and its headers. A forged one is signed by another key."""
    signer = foreign_key() if outgoing.fault is Fault.FORGED else key
    signature = b64encode(signer.sign(outgoing.message)).decode("ascii")
    headers = _claim_headers(outgoing, signature) if outgoing.is_claim else _event_headers(outgoing, signature)
    return Delivery(headers, outgoing.body, outgoing)


def _event_headers(outgoing: Outgoing, signature: str) -> Pairs:
    return (
        ("Kick-Event-Message-Id", outgoing.message_id),
        ("Kick-Event-Subscription-Id", outgoing.subscription_id),
        ("Kick-Event-Signature", signature),
        ("Kick-Event-Message-Timestamp", outgoing.stamp),
        ("Kick-Event-Type", outgoing.type),
        ("Kick-Event-Version", outgoing.version),
        *_USUAL,
    )


def _claim_headers(outgoing: Outgoing, signature: str) -> Pairs:
    # Kick writes two of them otherwise here.
    return (
        ("Kick-Event-Signature", signature),
        ("Kick-Event-Message-ID", outgoing.message_id),
        ("Kick-Event-Timestamp", outgoing.stamp),
        *_USUAL,
    )


_USUAL: Final[Pairs] = (
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
    ("User-Agent", "Go-http-client/1.1"),
)
