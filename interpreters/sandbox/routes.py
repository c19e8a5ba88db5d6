"""The table of endpoints: a row says who may ask, and who answers."""

from typing import Final

from msgspec import Struct

from interpreters.sandbox.api.categories import get_categories
from interpreters.sandbox.api.channels import get_channels, patch_channel
from interpreters.sandbox.api.chat import delete_chat_message, post_chat
from interpreters.sandbox.api.livestreams import get_livestream_stats, get_livestreams, get_user_livestreams
from interpreters.sandbox.api.users import get_users
from interpreters.sandbox.oauth.authorize import get_authorize, post_authorize
from interpreters.sandbox.oauth.issued import post_introspect, post_revoke
from interpreters.sandbox.oauth.token import post_token
from interpreters.sandbox.wire import Endpoint, IdEndpoint
from kickcore.oauth.scopes import Needs, Scope, any_of
from kickcore.oauth.tokens import TokenKind

ANY: Final = frozenset({TokenKind.APP, TokenKind.USER})
USER: Final = frozenset({TokenKind.USER})


class Route(Struct, frozen=True):
    """An endpoint of the API host: which tokens may ask, and which scopes a user token needs for it."""

    method: str
    template: str
    answer: Endpoint
    kinds: frozenset[TokenKind]
    needs: Needs = ()


ROUTES: Final = (
    Route("GET", "/public/v1/users", get_users, ANY, any_of(Scope.USER_READ)),
    Route("GET", "/public/v1/users/livestreams", get_user_livestreams, ANY),
    Route("GET", "/public/v1/channels", get_channels, ANY, any_of(Scope.CHANNEL_READ)),
    Route("PATCH", "/public/v1/channels", patch_channel, USER, any_of(Scope.CHANNEL_WRITE)),
    Route("GET", "/public/v2/livestreams", get_livestreams, ANY),
    Route("GET", "/public/v1/livestreams/stats", get_livestream_stats, ANY),
    Route("GET", "/public/v2/categories", get_categories, ANY),
    Route("POST", "/public/v1/chat", post_chat, USER, any_of(Scope.CHAT_WRITE)),
    Route(
        "DELETE",
        "/public/v1/chat/{message_id}",
        delete_chat_message,
        USER,
        any_of(Scope.MODERATION_CHAT_MESSAGE_MANAGE),
    ),
)

ID_ROUTES: Final[dict[tuple[str, str], IdEndpoint]] = {
    ("GET", "/oauth/authorize"): get_authorize,
    ("POST", "/oauth/authorize"): post_authorize,
    ("POST", "/oauth/token"): post_token,
    ("POST", "/oauth/revoke"): post_revoke,
    ("POST", "/oauth/token/introspect"): post_introspect,
}
