"""Keys: RSA, long enough, one block; and an error that names the extra where it is missing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kickcore.errors import ConfigError
from kickcore.webhooks import KICK_PUBLIC_KEY, public_key

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.mark.parametrize("case", json.loads((VECTORS / "public_keys.json").read_text("utf-8")), ids=lambda c: c["name"])
def test_a_key_is_taken_or_refused(case: dict[str, Any]) -> None:
    if case["expect"] == "ok":
        assert public_key(case["pem"]).size == 256
        return
    with pytest.raises(ConfigError, match="the one before is kept") as caught:
        public_key(case["pem"] or "")
    assert (case["pem"] or "")[40:80].strip() not in str(caught.value) or len(case["pem"] or "") < 80


def test_no_other_kind_of_key_is_taken() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    for key in (ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(ConfigError, match="no RSA key"):
            public_key(pem)


def test_two_blocks_are_refused() -> None:
    with pytest.raises(ConfigError, match="one block"):
        public_key(KICK_PUBLIC_KEY + KICK_PUBLIC_KEY)


def test_keys_are_equal_by_their_text() -> None:
    assert public_key() == public_key(KICK_PUBLIC_KEY.replace("\n", "\r\n"))
    assert hash(public_key()) == hash(public_key(f"  {KICK_PUBLIC_KEY}"))
    assert public_key() != public_key((VECTORS / "public_key_1.pem").read_bytes())
    assert repr(public_key()) == "<PublicKey RSA, 2048 bits>"


def test_without_cryptography_everything_is_there_but_keys() -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from kickcore.webhooks import parse, public_key\n"
        "print(type(parse('x.y', '1', b'')).__name__)\n"
        "try: public_key()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == [
        "Unknown",
        'KickError checking webhooks needs cryptography: pip install "kickcore[webhooks]"',
    ]
