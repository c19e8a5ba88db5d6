"""The simulated Kick at one moment: who is there, who is live, which tokens were issued. All of it values.

A `World` is never changed, only replaced; its mappings and tuples are to be copied and not written to. Times are epoch
seconds UTC. Texts that would be secrets elsewhere are plain here, because every one of them is made up.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from kickcore.oauth.tokens import TokenKind


class Rotation(StrEnum):
    """What becomes of a refresh token that was used (reference 3.3: Kick documents neither)."""

    STRICT = "strict"
    """It is spent at once; using it again ends every token that came from the same login (RFC 9700, 4.14)."""
    GRACE = "grace"
    """It is accepted again for `Rules.grace_seconds`; later it is refused, and nothing else happens."""


class Rules(Struct, frozen=True, kw_only=True):
    """What Kick does not document, or what tests want otherwise. Lives are in seconds."""

    user_life: float = 7_200.0
    app_life: float = 5_184_000.0
    refresh_life: float = 30 * 86_400.0
    """How long a refresh token may lie unused."""
    code_life: float = 600.0
    rotation: Rotation = Rotation.STRICT
    grace_seconds: float = 60.0
    refresh_ends_access: bool = False
    """Whether a refresh ends the access tokens of the same login that are still alive."""
    invalid_grant_status: int = 401
    """401 as the library behind Kick has it, or 400 as in RFC 6749, section 5.2."""
    unknown_slug_fails: bool = False
    """Whether one unknown slug fails the whole batch with 400 (seen in 2026) or is left out (seen in 2025)."""
    rewrites_loopback: bool = False
    """Whether the consent page turns the first `127.0.0.1` of its query into `localhost`, as Kick's does (#211)."""


class RegisteredApp(Struct, frozen=True):
    """An app in Kick's developer settings. `has_bot`: whether it may send messages of type `bot`."""

    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...]
    name: str = "Sandbox app"
    has_bot: bool = True


class User(Struct, frozen=True):
    """Somebody with an account."""

    user_id: int
    name: str
    email: str
    profile_picture: str = ""


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
    """A user's channel; `stream` is None while it is offline."""

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


class World(Struct, frozen=True, kw_only=True):
    """Everything the simulated Kick knows.

    `apps` by client id; `users` and `channels` by user id; `categories` by id; `access`, `refresh` and `codes` by their
    text; `messages` in the order sent. `counter` counts what was minted: with `seed` it decides every id and token.
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
