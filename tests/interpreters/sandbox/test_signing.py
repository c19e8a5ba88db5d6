"""Keys, signatures and headers of the simulated Kick."""

import json
import pickle
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from interpreters.sandbox import RegisteredApp, Sandbox, SigningKey, claiming, with_app
from interpreters.sandbox.public_key import PUBLIC_KEY
from interpreters.sandbox.signing import foreign_key, key_of_this_run
from kickcore.errors import ConfigError
from kickcore.webhooks import KICK_PUBLIC_KEY, Delivery, DropsClaim, Refusal, Rejected, public_key, verify

from .asking import NOW, call
from .telling import CAMPAIGN, REWARD, checked, happen, subscribed

ROOT = Path(__file__).parents[3]
FOLLOW = "channel.followed"
KEY = SigningKey.made()


def served(sandbox: Sandbox) -> str:
    return call(sandbox, "GET", "/public/v1/public-key")[1]["data"]["public_key"]


def test_headers_are_kicks_in_order_and_writing(payload: Any) -> None:
    (delivery,) = happen(subscribed(FOLLOW), FOLLOW)
    example = json.loads(payload("webhooks/headers.event.json"))
    assert [name for name, _ in delivery.headers] == list(example)
    told = dict(delivery.headers)
    assert delivery.method == "POST"
    assert {name: told[name] for name in list(example)[-4:]} == {name: example[name] for name in list(example)[-4:]}
    assert told["Kick-Event-Message-Timestamp"] == "2026-09-22T18:00:00Z"
    assert told["Kick-Event-Type"] == FOLLOW
    for name in ("Kick-Event-Message-Id", "Kick-Event-Subscription-Id"):
        assert re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", told[name])
    assert len(b64decode(told["Kick-Event-Signature"], validate=True)) == 256


def test_headers_of_a_claim_are_written_as_kick_documents_them(payload: Any) -> None:
    sandbox = subscribed()
    sandbox.world = with_app(sandbox.world, RegisteredApp("drops", "secret", (), organization=True))
    sandbox.world = claiming(sandbox.world, 123, CAMPAIGN, REWARD.id, "sword", at=NOW)
    (delivery,) = sandbox.take_deliveries()
    names = {name for name, _ in delivery.headers}
    assert names == {*json.loads(payload("webhooks/headers.drops-claim.json")), "Accept", "User-Agent"}
    outcome = checked(sandbox, delivery)
    assert isinstance(outcome, Delivery)
    assert isinstance(outcome.event, DropsClaim)
    assert outcome.event.external_id == "sword"


def test_what_is_signed_and_what_is_not() -> None:
    sandbox = subscribed(FOLLOW)
    (delivery,) = happen(sandbox, FOLLOW)
    keys = [sandbox.key.public_key]
    for name in ("Kick-Event-Message-Id", "Kick-Event-Message-Timestamp", "Kick-Event-Subscription-Id"):
        changed = {**dict(delivery.headers), name: dict(delivery.headers)[name].replace("0", "1")}
        assert changed != dict(delivery.headers)
        outcome = verify(changed, delivery.body, NOW, keys, 86_400)
        assert isinstance(outcome, Delivery) is (name == "Kick-Event-Subscription-Id")
    assert isinstance(verify(delivery.headers, delivery.body + b" ", NOW, keys), Rejected)


def test_the_key_that_signs_is_the_one_that_is_served() -> None:
    sandbox = subscribed(FOLLOW)
    before = sandbox.world
    assert served(sandbox) == sandbox.key.public_pem
    assert len(served(sandbox)) == 450
    assert sandbox.world == before, "what is served is no part of the world"
    assert sandbox.key is Sandbox().key, "one for the process"


def test_a_key_of_ones_own_and_a_key_that_is_rotated() -> None:
    sandbox = Sandbox(subscribed(FOLLOW).world, clock=lambda: NOW, key=KEY)
    assert served(sandbox) == KEY.public_pem
    old = KEY.public_key
    sandbox.key = SigningKey.made()
    assert served(sandbox) != old.pem
    (delivery,) = happen(sandbox, FOLLOW)
    assert isinstance(checked(sandbox, delivery), Delivery)
    outcome = verify(delivery.headers, delivery.body, NOW, [old])
    assert isinstance(outcome, Rejected)
    assert outcome.refusal is Refusal.INVALID_SIGNATURE


def test_kicks_own_key_does_not_take_a_delivery_of_the_sandbox() -> None:
    (delivery,) = happen(subscribed(FOLLOW), FOLLOW)
    assert isinstance(verify(delivery.headers, delivery.body, NOW, [public_key()]), Rejected)
    assert KICK_PUBLIC_KEY.strip() not in {PUBLIC_KEY, key_of_this_run().public_pem, foreign_key().public_pem}
    assert key_of_this_run().public_pem != foreign_key().public_pem


def test_no_private_key_is_in_the_package() -> None:
    texts = [path.read_bytes() for folder in ("kickcore", "interpreters") for path in (ROOT / folder).rglob("*.py")]
    assert len(texts) > 50
    assert not [text for text in texts if b"PRIVATE KEY-----" in text]


def test_a_key_goes_through_pem_and_back() -> None:
    again = SigningKey.from_pem(KEY.to_pem())
    assert again.public_pem == KEY.public_pem
    assert again.sign(b"message") == KEY.sign(b"message")
    assert again.public_key == KEY.public_key


def test_neither_a_key_nor_a_delivery_shows_what_it_holds() -> None:
    (delivery,) = happen(subscribed(FOLLOW), FOLLOW)
    assert repr(KEY) == "<SigningKey RSA, 2048 bits>"
    assert repr(delivery) == f"<Delivery {delivery.message_id} channel.followed, {len(delivery.body)} bytes>"
    with pytest.raises(TypeError):
        pickle.dumps(KEY)


@pytest.mark.parametrize(
    "pem", [b"", b"nonsense", KEY.public_pem.encode(), KEY.to_pem()[:-200], KEY.to_pem() + b"x" * 20_000]
)
def test_what_is_no_private_key_is_refused(pem: bytes) -> None:
    with pytest.raises(ConfigError, match="no RSA private key"):
        SigningKey.from_pem(pem)


def test_short_keys_and_keys_of_another_kind_are_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    kinds = (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256R1()))
    texts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in kinds]
    long = rsa.generate_private_key(65537, 2048)
    texts.append(long.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")))
    for text in texts:
        with pytest.raises(ConfigError, match="2048"):
            SigningKey.from_pem(text)


def test_without_cryptography_a_sandbox_works_and_says_what_signing_needs() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['cryptography']))\n"
        "from interpreters.sandbox import *\n"
        "from interpreters.sandbox.building import following\n"
        "from kickcore.http import Request\n"
        "import interpreters.sandbox.shell as shell; shell.can_sign = lambda: False\n"
        "kick = Sandbox(with_subscriptions(small_world(), 676))\n"
        "print(kick.handle(Request('GET', 'http://x/public/v1/public-key')).status)\n"
        "print(kick.take_deliveries())\n"
        "kick.world = following(kick.world, 676, 123, at=0.0)\n"
        "try: kick.take_deliveries()\n"
        "except Exception as error: print(type(error).__name__, error, len(kick.world.due))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.splitlines() == [
        "200",
        "()",
        'KickError signing webhooks needs cryptography: pip install "kickcore[webhooks]" 1',
    ]


def test_importing_the_sandbox_loads_no_cryptography() -> None:
    code = "import sys, interpreters.sandbox; print({'cryptography', 'httpx2', 'hypercorn'} & {*sys.modules})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.strip() == "set()"
