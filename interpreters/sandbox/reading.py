"""Reading what a request asks. Whatever is malformed becomes Kick's `400 Invalid request`, without detail."""

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final, TypeVar

from msgspec import DecodeError, Struct, json

from interpreters.sandbox.wire import INVALID, Refusal
from kickcore.http import Pairs, Request
from kickcore.secret import Secret

T = TypeVar("T")

_NUMBER: Final = re.compile(r"[0-9]{1,20}\Z", re.ASCII)
_LARGEST: Final = 2**64 - 1
_LARGEST_POSITION: Final = 2**53


class _Cursor(Struct, frozen=True):
    # Named as in the one sample of a cursor that is known (reference 2.6).
    c_cursor: int


def plain(value: str | Secret) -> str:
    """The text of a pair's value: a sandbox sees what the real Kick would see."""
    return value.reveal() if isinstance(value, Secret) else value


def values(pairs: Pairs, name: str) -> tuple[str, ...]:
    """All values of a repeated key, in order."""
    return tuple(plain(value) for key, value in pairs if key == name)


def single(request: Request, name: str) -> str | None:
    """The value of a query key that may come once at most, or None."""
    found = values(request.query, name)
    if len(found) > 1:
        raise Refusal(INVALID)
    return found[0] if found else None


def as_number(text: str, least: int = 1, most: int = _LARGEST) -> int:
    """A decimal number in bounds."""
    if not _NUMBER.match(text) or not least <= int(text) <= most:
        raise Refusal(INVALID)
    return int(text)


def numbers(request: Request, name: str, most: int) -> tuple[int, ...]:
    """The ids in a repeated key, `most` of them at most."""
    found = values(request.query, name)
    if len(found) > most:
        raise Refusal(INVALID)
    return tuple(as_number(text) for text in found)


def limit(request: Request, default: int, most: int) -> int:
    """The size of a page: 1 to `most`."""
    text = single(request, "limit")
    return default if text is None else as_number(text, 1, most)


def single_number(request: Request, name: str) -> int | None:
    """The number in a query key that may come once at most, or None."""
    text = single(request, name)
    return None if text is None else as_number(text)


def comma_list(request: Request, name: str) -> tuple[str, ...]:
    """The values of a key that is comma separated and must not be repeated (v2 categories only)."""
    text = single(request, name)
    return () if text is None else tuple(text.split(","))


def page_of(request: Request, items: Sequence[T], size: int) -> tuple[Sequence[T], str]:
    """The page that the request's cursor names, and the cursor after it."""
    start = start_of(request)
    end = start + size
    return items[start:end], cursor_to(end) if end < len(items) else ""


def cursor_to(position: int) -> str:
    """The cursor that names a position."""
    return b64encode(json.encode(_Cursor(position))).decode("ascii")


def start_of(request: Request) -> int:
    """The position that the request's cursor names."""
    cursor = single(request, "cursor")
    if cursor is None:
        return 0
    try:
        position = json.decode(b64decode(cursor, validate=True), type=_Cursor).c_cursor
    except (ValueError, DecodeError):
        raise Refusal(INVALID) from None
    if not 0 <= position <= _LARGEST_POSITION:
        raise Refusal(INVALID)
    return position


def body_as(request: Request, kind: type[T]) -> T:
    """The JSON body as a `kind`."""
    try:
        return json.decode(request.body, type=kind)
    except DecodeError:
        raise Refusal(INVALID) from None
