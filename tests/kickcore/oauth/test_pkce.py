"""Proof Key for Code Exchange."""

import json
import re
import secrets
import string
from base64 import urlsafe_b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kickcore.errors import ConfigError
from kickcore.oauth.pkce import VERIFIER_SIZE, base64url, checked_verifier, code_challenge, code_verifier
from kickcore.secret import Secret

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "pkce.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_the_challenge_of_a_verifier(vector: dict[str, Any]) -> None:
    assert code_challenge(Secret(vector["verifier"])) == vector["challenge"]


@pytest.mark.parametrize(
    "vector", [vector for vector in VECTORS["valid"] if "random_octets" in vector], ids=lambda vector: vector["name"]
)
def test_the_verifier_of_octets(vector: dict[str, Any]) -> None:
    assert code_verifier(bytes(vector["random_octets"])) == Secret(vector["verifier"])


@pytest.mark.parametrize("vector", VECTORS["invalid_verifiers"], ids=lambda vector: vector["name"])
def test_a_verifier_outside_the_grammar_is_refused_and_not_shown(vector: dict[str, Any]) -> None:
    verifier = Secret(vector["verifier"])
    for check in (checked_verifier, code_challenge):
        with pytest.raises(ConfigError, match="43 to 128") as caught:
            check(verifier)
        assert not vector["verifier"] or vector["verifier"] not in str(caught.value)


@pytest.mark.parametrize("length", [129, 1000])
def test_a_verifier_that_is_too_long_is_refused(length: int) -> None:
    with pytest.raises(ConfigError):
        checked_verifier(Secret("a" * length))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\0", " "])
def test_what_stands_behind_a_good_verifier_is_not_overlooked(end: str) -> None:
    with pytest.raises(ConfigError):
        checked_verifier(Secret("a" * 43 + end))


UNRESERVED = string.ascii_letters + string.digits + "-._~"


@given(
    st.integers(0, 42),
    st.characters(exclude_characters=UNRESERVED) | st.characters(max_codepoint=0x7F, exclude_characters=UNRESERVED),
)
def test_no_other_character_passes_wherever_it_stands(place: int, odd: str) -> None:
    good = "a" * 43
    for text in (good[:place] + odd + good[place + 1 :], good[:place] + odd + good[place:], good + odd, odd + good):
        with pytest.raises(
            ConfigError, match=r"^a code verifier has 43 to 128 of A-Z a-z 0-9 - \. _ ~; this one, of 4[34], does not"
        ):
            checked_verifier(Secret(text))


@given(st.text(UNRESERVED, min_size=43, max_size=128))
def test_whatever_is_in_the_grammar_passes_as_it_is(text: str) -> None:
    verifier = Secret(text)
    assert checked_verifier(verifier) is verifier
    assert code_challenge(verifier) == base64url(sha256(text.encode()).digest())


def test_ten_thousand_verifiers_are_of_the_grammar_and_all_different() -> None:
    verifiers = {code_verifier(secrets.token_bytes(VERIFIER_SIZE)).reveal() for _ in range(10_000)}
    assert len(verifiers) == 10_000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", verifier) for verifier in verifiers)


def test_more_entropy_is_used_as_long_as_it_fits() -> None:
    assert len(code_verifier(b"x" * 96).reveal()) == 128
    with pytest.raises(ConfigError, match="this one, of 130"):
        code_verifier(b"x" * 97)


@given(st.binary(min_size=VERIFIER_SIZE, max_size=96))
def test_every_verifier_matches_the_grammar(entropy: bytes) -> None:
    verifier = code_verifier(entropy).reveal()
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", code_challenge(Secret(verifier)))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_no_entropy_is_lost_on_the_way_to_the_verifier(one: bytes, other: bytes) -> None:
    assert (code_verifier(one) == code_verifier(other)) is (one == other)


@pytest.mark.parametrize("size", [0, 1, 31])
def test_too_little_entropy_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"^a code verifier needs 32 octets of entropy, not {size}$"):
        code_verifier(b"x" * size)


@given(st.binary(max_size=40))
def test_base64url_loses_nothing(octets: bytes) -> None:
    text = base64url(octets)
    assert urlsafe_b64decode(text + "=" * (-len(text) % 4)) == octets


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", ""),
        (b"\x5d\xb5\xd7", "XbXX"),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"\xfb\xff", "-_8"),
        (bytes([3, 236, 255]), "A-z_"),
    ],
)
def test_base64url_has_its_own_alphabet_and_no_padding(octets: bytes, text: str) -> None:
    assert base64url(octets) == text
