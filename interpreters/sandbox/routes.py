"""The table of endpoints: a row says who may ask, and who answers."""

from typing import Final

from msgspec import Struct

from interpreters.sandbox.api.ads import get_ad_break_status, post_ad_break, post_enroll
from interpreters.sandbox.api.categories import get_categories, get_categories_v1, get_category
from interpreters.sandbox.api.channels import get_channels, patch_channel
from interpreters.sandbox.api.chat import delete_chat_message, post_chat
from interpreters.sandbox.api.drops import get_claims, patch_claims
from interpreters.sandbox.api.events import delete_subscriptions, get_subscriptions, post_subscriptions
from interpreters.sandbox.api.introspection import post_introspect_v1
from interpreters.sandbox.api.keys import get_public_key
from interpreters.sandbox.api.kicks import get_leaderboard
from interpreters.sandbox.api.livestreams import (
    get_livestream_stats,
    get_livestreams,
    get_livestreams_v1,
    get_user_livestreams,
)
from interpreters.sandbox.api.moderation import delete_ban, post_ban
from interpreters.sandbox.api.redemptions import get_redemptions, post_accept, post_reject
from interpreters.sandbox.api.rewards import delete_reward, get_rewards, patch_reward, post_reward
from interpreters.sandbox.api.users import get_users
from interpreters.sandbox.oauth.authorize import get_authorize, post_authorize
from interpreters.sandbox.oauth.issued import post_introspect, post_revoke
from interpreters.sandbox.oauth.token import post_token
from interpreters.sandbox.wire import Endpoint, IdEndpoint
from kickcore.oauth.scopes import Needs, Scope, any_of
from kickcore.oauth.tokens import TokenKind

ANY: Final = frozenset({TokenKind.APP, TokenKind.USER})
USER: Final = frozenset({TokenKind.USER})
APP: Final = frozenset({TokenKind.APP})


class Route(Struct, frozen=True):
    """An endpoint of the API host: which tokens may ask, and which scopes a user token needs for it.

    `is_open`: whether it asks for no token at all; `nulls_data`: whether its failures have `data` null.
    """

    method: str
    template: str
    answer: Endpoint
    kinds: frozenset[TokenKind]
    needs: Needs = ()
    is_open: bool = False
    nulls_data: bool = False


_REWARDS: Final = "/public/v1/channels/rewards"
_READS_REWARDS: Final = any_of(Scope.CHANNEL_REWARDS_READ, Scope.CHANNEL_REWARDS_WRITE)
_WRITES_REWARDS: Final = any_of(Scope.CHANNEL_REWARDS_WRITE)
_MODERATES_CHAT: Final = any_of(Scope.MODERATION_CHAT_MESSAGE_MANAGE)
_BANS: Final = any_of(Scope.MODERATION_BAN)
_SUBSCRIBES: Final = any_of(Scope.EVENTS_SUBSCRIBE)
_READS_ADS: Final = any_of(Scope.ADS_READ, Scope.ADS_WRITE)
_WRITES_ADS: Final = any_of(Scope.ADS_WRITE)

ROUTES: Final = (
    Route("GET", "/public/v1/users", get_users, ANY, any_of(Scope.USER_READ)),
    Route("GET", "/public/v1/users/livestreams", get_user_livestreams, ANY),
    Route("POST", "/public/v1/token/introspect", post_introspect_v1, ANY),
    Route("GET", "/public/v1/channels", get_channels, ANY, any_of(Scope.CHANNEL_READ)),
    Route("PATCH", "/public/v1/channels", patch_channel, USER, any_of(Scope.CHANNEL_WRITE)),
    Route("GET", _REWARDS, get_rewards, USER, _READS_REWARDS),
    Route("POST", _REWARDS, post_reward, USER, _WRITES_REWARDS),
    Route("PATCH", f"{_REWARDS}/{{id}}", patch_reward, USER, _WRITES_REWARDS),
    Route("DELETE", f"{_REWARDS}/{{id}}", delete_reward, USER, _WRITES_REWARDS),
    Route("GET", f"{_REWARDS}/redemptions", get_redemptions, USER, _READS_REWARDS),
    Route("POST", f"{_REWARDS}/redemptions/accept", post_accept, USER, _WRITES_REWARDS),
    Route("POST", f"{_REWARDS}/redemptions/reject", post_reject, USER, _WRITES_REWARDS),
    Route("POST", "/public/v1/chat", post_chat, USER, any_of(Scope.CHAT_WRITE)),
    Route("DELETE", "/public/v1/chat/{message_id}", delete_chat_message, USER, _MODERATES_CHAT),
    Route("POST", "/public/v1/moderation/bans", post_ban, USER, _BANS),
    Route("DELETE", "/public/v1/moderation/bans", delete_ban, USER, _BANS),
    Route("GET", "/public/v1/livestreams", get_livestreams_v1, ANY),
    Route("GET", "/public/v2/livestreams", get_livestreams, ANY),
    Route("GET", "/public/v1/livestreams/stats", get_livestream_stats, ANY),
    Route("GET", "/public/v1/categories", get_categories_v1, ANY),
    Route("GET", "/public/v2/categories", get_categories, ANY),
    Route("GET", "/public/v1/categories/{category_id}", get_category, ANY),
    Route("GET", "/public/v1/kicks/leaderboard", get_leaderboard, USER, any_of(Scope.KICKS_READ)),
    Route("GET", "/public/v1/public-key", get_public_key, ANY, is_open=True),
    Route("GET", "/public/v1/events/subscriptions", get_subscriptions, ANY, _SUBSCRIBES),
    Route("POST", "/public/v1/events/subscriptions", post_subscriptions, ANY, _SUBSCRIBES),
    Route("DELETE", "/public/v1/events/subscriptions", delete_subscriptions, ANY, _SUBSCRIBES),
    Route("GET", "/public/v1/drops/claims", get_claims, APP, nulls_data=True),
    Route("PATCH", "/public/v1/drops/claims", patch_claims, APP, nulls_data=True),
    Route("GET", "/public/v1/ads/ad-break-status", get_ad_break_status, USER, _READS_ADS),
    Route("POST", "/public/v1/ads/ad-break", post_ad_break, USER, _WRITES_ADS),
    Route("POST", "/public/v1/ads/enroll", post_enroll, USER, _WRITES_ADS),
)

ID_ROUTES: Final[dict[tuple[str, str], IdEndpoint]] = {
    ("GET", "/oauth/authorize"): get_authorize,
    ("POST", "/oauth/authorize"): post_authorize,
    ("POST", "/oauth/token"): post_token,
    ("POST", "/oauth/revoke"): post_revoke,
    ("POST", "/oauth/token/introspect"): post_introspect,
}
