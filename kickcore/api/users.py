"""Users: who somebody is."""

from collections.abc import Iterable
from typing import ClassVar, Final

from kickcore.api.call import APP_OR_USER, USER, Call, call
from kickcore.api.inputs import batches, checked_id, checked_ids, repeated
from kickcore.api.model import Model
from kickcore.effects import Program
from kickcore.errors import NotFound
from kickcore.oauth.scopes import NEEDS

BATCH: Final = 50
"""Ids a request; Kick states no limit."""

_OPERATION: Final = "GET /public/v1/users"
_NEEDS: Final = NEEDS["fetch_user"]


class User(Model, frozen=True):
    """A user. `email` is there for the token's own user only; `profile_picture` is a URL."""

    user_id: int
    name: str
    email: str | None = None
    profile_picture: str | None = None

    absent: ClassVar[tuple[str, ...]] = ("email", "profile_picture")


def _users(user_ids: Iterable[int]) -> Call[list[User]]:
    query = repeated("id", user_ids)
    return Call(operation=_OPERATION, answer=list[User], tokens=APP_OR_USER, needs=_NEEDS, query=query)


def fetch_user(user_id: int | None = None) -> Program[User]:
    """A user by id, or without an id the token's own user, with `email`.

    By id: app token (the user token where Kick refuses that). Own user: user token with `user:read`.
    Raises `NotFound` if Kick knows nobody of this id, `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`.
    Kick: GET /public/v1/users.
    """
    if user_id is None:
        asked = Call(operation=_OPERATION, answer=list[User], tokens=USER, needs=_NEEDS)
        found = yield from call(asked)
        wanted = found
    else:
        _ = checked_id("user_id", user_id)
        found = yield from call(_users([user_id]))
        wanted = [user for user in found if user.user_id == user_id]
    if not wanted:
        raise NotFound("Kick knows no such user", status=200, operation=_OPERATION)
    return wanted[0]


def fetch_users(user_ids: Iterable[int]) -> Program[list[User]]:
    """Users by their ids, in Kick's order; those that Kick does not know are left out.

    App token (the user token where Kick refuses that). More than 50 ids are asked for in several requests.
    Raises `InvalidInput`, `HTTPError`, `NetworkError`, `TokenError`. Kick: GET /public/v1/users.
    """
    found: list[User] = []
    for batch in batches(checked_ids("user_ids", user_ids), BATCH):
        found += yield from call(_users(batch))
    return found
