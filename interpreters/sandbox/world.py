"""The simulated Kick at one moment: who is there, who is live, which tokens were issued. All of it values.

A `World` is never changed, only replaced; its mappings and tuples are to be copied and not written to. Times are epoch
seconds UTC. Texts that would be secrets elsewhere are plain here, because every one of them is made up.
"""

from collections.abc import Mapping

from msgspec import Struct

from interpreters.sandbox.public_key import PUBLIC_KEY
from interpreters.sandbox.records import Ads, Ban, Claim, KicksGift, Redemption, Reward, Subscription
from interpreters.sandbox.rules import Rules
from kickcore.oauth.tokens import TokenKind


class RegisteredApp(Struct, frozen=True):
    """An app in Kick's developer settings.

    `has_bot`: whether it may send messages of type `bot`; `organization`: whether it belongs to one, which gives Drops;
    `verified`: whether it may make as many subscriptions to chat as to other events.
    """

    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...]
    name: str = "Sandbox app"
    has_bot: bool = True
    organization: bool = False
    verified: bool = False


class User(Struct, frozen=True):
    """Somebody with an account."""

    user_id: int
    name: str
    email: str
    profile_picture: str = ""
    is_verified: bool = False


class Category(Struct, frozen=True):
    """What a stream is about. `tags` of None is sent as null, as Kick does for some."""

    id: int
    name: str
    thumbnail: str = ""
    tags: tuple[str, ...] | None = None


class Stream(Struct, frozen=True):
    """A stream that is running. `id` is a UUID."""

    id: str
    started_at: float
    viewer_count: int = 0
    language: str = "en"
    is_mature: bool = False
    thumbnail: str = ""


class Channel(Struct, frozen=True):
    """A user's channel; `stream` is None while it is offline, and `has_streamed` whether it ever was not."""

    broadcaster_user_id: int
    slug: str
    description: str = ""
    banner_picture: str = ""
    title: str = ""
    category_id: int | None = None
    custom_tags: tuple[str, ...] = ()
    subscribers: int = 0
    gifted_subscribers: int = 0
    canceled_subscribers: int = 0
    stream_key: str = ""
    stream_url: str = ""
    moderators: tuple[int, ...] = ()
    stream: Stream | None = None
    has_streamed: bool = False


class Message(Struct, frozen=True):
    """A chat message that was sent. `type` is "user" or "bot"; `message_id` and `reply_to` are UUIDs."""

    message_id: str
    broadcaster_user_id: int
    sender_user_id: int
    client_id: str
    type: str
    content: str
    sent_at: float
    reply_to: str | None = None


class Access(Struct, frozen=True):
    """An access token that was issued. `family` is shared by all tokens of one login; `user_id` is 0 for an app."""

    client_id: str
    kind: TokenKind
    family: str
    expires_at: float
    user_id: int = 0
    scope: tuple[str, ...] = ()


class Refresh(Struct, frozen=True):
    """A refresh token that was issued; `spent_at` is when it was first used."""

    client_id: str
    family: str
    expires_at: float
    user_id: int
    scope: tuple[str, ...]
    spent_at: float | None = None


class Code(Struct, frozen=True):
    """An authorization code that was issued, with what its exchange must match."""

    client_id: str
    family: str
    expires_at: float
    user_id: int
    scope: tuple[str, ...]
    redirect_uri: str
    challenge: str
    used: bool = False


class Due(Struct, frozen=True):
    """Something that an app is to be told by webhook, and has not been yet: what happened in a channel, and `at` when.

    `number` counts everything that is told, from 1. `body` is JSON, as it happened. A claim of a drop has no
    `subscription_id` and no channel: they are "" and 0.
    """

    number: int
    event: str
    broadcaster_user_id: int
    client_id: str
    subscription_id: str
    at: float
    body: bytes


class World(Struct, frozen=True, kw_only=True):
    """Everything the simulated Kick knows.

    `apps` by client id; `users` and `channels` by user id; `categories` by id; `access`, `refresh` and `codes` by their
    text; `messages` in the order sent; `rewards` (deleted ones too), `redemptions`, `subscriptions` and `claims` by id,
    in the order made; `bans` by channel and user; `gifts` in the order given; `ads` by user id. `counter` counts what
    was minted: with `seed` it decides every id and token.

    `due` is what is to be delivered by webhook, in the order in which it happened, and `told` how much ever was;
    `failing` is since when an app's receiver has failed with an event, by client id and event. `public_key` is what is
    served to check webhooks with; the one that stands there at first is replaced by that of the `Sandbox`.

    `requests` and `paces` count for the faults that `rules` ask for, and stand still without them: requests to the API
    host, and for each operation when its current minute began and how many it has had since.
    """

    seed: str = "sandbox"
    counter: int = 0
    rules: Rules = Rules()
    apps: Mapping[str, RegisteredApp] = {}
    users: Mapping[int, User] = {}
    channels: Mapping[int, Channel] = {}
    categories: Mapping[int, Category] = {}
    messages: tuple[Message, ...] = ()
    access: Mapping[str, Access] = {}
    refresh: Mapping[str, Refresh] = {}
    codes: Mapping[str, Code] = {}
    rewards: Mapping[str, Reward] = {}
    redemptions: Mapping[str, Redemption] = {}
    bans: Mapping[tuple[int, int], Ban] = {}
    gifts: tuple[KicksGift, ...] = ()
    subscriptions: Mapping[str, Subscription] = {}
    claims: Mapping[str, Claim] = {}
    ads: Mapping[int, Ads] = {}
    due: tuple[Due, ...] = ()
    told: int = 0
    failing: Mapping[tuple[str, str], float] = {}
    public_key: str = PUBLIC_KEY
    requests: int = 0
    paces: Mapping[str, tuple[float, int]] = {}
