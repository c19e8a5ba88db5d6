"""Models forgive what is new and odd, and name what they cannot read."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

import pytest
from strategies import PAYLOADS
from worlds import exchange

from kickcore.api.categories import Category, fetch_categories
from kickcore.api.channels import Channel, Stream, fetch_channel, fetch_channels
from kickcore.api.chat import send_chat_message
from kickcore.api.introspection import introspect_token
from kickcore.api.livestreams import (
    Broadcaster,
    Livestream,
    fetch_livestream_stats,
    fetch_livestreams,
    fetch_user_livestreams,
)
from kickcore.api.users import User, fetch_user, fetch_users
from kickcore.effects import Program
from kickcore.errors import BadResponse, NotFound
from kickcore.http import Response

Path: TypeAlias = tuple[str | int, ...]

READERS: dict[str, Callable[[], Program[Any]]] = {
    "get-public-v1-users.own": fetch_user,
    "get-public-v1-users.by-id": lambda: fetch_users([4809577, 2408714]),
    "get-public-v1-channels.own-live": fetch_channel,
    "get-public-v1-channels.app-live": lambda: fetch_channels(user_ids=[721956]),
    "get-public-v1-channels.offline": lambda: fetch_channels(slugs=["fusedchat"]),
    "get-public-v2-livestreams": fetch_livestreams,
    "get-public-v2-livestreams.last-page": fetch_livestreams,
    "get-public-v1-users-livestreams": lambda: fetch_user_livestreams(123),
    "get-public-v1-livestreams-stats": fetch_livestream_stats,
    "get-public-v2-categories": fetch_categories,
    "post-public-v1-chat": lambda: send_chat_message("Hello world"),
    "post-oauth-token-introspect.active-user": introspect_token,
}


def _sample(name: str) -> Any:
    return json.loads((PAYLOADS / "responses" / f"{name}.json").read_bytes())


def _members(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all members and items below a value."""
    inner: Any = ()
    if isinstance(value, dict | list):
        inner = (
            cast("dict[str, Any]", value).items() if isinstance(value, dict) else enumerate(cast("list[Any]", value))
        )
    for key, below in inner:
        yield (*path, key)
        yield from _members(below, (*path, key))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _changed(sample: Any, path: Path, change: str) -> Any:
    changed = copy.deepcopy(sample)
    above, key = _at(changed, path[:-1]), path[-1]
    match change:
        case "removed":
            del above[key]
        case "nulled":
            above[key] = None
        case "retyped":
            above[key] = {str: 5, int: "x", bool: "yes", list: {"a": 1}, dict: [1], type(None): 5}[type(above[key])]
        case "wrapped":
            above[key] = [above[key]]
        case "added" if isinstance(above[key], dict):
            above[key] |= {"new_member": {"a": [1]}, "zz": "z"}
        case _:
            pass
    return changed


CASES = [(name, path) for name in READERS for path in _members(_sample(name))]


@pytest.mark.parametrize("change", ["removed", "nulled", "retyped", "wrapped", "added"])
@pytest.mark.parametrize(("name", "path"), CASES, ids=lambda value: value if isinstance(value, str) else None)
def test_a_changed_member_gives_a_value_or_an_error_that_names_it(name: str, path: Path, change: str) -> None:
    body = json.dumps(_changed(_sample(name), path, change)).encode()
    said = ""
    try:
        exchange(READERS[name](), Response(200, (), body))
    except BadResponse as error:
        said = str(error)
    except NotFound:
        assert (path, change) == (("data", 0), "removed")
    named = [key for key in path if isinstance(key, str)][-1]
    assert not said or f"`{named}`" in said or f".{named}" in said
    assert change != "added" or not said


@pytest.mark.parametrize("name", READERS)
def test_members_that_are_new_change_nothing(name: str) -> None:
    sample = _sample(name)
    grown = _sample(name) | {"new_member": 1}
    for path in _members(sample):
        if isinstance(_at(grown, path), dict):
            _at(grown, path)["new_member"] = {"a": [None]}
    assert (
        exchange(READERS[name](), Response(200, (), json.dumps(grown).encode()))[0]
        == (exchange(READERS[name](), Response(200, (), json.dumps(sample).encode()))[0])
    )


REQUIRED: dict[str, set[str]] = {
    "get-public-v1-users.by-id": {"data", "user_id", "name"},
    "get-public-v1-channels.app-live": {"data", "broadcaster_user_id", "slug", "id", "name", "is_live"},
    "get-public-v2-livestreams": {"data", "id", "name", "slug"},
    "get-public-v2-categories": {"data", "id", "name"},
    "get-public-v1-livestreams-stats": {"data", "total_count"},
    "post-public-v1-chat": {"data", "is_sent", "message_id"},
    "post-oauth-token-introspect.active-user": {"data", "active"},
}


@pytest.mark.parametrize("name", REQUIRED)
def test_only_what_a_value_cannot_do_without_is_required(name: str) -> None:
    needed: set[str] = set()
    for path in _members(_sample(name)):
        if isinstance(path[-1], int):
            continue
        try:
            exchange(READERS[name](), Response(200, (), json.dumps(_changed(_sample(name), path, "removed")).encode()))
        except BadResponse:
            needed.add(path[-1])
    assert needed == REQUIRED[name]


def test_what_stands_for_nothing_is_none() -> None:
    never = datetime(1, 1, 1, tzinfo=UTC)
    nothing = Category(0, "", "")
    assert User(1, "a", "", "") == User(1, "a")
    assert nothing == Category(0, "", None)
    assert Channel(1, "a", category=nothing, stream_title="") == Channel(1, "a")
    assert Stream(is_live=False, start_time=never, language="") == Stream(is_live=False)
    assert Livestream("x", category=nothing, title="", started_at=never) == Livestream("x")
    assert Broadcaster(0, "", "") == Broadcaster(0)


def test_what_stands_for_something_is_kept() -> None:
    then = datetime(2026, 1, 1, tzinfo=UTC)
    assert Stream(is_live=True, viewer_count=0, start_time=then, custom_tags=()).viewer_count == 0
    assert Stream(is_live=True, start_time=then).start_time == then
    assert Channel(1, "a", active_subscribers_count=0).active_subscribers_count == 0
    assert Channel(1, "a", category=Category(15, "Just Chatting")).category == Category(15, "Just Chatting")


def test_an_empty_list_of_tags_is_a_list_of_tags() -> None:
    assert Livestream("x", tags=()).tags == ()
    assert Stream(is_live=True, custom_tags=()).custom_tags == ()


def test_a_model_is_a_value() -> None:
    user = User(1, "a")
    assert hash(user) == hash(User(1, "a"))
    with pytest.raises(AttributeError, match="immutable"):
        user.name = "b"  # type: ignore[misc]
