"""A secret never shows itself."""

import copy
import dataclasses
import importlib
import inspect
import json
import logging
import pickle
import pkgutil
import pprint
import string
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import kickcore
from kickcore import Secret
from kickcore.http import Pairs
from kickcore.oauth.tokens import Token
from kickcore.secret import LONG_SECRET, NO_SECRET, without_secrets

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
    "template": lambda secret: string.Template("$token").substitute(token=secret),
    "logged": lambda secret: logging.makeLogRecord({"msg": "%s %r", "args": (secret, [secret])}).getMessage(),
    "logged by name": lambda secret: logging.makeLogRecord(
        {"msg": "%(token)s", "args": {"token": secret}}
    ).getMessage(),
    "log record": lambda secret: repr(vars(logging.makeLogRecord({"msg": "%s", "args": (secret,), "token": secret}))),
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


@dataclasses.dataclass
class Held:
    token: Secret


def test_dataclasses_hold_the_secret_itself_and_do_not_show_it() -> None:
    held = Held(Secret(TEXT))
    assert dataclasses.asdict(held) == {"token": held.token}
    assert dataclasses.asdict(held)["token"] is held.token
    for value in (held, vars(held), dataclasses.asdict(held), dataclasses.astuple(held), dataclasses.replace(held)):
        assert TEXT not in repr(value)


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


@pytest.mark.parametrize("name", ["__reduce__", "__getstate__"])
def test_whoever_pickles_by_other_means_does_not_get_it_either(name: str) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        getattr(Secret(TEXT), name)()


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


# What holds secrets


def _structs() -> list[type[msgspec.Struct]]:
    names = [module.name for module in pkgutil.walk_packages(kickcore.__path__, "kickcore.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    return [
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
    ]


STRUCTS = _structs()
HOLDERS = [kind for kind in STRUCTS if any("Secret" in str(field.type) for field in msgspec.structs.fields(kind))]
LONG_TEXTS = st.text(string.ascii_letters + string.digits + "-_", min_size=24, max_size=60)
SECRETS = LONG_TEXTS.map(Secret)
HELD: dict[object, st.SearchStrategy[Any]] = {
    Secret: SECRETS,
    Secret | None: SECRETS,
    Pairs: st.lists(st.tuples(st.just("name"), SECRETS), min_size=1, max_size=3).map(tuple),
}


def test_what_is_secret_by_its_name_is_a_secret_by_its_type() -> None:
    names = {"access_token", "refresh_token", "client_secret", "code", "verifier", "state", "bearer", "key"}
    held = {f"{kind.__name__}.{field.name}": field for kind in STRUCTS for field in msgspec.structs.fields(kind)}
    secret = {name for name, field in held.items() if field.name in names}
    assert {name for name in secret if "Secret" in str(held[name].type)} == secret
    assert secret >= {"Token.access_token", "Token.refresh_token", "App.client_secret", "Granted.code", "Stream.key"}


@pytest.mark.parametrize("kind", HOLDERS, ids=lambda kind: kind.__name__)
@settings(max_examples=10)
@given(data=st.data())
def test_whatever_holds_secrets_does_not_show_them(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    fields = msgspec.structs.fields(kind)
    values = {field.name: data.draw(HELD[field.type]) for field in fields if "Secret" in str(field.type)}
    value = kind(**dict.fromkeys(field.name for field in fields) | values)
    texts = [
        secret.reveal()
        for held in values.values()
        for secret in ([held] if isinstance(held, Secret) else [item for _, item in held])
    ]
    shown = "".join(show(value) for show in SHOWINGS.values() if show is not SHOWINGS["format with a width"])
    shown += msgspec.json.encode(value, enc_hook=repr).decode() + repr(msgspec.structs.asdict(value))
    shown += repr(copy.deepcopy(value)) + "".join(
        _refusal(write, value) for write in (msgspec.json.encode, pickle.dumps)
    )
    assert not [text for text in texts if text[:8] in shown]


def _refusal(write: Callable[[object], object], value: object) -> str:
    with pytest.raises(TypeError) as caught:
        write(value)
    return "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())


# Texts from outside that repeat a secret


DISGUISES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded in small letters": lambda text: quote(text, safe="").replace("%2B", "%2b").replace("%2F", "%2f"),
    "as in a form": quote_plus,
    "its beginning": lambda text: text[:8],
    "its first half": lambda text: text[: len(text) // 2] + "…",
    "in base64": lambda text: b64encode(text.encode()).decode(),
    "in base64 for URLs": lambda text: urlsafe_b64encode(text.encode()).decode(),
    "in base64 after one other": lambda text: b64encode(b":" + text.encode()).decode(),
    "in base64 after two others": lambda text: b64encode(b"a:" + text.encode() + b"zz").decode(),
    "in base64 without its padding": lambda text: b64encode(text.encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
@settings(max_examples=25)
@given(text=st.text(string.ascii_letters + string.digits + "-_.~+/=", min_size=LONG_SECRET, max_size=60))
def test_a_text_from_outside_is_without_the_secrets_that_it_repeats(disguise: Callable[[str], str], text: str) -> None:
    shown = disguise(text)
    left = without_secrets(f"the token [{shown}] is bad", [Secret(text)])
    assert left.startswith("the token [")
    assert left.endswith("] is bad")
    assert "…" in left
    # What comes before it in base64 leaves its own letters.
    assert len(left) <= len("the token [zzz…] is bad")


def test_the_longer_of_two_secrets_goes_first_and_what_is_no_secret_stays() -> None:
    secrets = [Secret("abcdef"), Secret("abcdefghijkl"), Secret("is"), NO_SECRET]
    assert without_secrets("abcdefghijkl is not abcdef", secrets) == "… is not …"
    assert without_secrets("nothing is here", secrets) == "nothing is here"
    assert without_secrets("nothing is here", []) == "nothing is here"


@given(st.text(st.characters()), st.lists(st.text(st.characters()), max_size=3))
def test_no_text_and_no_secret_is_too_odd(text: str, secrets: list[str]) -> None:
    left = without_secrets(text, map(Secret, secrets))
    assert not [secret for secret in secrets if len(secret) >= LONG_SECRET and secret in left]
