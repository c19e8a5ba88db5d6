"""Answers that arrive in part, or with something else in them than what was sent."""

import json
from collections.abc import Iterator
from typing import Any, Final, TypeAlias, cast

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from kickcore.http import Response
from kickcore.testing.once import built_once
from kickcore.testing.values import json_values

Place: TypeAlias = tuple[str | int, ...]
"""The way to a value inside of another: names of members and indexes of items."""

_GONE: Final[Any] = object()
"""Stands for a value that is taken out."""


def cut(response: Response, at: int) -> Response:
    """The first bytes of an answer: `at` of them, counted modulo the length of the body, so never all."""
    return replace(response, body=response.body[: at % max(len(response.body), 1)])


@built_once
def cuts(responses: SearchStrategy[Response]) -> SearchStrategy[Response]:
    """One of these answers, cut at any byte: from nothing to all but the last."""
    return st.builds(cut, responses, st.integers(0, 2**16))


@built_once
def damaged(responses: SearchStrategy[Response]) -> SearchStrategy[Response]:
    """One of these answers, cut short, or if it is JSON, with one value missing or another, at whatever depth."""
    values = st.just(_GONE) | st.sampled_from([None, "", 0, -1]) | json_values()
    return cuts(responses) | st.builds(_with_another, responses, st.integers(0, 999), values)


def _with_another(response: Response, number: int, new: object) -> Response:
    try:
        value: object = json.loads(response.body)
    except ValueError:
        return response
    places = list(_places(value))
    return replace(response, body=json.dumps(_changed(value, places[number % len(places)], new)).encode())


def _places(value: object) -> Iterator[Place]:
    """Every place inside of a value; the first is the value itself."""
    inner = [(name, *place) for name, member in _members(value).items() for place in _places(member)]
    return iter([(), *inner])


def _members(value: object) -> dict[str | int, object]:
    if isinstance(value, dict):
        return cast("dict[str | int, object]", value)
    return dict(enumerate(cast("list[object]", value))) if isinstance(value, list) else {}


def _changed(value: object, place: Place, new: object) -> object:
    """The value with another, or none, in one place."""
    if not place:
        return None if new is _GONE else new
    name, *inner = place
    members = _members(value)
    if not inner and new is _GONE:
        members = {key: member for key, member in members.items() if key != name}
    else:
        members = {**members, name: _changed(members[name], tuple(inner), new)}
    return list(members.values()) if isinstance(value, list) else members
