"""Issuing, finding and ending tokens. A family is all tokens of one login; it ends as one."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from interpreters.sandbox.minting import mint_token
from interpreters.sandbox.world import Access, Refresh, World
from kickcore.oauth.tokens import TokenKind
from kickcore.secret import Secret

APP_ACCESS: Final = "SANDBOXAPP"
USER_ACCESS: Final = "SANDBOXUSER"
USER_REFRESH: Final = "SANDBOXREFRESH"
CODE: Final = "SANDBOXCODE"
FAMILY: Final = "SANDBOXFAMILY"


class Issued(Struct, frozen=True):
    """The world with new tokens in it, and those tokens. `expires_in` is in seconds; an app has no refresh token."""

    world: World
    access_token: str
    expires_in: int
    refresh_token: str | None = None
    scope: tuple[str, ...] = ()


def issue_app_token(world: World, now: float, client_id: str) -> Issued:
    """An app token."""
    world, text = mint_token(world, APP_ACCESS)
    access = Access(client_id, TokenKind.APP, text, now + world.rules.app_life)
    return Issued(replace(world, access={**world.access, text: access}), text, int(world.rules.app_life))


def issue_user_tokens(
    world: World, now: float, *, client_id: str, user_id: int, scope: tuple[str, ...], family: str
) -> Issued:
    """An access token and a refresh token for a user."""
    world, access_text = mint_token(world, USER_ACCESS)
    world, refresh_text = mint_token(world, USER_REFRESH)
    rules = world.rules
    access = Access(client_id, TokenKind.USER, family, now + rules.user_life, user_id, scope)
    refresh = Refresh(client_id, family, now + rules.refresh_life, user_id, scope)
    world = replace(
        world,
        access={**world.access, access_text: access},
        refresh={**world.refresh, refresh_text: refresh},
    )
    return Issued(world, access_text, int(rules.user_life), refresh_text, scope)


def live_token(world: World, bearer: Secret | None, now: float) -> Access | None:
    """What is known of a bearer token, unless it is unknown, revoked or at its end."""
    access = None if bearer is None else world.access.get(bearer.reveal())
    return access if access is not None and now < access.expires_at else None


def without_access(world: World, family: str) -> World:
    """The world without the access tokens of a family."""
    return replace(world, access={text: held for text, held in world.access.items() if held.family != family})


def without_family(world: World, family: str) -> World:
    """The world without any token of a family."""
    left = {text: held for text, held in world.refresh.items() if held.family != family}
    return replace(without_access(world, family), refresh=left)
