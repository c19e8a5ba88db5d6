"""A secret never shows itself."""

import copy
import json
import pickle
import pprint
import traceback
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kickcore import Secret
from kickcore.oauth.tokens import Token
from kickcore.secret import NO_SECRET

TEXT = "hunter2-Xyzzy"

SHOWINGS: dict[str, Callable[[Secret], str]] = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": format,
    "format with a width": lambda secret: format(secret, ">40"),
    "f-string": lambda secret: f"{secret}",
    "f-string with its name": lambda secret: f"{secret=}",
    "f-string with repr": lambda secret: f"{secret!r:.100}",
    "percent s": lambda secret: "%s" % secret,  # noqa: UP031
    "percent r": lambda secret: "%r" % secret,  # noqa: UP031
    "str.format": "{}".format,
    "in a list": lambda secret: repr([secret]),
    "in a dict": lambda secret: str({"token": secret}),
    "in a struct": lambda secret: repr(Token(secret, 0.0, 0.0, secret)),
    "in an exception": lambda secret: repr(ValueError(secret)) + str(ValueError(secret)),
    "pretty printed": pprint.pformat,
    "json with default=str": lambda secret: json.dumps({"token": secret}, default=str),
    "json with default=repr": lambda secret: json.dumps({"token": secret}, default=repr),
}


@pytest.mark.parametrize("show", SHOWINGS.values(), ids=SHOWINGS)
def test_a_secret_does_not_show_itself(show: Callable[[Secret], str]) -> None:
    assert TEXT not in show(Secret(TEXT))
    assert TEXT[3:9] not in show(Secret(TEXT))


@given(st.text(min_size=1))
def test_no_text_shows(text: str) -> None:
    assume(text not in "Secret('…')")
    for show in (repr, str, format):
        assert text not in show(Secret(text))


@given(st.text(min_size=1), st.text(min_size=1))
def test_all_secrets_but_the_empty_one_look_the_same(one: str, other: str) -> None:
    assert repr(Secret(one)) == repr(Secret(other)) != repr(NO_SECRET)


@pytest.mark.parametrize(
    "write",
    [json.dumps, msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins],
    ids=["json", "msgspec.json", "msgspec.msgpack", "msgspec.to_builtins"],
)
@pytest.mark.parametrize("value", [Secret(TEXT), [Secret(TEXT)], {"token": Secret(TEXT)}], ids=["bare", "list", "dict"])
def test_writing_a_secret_fails_and_the_failure_does_not_show_it(
    write: Callable[[object], object], value: object
) -> None:
    with pytest.raises(TypeError) as caught:
        write(value)
    assert TEXT not in str(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_cannot_be_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be pickled") as caught:
        pickle.dumps(Secret(TEXT), protocol)
    assert TEXT not in str(caught.value)


def test_a_copy_of_a_secret_is_the_secret_itself() -> None:
    secret = Secret(TEXT)
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_a_traceback_with_local_variables_does_not_show_it() -> None:
    def fail(token: Secret) -> None:
        held = {"token": token}
        raise RuntimeError(held)

    with pytest.raises(RuntimeError) as caught:
        fail(Secret(TEXT))
    lines = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "Secret('…')" in lines
    assert TEXT not in lines.replace(f'TEXT = "{TEXT}"', "").replace(f"TEXT = '{TEXT}'", "")


def test_reveal_gives_the_text() -> None:
    assert Secret(TEXT).reveal() == TEXT


@given(st.text(st.characters()), st.text(st.characters()))
def test_two_secrets_are_equal_when_their_texts_are(one: str, other: str) -> None:
    assert (Secret(one) == Secret(other)) is (one == other)
    assert Secret(one) == Secret(one)
    assert hash(Secret(one)) == hash(Secret(one))
    assert {Secret(one), Secret(one)} == {Secret(one)}


def test_a_secret_is_never_equal_to_its_text() -> None:
    assert Secret(TEXT) != TEXT
    assert (TEXT == Secret(TEXT)) is False  # noqa: SIM300 - the order is what is tested
    assert hash(Secret(TEXT)) != hash(TEXT)
    assert Secret(TEXT) not in {TEXT: 1}


def test_an_empty_secret_is_false() -> None:
    assert not NO_SECRET
    assert Secret(TEXT)


@pytest.mark.parametrize("name", ["_text", "text", "other"])
def test_a_secret_cannot_be_changed(name: str) -> None:
    secret = Secret(TEXT)
    with pytest.raises(AttributeError, match="cannot be changed"):
        setattr(secret, name, "other")
    with pytest.raises(AttributeError, match="cannot be changed"):
        delattr(secret, name)
    assert secret.reveal() == TEXT


def test_a_secret_has_no_dict_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(Secret(TEXT))
