"""Deliveries: what Kick has signed is taken, and nothing else, whatever somebody sends."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kickcore.errors import ConfigError
from kickcore.webhooks import (
    Delivery,
    DropsClaim,
    LivestreamStatusUpdated,
    PublicKey,
    Refusal,
    Rejected,
    Strangeness,
    Unknown,
    public_key,
    verify,
)

TESTS = Path(__file__).parents[2]
VECTORS = json.loads((TESTS / "vectors" / "webhook.json").read_text("utf-8"))
KEY = public_key((TESTS / "vectors" / "public_key_1.pem").read_bytes())
NEXT_KEY = public_key((TESTS / "vectors" / "public_key_2.pem").read_text("ascii"))
KNOWN_REFUSALS = {
    "InvalidSignature": Refusal.INVALID_SIGNATURE,
    "MissingHeader": Refusal.MISSING_HEADER,
    "MalformedHeader": Refusal.MALFORMED_HEADER,
    "StaleTimestamp": Refusal.STALE_TIMESTAMP,
}
STRANGE = {"MalformedPayload": Strangeness.PAYLOAD, "TypeMismatch": Strangeness.MISMATCH}


def verified(case: Mapping[str, Any], *keys: PublicKey, **options: Any) -> Delivery | Rejected:
    now = datetime.fromisoformat(case["now"]).timestamp()
    return verify(case["headers"], b64decode(case["body_b64"]), now, keys or (KEY,), **options)


def named(name: str) -> dict[str, Any]:
    return next(case for case in VECTORS["accept"] + VECTORS["reject_or_drop"] if case["name"] == name)


GOOD = named("follow-compact")


@pytest.mark.parametrize("case", VECTORS["accept"], ids=lambda case: case["name"])
def test_what_kick_has_signed_is_taken(case: dict[str, Any]) -> None:
    delivery = verified(case, KEY, NEXT_KEY)
    assert isinstance(delivery, Delivery)
    assert delivery.message_id == case["headers"]["Kick-Event-Message-Id"]
    if case["name"] == "version-2":
        assert isinstance(delivery.event, Unknown)
        assert delivery.event.why is Strangeness.VERSION
    else:
        assert not isinstance(delivery.event, Unknown)


@pytest.mark.parametrize("case", VECTORS["reject_or_drop"], ids=lambda case: case["name"])
def test_what_is_to_be_refused_is_refused_for_its_reason(case: dict[str, Any]) -> None:
    outcome, expected = verified(case), case["expect"]
    if expected in KNOWN_REFUSALS:
        assert isinstance(outcome, Rejected)
        assert outcome.refusal is KNOWN_REFUSALS[expected]
    elif expected in STRANGE:
        assert isinstance(outcome, Delivery)
        assert isinstance(outcome.event, Unknown)
        assert outcome.event.why is STRANGE[expected]
        assert outcome.event.body == b64decode(case["body_b64"])
    else:
        # Duplicates and what was not asked for are the receiver's to tell.
        assert isinstance(outcome, Delivery)


def real() -> tuple[dict[str, str], bytes, float]:
    told = json.loads((TESTS / "payloads" / "webhooks" / "signature-vector.json").read_text("utf-8"))
    headers = {
        "Kick-Event-Message-Id": told["message_id"],
        "Kick-Event-Subscription-Id": told["subscription_id"],
        "Kick-Event-Signature": told["signature_base64"],
        "Kick-Event-Message-Timestamp": told["timestamp"],
        "Kick-Event-Type": told["event_type"],
        "Kick-Event-Version": told["event_version"],
    }
    return headers, told["body"].encode(), datetime.fromisoformat(told["timestamp"]).timestamp()


def test_a_delivery_that_kick_has_really_made_verifies_with_the_pinned_key() -> None:
    headers, body, now = real()
    delivery = verify(headers, body, now, [public_key()])
    assert isinstance(delivery, Delivery)
    assert isinstance(delivery.event, LivestreamStatusUpdated)
    assert delivery.event.broadcaster.username == "FusedChat"
    assert delivery.event.is_live
    assert delivery.body == body


def test_one_flipped_bit_anywhere_is_refused() -> None:
    headers, body, now = real()
    keys = [public_key()]
    for place in range(len(body)):
        for bit in range(8):
            other = bytearray(body)
            other[place] ^= 1 << bit
            assert isinstance(verify(headers, bytes(other), now, keys), Rejected)
    signature = b64decode(headers["Kick-Event-Signature"])
    for place in range(len(signature)):
        other = bytearray(signature)
        other[place] ^= 1 << place % 8
        changed = {**headers, "Kick-Event-Signature": b64encode(other).decode()}
        assert isinstance(verify(changed, body, now, keys), Rejected)


@pytest.mark.parametrize("member", ["Kick-Event-Message-Id", "Kick-Event-Message-Timestamp"])
def test_each_character_of_what_is_signed_matters(member: str) -> None:
    headers, body, now = real()
    for place, letter in enumerate(headers[member]):
        other = "1" if letter != "1" else "2"
        changed = {**headers, member: headers[member][:place] + other + headers[member][place + 1 :]}
        assert isinstance(verify(changed, body, now, [public_key()]), Rejected)


@pytest.mark.parametrize(
    ("seconds", "is_taken"), [(-301, False), (-300, True), (-299, True), (299, True), (300, True), (301, False)]
)
def test_the_window_is_exact_in_both_directions(seconds: int, is_taken: bool) -> None:
    headers, body, now = real()
    outcome = verify(headers, body, now + seconds, [public_key()])
    assert isinstance(outcome, Delivery) is is_taken
    assert isinstance(verify(headers, body, now + seconds, [public_key()], 600.0), Delivery)
    assert isinstance(verify(headers, body, now + seconds, [public_key()], 86400.0), Delivery)


REQUIRED = ("Kick-Event-Message-Id", "Kick-Event-Signature", "Kick-Event-Message-Timestamp", "Kick-Event-Type")


@pytest.mark.parametrize("name", [*GOOD["headers"]])
@pytest.mark.parametrize(
    "value", ["", " ", "a, b", "ü", "x" * 16384, "١", "01KEYZ8QX5R8ZC3V9M2N7TBW6Y, 01KEYZ8QX5R8ZC3V9M2N7TBW6Y", "\0"]
)
def test_a_header_that_is_odd_is_refused_or_was_not_needed(name: str, value: str) -> None:
    outcome = verified({**GOOD, "headers": {**GOOD["headers"], name: value}})
    if name in REQUIRED or (value.strip() and name not in {"Content-Type", "User-Agent", "Accept"}):
        assert isinstance(outcome, Rejected)
    else:
        assert isinstance(outcome, Delivery)


@pytest.mark.parametrize("name", [*GOOD["headers"]])
def test_a_header_that_comes_twice_is_refused(name: str) -> None:
    pairs = [*GOOD["headers"].items(), (name.upper(), GOOD["headers"][name])]
    outcome = verified({**GOOD, "headers": pairs})
    assert isinstance(outcome, Rejected) is name.startswith("Kick-")


def test_headers_may_be_octets_in_any_case() -> None:
    pairs = [(name.upper().encode(), value.encode()) for name, value in GOOD["headers"].items()]
    assert isinstance(verified({**GOOD, "headers": pairs}), Delivery)


def test_a_body_that_is_too_large_is_refused_before_anything_else() -> None:
    outcome = verify({}, b"x" * (256 * 1024 + 1), 0.0, [KEY])
    assert isinstance(outcome, Rejected)
    assert outcome.refusal is Refusal.TOO_LARGE
    outcome = verify({}, b"x" * (256 * 1024), 0.0, [KEY])
    assert isinstance(outcome, Rejected)
    assert outcome.refusal is Refusal.MISSING_HEADER


def test_nothing_is_parsed_before_the_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    from kickcore.webhooks import verifying

    monkeypatch.setattr(verifying, "parse", lambda *args: pytest.fail("it was parsed"))
    for case in VECTORS["reject_or_drop"]:
        if case["expect"] in KNOWN_REFUSALS:
            assert isinstance(verified(case), Rejected)


@given(st.dictionaries(st.sampled_from([*GOOD["headers"]]), st.text(max_size=40)), st.binary(max_size=40))
def test_whatever_is_sent_it_is_refused_and_nothing_is_raised(headers: dict[str, str], body: bytes) -> None:
    assert isinstance(verify({**GOOD["headers"], **headers}, body, 1.8e9, [KEY]), Rejected)
    assert isinstance(verify(headers, body, 1.8e9, [KEY]), Rejected)


def test_what_cannot_be_right_is_told() -> None:
    with pytest.raises(ConfigError, match="no key"):
        verify({}, b"", 0.0, [])
    for window in (0.0, -1.0, 86401.0, float("nan")):
        with pytest.raises(ConfigError, match="window"):
            verify({}, b"", 0.0, [KEY], window)


def test_the_reason_is_not_in_what_a_delivery_shows() -> None:
    assert repr(verified(GOOD)).startswith("<Delivery 01KEYZ8QX5R8ZC3V9M2N7TBW6Y channel.followed,")


def signed_claim(private: Any, body: bytes, **more: str) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    message_id, stamp = "01KEYZ8QX5R8ZC3V9M2N7TBW6Y", "2026-01-14T16:08:06Z"
    signature = private.sign(f"{message_id}.{stamp}.".encode() + body, PKCS1v15(), SHA256())
    return {
        "Kick-Event-Message-ID": message_id,
        "Kick-Event-Timestamp": stamp,
        "Kick-Event-Signature": b64encode(signature).decode(),
        **more,
    }


def test_the_claim_of_a_drop_has_other_headers() -> None:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = generate_private_key(65537, 2048)
    key = public_key(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    body = (TESTS / "payloads" / "webhooks" / "drops.claim.json").read_bytes()
    now = datetime.fromisoformat("2026-01-14T16:08:06Z").timestamp()
    delivery = verify(signed_claim(private, body), body, now, [key])
    assert isinstance(delivery, Delivery)
    assert isinstance(delivery.event, DropsClaim)
    for more in ({"Kick-Event-Type": "drops.claim"}, {"Kick-Event-Message-Timestamp": "2026-01-14T16:08:06Z"}):
        mixed = verify(signed_claim(private, body, **more), body, now, [key])
        assert isinstance(mixed, Rejected)
        assert mixed.refusal is Refusal.MALFORMED_HEADER
    odd = verify(signed_claim(private, b"[]"), b"[]", now, [key])
    assert isinstance(odd, Delivery)
    assert isinstance(odd.event, Unknown)
