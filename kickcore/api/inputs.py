"""Checks of what is passed to a call, before anything is sent. Errors name the parameter, the limit and the size."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar
from uuid import UUID

from kickcore.errors import InvalidInput, cleaned
from kickcore.http import Pairs

T = TypeVar("T")

LARGEST_ID: Final = 2**64 - 1
"""Kick's ids are unsigned 64-bit integers."""


def checked_id(parameter: str, value: object) -> int:
    """An id: a whole number from 1 to 2**64 - 1."""
    return checked_range(parameter, value, 1, LARGEST_ID)


def checked_ids(parameter: str, values: Iterable[int]) -> list[int]:
    """Ids, each once, in order; at least one."""
    ids = list(dict.fromkeys(checked_id(parameter, value) for value in checked_list(parameter, values)))
    return checked_count(parameter, ids, 1, None)


def checked_texts(parameter: str, values: Iterable[str], shortest: int, longest: int) -> list[str]:
    """Texts, each once, in order; at least one."""
    if isinstance(values, str):
        raise InvalidInput(f"{parameter} is a list of texts, not one text; write [{values!r}]", parameter=parameter)
    texts = [checked_text(parameter, value, shortest, longest) for value in checked_list(parameter, values)]
    return checked_count(parameter, list(dict.fromkeys(texts)), 1, None)


def checked_list(parameter: str, values: Iterable[T]) -> list[T]:
    """A list of whatever can be gone through."""
    try:
        return list(values)
    except TypeError:
        text = f"{parameter} is a list, not {type(values).__name__}"
    raise InvalidInput(text, parameter=parameter)


def checked_count(parameter: str, values: list[T], fewest: int, most: int | None) -> list[T]:
    """A list of `fewest` to `most` items."""
    if len(values) < fewest or (most is not None and len(values) > most):
        limit = f"at least {fewest}" if most is None else f"{fewest} to {most}"
        raise InvalidInput(f"{parameter} takes {limit} items, not {len(values)}", parameter=parameter)
    return values


def checked_range(parameter: str, value: object, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{parameter} is a whole number, not {type(value).__name__}", parameter=parameter)
    if not least <= value <= most:
        raise InvalidInput(f"{parameter} is from {least} to {most}, not {_short(value)}", parameter=parameter)
    return value


def _short(value: int) -> str:
    # Python refuses to print integers of many thousand digits.
    return str(value) if value.bit_length() < 128 else f"a number of {value.bit_length()} bits"


def checked_text(parameter: str, value: object, shortest: int, longest: int) -> str:
    """A text of so many code points that can be sent as UTF-8."""
    if not isinstance(value, str):
        raise InvalidInput(f"{parameter} is a text, not {type(value).__name__}", parameter=parameter)
    if not shortest <= len(value) <= longest:
        text = f"{parameter} has {shortest} to {longest} characters (code points), not {len(value)}"
        raise InvalidInput(text, parameter=parameter)
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidInput(f"{parameter} holds half of a surrogate pair and is no text", parameter=parameter)
    return value


def checked_uuid(parameter: str, value: object) -> str:
    """A UUID, in its usual form with dashes."""
    text = checked_text(parameter, value, 1, 64)
    try:
        return str(UUID(text))
    except ValueError:
        shown = f"{parameter} is a UUID, not {text!r:.60}"
    raise InvalidInput(shown, parameter=parameter)


def checked_flag(parameter: str, value: object) -> bool:
    """True or False, and nothing that only looks like it."""
    if not isinstance(value, bool):
        raise InvalidInput(f"{parameter} is True or False, not {type(value).__name__}", parameter=parameter)
    return value


def checked_segment(parameter: str, value: str) -> str:
    """An id as text: 1 to 128 visible ASCII characters, no comma (which would make a list of it), not a dot or two."""
    text = checked_text(parameter, value, 1, 128)
    if text in {".", ".."} or not text.isascii() or not text.isprintable() or set(text) & {" ", ","}:
        raise InvalidInput(f"{parameter} is an id, not {cleaned(text, 60)!r}", parameter=parameter)
    return text


def repeated(name: str, values: Iterable[object]) -> Pairs:
    """A list as Kick takes it almost everywhere: the key once per value."""
    return tuple((name, str(value)) for value in values)


def given(**members: object) -> Pairs:
    """Query parameters that have a value, as text."""
    return tuple((name, str(value)) for name, value in members.items() if value is not None)


def batches(values: Sequence[T], size: int) -> list[Sequence[T]]:
    """`values` in order, in pieces of at most `size`."""
    return [values[start : start + size] for start in range(0, len(values), size)]
