"""The names of programs in a session: what they are called with, and which one of equal ones."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from types import FrameType, GeneratorType
from typing import Any, Final, cast, get_type_hints

import msgspec
from msgspec import Raw

from interpreters.sessions.coding import encoded
from kickcore.api import (
    ads,
    categories,
    channels,
    chat,
    deprecated,
    drops,
    events,
    introspection,
    kicks,
    livestreams,
    moderation,
    public_key,
    rewards,
    users,
)
from kickcore.effects import Program
from kickcore.errors import SessionError
from kickcore.oauth import access, login
from kickcore.secret import Secret

LONGEST_NAME: Final = 120
"""Characters of a program's name; what is longer is cut, and a digest tells it from others."""

_MODULES: Final = (
    ads,
    categories,
    channels,
    chat,
    deprecated,
    drops,
    events,
    introspection,
    kicks,
    livestreams,
    moderation,
    public_key,
    rewards,
    users,
    access,
    login,
)


@cache
def programs() -> Mapping[str, Callable[..., Program[Any]]]:
    """kickcore's own programs by their names: the only ones that a session file can begin by itself."""
    found: dict[str, Callable[..., Program[Any]]] = {}
    for module in _MODULES:
        members = inspect.getmembers(module, inspect.isgeneratorfunction)
        found |= {name: member for name, member in members if member.__module__ == module.__name__ and name[0] != "_"}
    return found


@cache
def _codes() -> frozenset[Any]:
    return frozenset(program.__code__ for program in programs().values())


def called_with(program: Program[Any]) -> dict[str, Any]:
    """The arguments of a program that has not begun."""
    frame: FrameType | None = getattr(program, "gi_frame", None)
    return {} if frame is None else frame.f_locals


def function_of(program: Program[Any]) -> str:
    """What the function of a program is called."""
    return cast("GeneratorType[Any, Any, Any]", program).__name__


def named(program: Program[Any], hide: Callable[[str], str]) -> str:
    """A program that has not begun, as a call. `hide` puts aliases in the place of secrets."""
    function = function_of(program)
    given = called_with(program)
    if not given:
        return f"{function}()"
    may_hold_secrets = False
    shown = ""
    for name, value in given.items():
        if value is not None:
            is_plain = type(value) in _PLAIN
            may_hold_secrets = may_hold_secrets or not is_plain
            literal = repr(value) if is_plain else _literal(value)
            shown = f"{shown}, {name}={literal}" if shown else f"{name}={literal}"
    text = f"{function}({hide(shown) if may_hold_secrets else shown})"
    if len(text) <= LONGEST_NAME and text.isprintable():
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return "".join(letter for letter in text[: LONGEST_NAME - 12] if letter.isprintable()) + f"… {digest})"


def arguments_of(program: Program[Any]) -> Raw | None:
    """What one of kickcore's own programs is called with, as JSON; None for any other program, and for what is none."""
    if cast("GeneratorType[Any, Any, Any]", program).gi_code not in _codes():
        return None
    try:
        return Raw(encoded({name: _plain(value) for name, value in called_with(program).items() if value is not None}))
    except (TypeError, ValueError, msgspec.EncodeError):
        return None


_PLAIN: Final = frozenset({int, bool})


def _literal(value: object) -> str:
    if type(value) in {int, bool, float}:
        return repr(value)
    if isinstance(value, str):
        return repr(str(value))
    try:
        return _SHOWN.encode(_plain(value)).decode().replace('"', "'")
    except (TypeError, ValueError, msgspec.EncodeError):
        return type(value).__name__


def _without(value: object) -> object:
    if isinstance(value, Secret):
        return "…"
    raise TypeError


_SHOWN: Final = msgspec.json.Encoder(enc_hook=_without)


def _plain(value: object) -> object:
    return sorted(cast("set[Any]", value), key=str) if isinstance(value, set | frozenset) else value


def begun_again(name: str, arguments: bytes) -> Program[Any]:
    """One of kickcore's programs, with the arguments of a recording. Raises `SessionError` for any other.

    The file chooses among the programs of a table, and gives values; nothing of it is run.
    """
    called = name.partition("(")[0]
    program = programs().get(called)
    if program is None:
        raise SessionError(f"{called[:60]!r} is none of kickcore's own programs; replay it where it is defined")
    hints = get_type_hints(program)
    try:
        given: dict[str, Any] = msgspec.json.decode(arguments, type=dict[str, Any])
        values = {key: _converted(value, hints[key]) for key, value in given.items()}
        return program(**values)
    except (KeyError, TypeError, ValueError, msgspec.ValidationError, RecursionError) as error:
        told = str(error) if isinstance(error, msgspec.ValidationError) else type(error).__name__
        raise SessionError(f"{called} takes no such arguments as the session has: {told}") from None


def _converted(value: object, hint: Any) -> object:
    try:
        return msgspec.convert(value, hint, dec_hook=_secret)
    except (TypeError, msgspec.ValidationError):
        # `Iterable[int]` and such are no types that can be converted to; the program checks what it is given.
        if isinstance(value, list | str | int | float | bool):
            return cast("object", value)
        raise


def _secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"Expected `{kind.__name__}`")


class Names:
    """Tells equal programs apart by the order in which they began."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def number(self, name: str) -> str:
        """The name itself for the first of its kind, then with `#2`, `#3` and so on."""
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"
