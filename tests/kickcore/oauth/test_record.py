"""A token as the text of a file."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kickcore.oauth.record import Flaw, Record, Unusable, read_record, write_record
from kickcore.oauth.tokens import LONGEST_LIFE, Slot, Token, TokenKind
from kickcore.secret import Secret
from kickcore.testing import Phase, bearer_secrets, bearer_texts, json_values, slots, tokens

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "cache_files.json").read_text("utf-8")
)
NOW = 4_102_444_800.0 - 3600
"""An hour before the end that most of the files name."""
SLOT = Slot("https://id.kick.com", "CID", TokenKind.USER)
GOOD = Token(Secret("AT"), NOW + 3600, 0.0, Secret("RT"), ("user:read",))

KNOWN = (
    "version", "issuer", "client_id", "token_kind", "account", "access_token", "token_type", "refresh_token", "scope",
    "expires_at", "issued_at", "check",
)  # fmt: skip


def _octets(case: dict[str, Any]) -> bytes:
    if "fill" in case:
        return case["fill"]["byte"].encode() * case["fill"]["count"] + base64.b64decode(case["fill"]["then_b64"])
    return base64.b64decode(case["bytes_b64"])


def _json(**members: Any) -> bytes:
    return json.dumps({"access_token": "AT", "expires_at": NOW + 3600, **members}).encode()


def _flaw(text: bytes, slot: Slot = SLOT) -> Flaw | None:
    found = read_record(text, slot, NOW)
    return found.flaw if isinstance(found, Unusable) else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_file_of_the_list(case: dict[str, Any]) -> None:
    found = read_record(_octets(case), SLOT, NOW)
    match case["expect"]:
        case "CorruptCache":
            assert isinstance(found, Unusable)
            assert found.flaw is Flaw.CORRUPT
        case "NewerCache-left-alone":
            assert isinstance(found, Unusable)
            assert found.flaw is Flaw.NEWER
        case "ok-refresh-now":
            assert isinstance(found, Record)
            assert found.token.is_due(NOW)
            assert found.token.refresh_token == Secret("RT")
        case "ok-capped":
            assert isinstance(found, Record)
            assert found.token == replace(GOOD, expires_at=NOW + LONGEST_LIFE)
        case _:
            assert isinstance(found, Record)
            assert int(found.token.expires_at) == GOOD.expires_at
            assert replace(found.token, expires_at=GOOD.expires_at) == GOOD
            assert found.unknown == ({"later": 1} if case["expect"] == "ok-kept" else {})


_storable = tokens(*[phase for phase in Phase if phase is not Phase.ODD], secrets=bearer_secrets())
_unknown = st.dictionaries(st.text().filter(lambda name: name not in KNOWN), json_values(), max_size=3)


@given(slots(), _storable, _unknown)
def test_what_is_written_is_read_again(slot: Slot, token: Token, unknown: dict[str, Any]) -> None:
    text = write_record(slot, token, unknown)
    found = read_record(text, slot, token.issued_at)
    assert isinstance(found, Record)
    assert found.token == token
    # Compared as text, since NaN is not equal to itself.
    assert repr(found.unknown) == repr(unknown)


@given(slots(), slots(), _storable)
def test_a_file_is_read_for_its_own_slot_only(own: Slot, other: Slot, token: Token) -> None:
    found = read_record(write_record(own, token), other, token.issued_at)
    assert isinstance(found, Record) is (own == other)
    if isinstance(found, Unusable):
        assert found.flaw is Flaw.FOREIGN


@pytest.mark.parametrize(
    "slot",
    [
        replace(SLOT, issuer="http://127.0.0.1:8080"),
        replace(SLOT, client_id="OTHER"),
        replace(SLOT, kind=TokenKind.APP),
        replace(SLOT, account="anna"),
    ],
    ids=["issuer", "client_id", "token_kind", "account"],
)
def test_a_foreign_file_is_known_by_every_part_of_its_slot(slot: Slot, request: pytest.FixtureRequest) -> None:
    found = read_record(write_record(SLOT, GOOD), slot, NOW)
    assert isinstance(found, Unusable)
    assert found.flaw is Flaw.FOREIGN
    assert request.node.callspec.id in found.why


def test_a_file_is_json_for_people_too() -> None:
    text = write_record(SLOT, GOOD)
    assert text.endswith(b"}\n")
    assert b'\n  "access_token": "AT"' in text
    assert json.loads(text) == {
        "version": 1,
        "issuer": "https://id.kick.com",
        "client_id": "CID",
        "token_kind": "user",
        "account": "",
        "access_token": "AT",
        "token_type": "Bearer",
        "refresh_token": "RT",
        "scope": "user:read",
        "expires_at": NOW + 3600,
        "issued_at": 0.0,
        "check": "ca6b3aa6ab75b9e4",
    }


def test_an_app_token_has_neither_refresh_token_nor_scope() -> None:
    text = write_record(replace(SLOT, kind=TokenKind.APP), Token(Secret("AT"), 2.0, 1.0))
    assert {"refresh_token", "scope"}.isdisjoint(json.loads(text))


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "check"])
@pytest.mark.parametrize("value", ["changed", None])
def test_a_token_that_does_not_fit_the_check_is_not_believed(name: str, value: str | None) -> None:
    members = json.loads(write_record(SLOT, GOOD)) | {name: value}
    assert _flaw(json.dumps(members).encode()) is Flaw.CORRUPT
    del members["check"]
    assert _flaw(json.dumps(members).encode()) is None


def test_what_is_not_a_token_may_be_changed_by_hand() -> None:
    members = json.loads(write_record(SLOT, GOOD)) | {"scope": "chat:write", "expires_at": NOW, "later": 1}
    assert _flaw(json.dumps(members).encode()) is None


def test_an_unknown_member_never_replaces_a_known_one() -> None:
    members = json.loads(write_record(SLOT, GOOD, {"access_token": "stale", "later": [1]}))
    assert members["access_token"] == "AT"
    assert members["later"] == [1]


def test_unknown_members_that_are_no_real_json_are_kept_too() -> None:
    found = read_record(b'{"access_token":"AT","a":NaN,"b":1e999,"c":"\\ud800"}', SLOT, NOW)
    assert isinstance(found, Record)
    again = read_record(write_record(SLOT, found.token, found.unknown), SLOT, NOW)
    assert repr(again) == repr(found)


KICKCOM_APP = (
    b'{"access_token": "AT", "expires_at": 4102444800, "token_type": "Bearer", "token_kind": "app", '
    b'"refresh_token": null, "scope": null}'
)


def test_an_app_token_of_kickcom_is_read() -> None:
    slot = replace(SLOT, kind=TokenKind.APP)
    assert read_record(KICKCOM_APP, slot, NOW) == Record(Token(Secret("AT"), NOW + 3600, 0.0), {})
    assert _flaw(KICKCOM_APP) is Flaw.FOREIGN


@pytest.mark.parametrize("client", ["CID", "another"])
def test_a_file_of_kickcom_names_no_app_and_fits_any(client: str) -> None:
    text = _json(token_type="Bearer", token_kind="user", refresh_token="RT", scope="user:read")
    found = read_record(text, replace(SLOT, client_id=client), NOW)
    assert isinstance(found, Record)
    assert found.token == GOOD


@pytest.mark.parametrize(
    ("members", "flaw"),
    [
        ({"version": 2}, Flaw.NEWER),
        ({"version": 10**30, "access_token": 5}, Flaw.NEWER),
        ({"version": 1}, None),
        ({"version": 0}, None),
        ({"version": True}, None),
        ({"version": "2"}, None),
        ({"access_token": 5}, Flaw.CORRUPT),
        ({"access_token": "A B"}, Flaw.CORRUPT),
        ({"access_token": "é"}, Flaw.CORRUPT),
        ({"access_token": None}, Flaw.CORRUPT),
        ({"access_token": "", "refresh_token": "RT"}, None),
        ({"access_token": None, "refresh_token": "RT"}, None),
        ({"refresh_token": "R\nT"}, Flaw.CORRUPT),
        ({"refresh_token": {}}, Flaw.CORRUPT),
        ({"refresh_token": None}, None),
        ({"scope": ["user:read"]}, Flaw.CORRUPT),
        ({"scope": None}, None),
        ({"client_id": None}, Flaw.FOREIGN),
        ({"account": 5}, Flaw.FOREIGN),
    ],
    ids=repr,
)
def test_members_that_are_odd(members: dict[str, Any], flaw: Flaw | None) -> None:
    assert _flaw(_json(**members)) is flaw


@pytest.mark.parametrize(
    ("said", "end"),
    [
        (NOW + 60, NOW + 60),
        (str(NOW + 60), NOW + 60),
        ("2099-12-31T23:30:00Z", NOW + 1800),
        ("2099-12-31T23:30:00", NOW + 1800),
        ("2100-01-01T00:30:00+01:00", NOW + 1800),
        (1e308, NOW + LONGEST_LIFE),
        (10**400, NOW + LONGEST_LIFE),
        (float("inf"), 0.0),
        (float("nan"), 0.0),
        (-1, 0.0),
        (True, 0.0),
        ([], 0.0),
        ("0001-01-01T00:00:00+14:00", 0.0),
        ("9999-99-99", 0.0),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_end_of_a_token_is_believed_only_if_it_can_be_right(said: object, end: float) -> None:
    found = read_record(_json(expires_at=said), SLOT, NOW)
    assert isinstance(found, Record)
    assert found.token.expires_at == end


@given(st.binary())
def test_no_octets_raise(text: bytes) -> None:
    assert isinstance(read_record(text, SLOT, NOW), Record | Unusable)


@given(st.dictionaries(st.sampled_from(KNOWN), json_values() | bearer_texts() | st.integers(10**300, 10**320)))
def test_no_members_raise_and_what_was_read_can_be_written(members: dict[str, Any]) -> None:
    members.pop("issuer", None)
    found = read_record(json.dumps(members).encode(), SLOT, NOW)
    if isinstance(found, Record):
        assert found.token.access_token or found.token.refresh_token
        assert 0 <= found.token.expires_at <= NOW + LONGEST_LIFE
        assert read_record(write_record(SLOT, found.token), SLOT, NOW) == found


@given(st.dictionaries(st.sampled_from(KNOWN), st.just("hunter2-Xyzzy") | json_values()))
def test_why_a_record_is_not_used_tells_nothing_of_it(members: dict[str, Any]) -> None:
    found = read_record(json.dumps(members).encode(), SLOT, NOW)
    assert isinstance(found, Record) or "hunter2" not in found.why
