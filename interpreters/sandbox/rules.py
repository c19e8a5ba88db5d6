"""What Kick does not document, as settings."""

from enum import StrEnum

from msgspec import Struct


class Rotation(StrEnum):
    """What becomes of a refresh token that was used (reference 3.3: Kick documents neither)."""

    STRICT = "strict"
    """It is spent at once; using it again ends every token that came from the same login (RFC 9700, 4.14)."""
    GRACE = "grace"
    """It is accepted again for `Rules.grace_seconds`; later it is refused, and nothing else happens."""


class DeliveryFaults(Struct, frozen=True, kw_only=True):
    """What goes wrong with webhooks on their way. `..._every` is for every n-th thing that is told, None for never.

    What does not simply take the place of a good delivery comes after it, and says so in `Delivery.fault`.
    """

    drop_every: int | None = None
    """It is never delivered."""
    late_every: int | None = None
    """It comes after the others, with a timestamp that is `late_seconds` old."""
    late_seconds: float = 240.0
    """Seconds; a receiver takes what is at most 300 old, unless it was set otherwise."""
    out_of_order: bool = False
    """Whether what is delivered at once comes in reverse."""
    duplicate_every: int | None = None
    """It comes twice, with the same id."""
    doubled_every: int | None = None
    """It comes twice, with two message ids and two subscription ids, as if the app had subscribed twice."""
    forged_every: int | None = None
    """Its text comes once more, with an id of its own and signed by a key that is not the sandbox's."""
    relabelled_every: int | None = None
    """It comes once more, with the same id and signature, and called another event."""
    unknown_type_every: int | None = None
    """An event comes after it that nobody has heard of."""
    upper_category: bool = False
    """Whether `category` is written `Category`, as Kick did in 2025."""
    nulls: bool = False
    """Whether null stands where Kick was seen to send it: for `emotes`, `identity`, `is_verified` and `replies_to`."""
    extra_members: bool = False
    """Whether every object of a body holds a member that nobody has heard of."""


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
    subscription_limit: int = 10_000
    """Event subscriptions of one event and one app; also those of chat, for an app that is verified."""
    chat_subscription_limit: int = 1_000
    """Subscriptions to `chat.message.sent` of an app that is not verified."""
    subscription_lag: float = 0.0
    """Seconds that the list of subscriptions takes to show what was made and to drop what was deleted."""
    failing_events: tuple[str, ...] = ()
    """Event names that fail on their own inside an answer of 200."""
    failing_redemptions: tuple[str, ...] = ()
    """Redemptions that can be neither accepted nor rejected, with the reason `UNKNOWN`."""
    redemption_page: int = 50
    """Redemptions on one page; Kick lets nobody choose, and tells nobody."""
    ad_break_status: int = 200
    """The status of an ad break that was taken on: 200, or 202 as its message hints."""
    rate_limit: int | None = None
    """Requests that each operation of the API host takes in a minute; 429 is the answer to more."""
    retry_after: bool = False
    """Whether such a 429 says when to come back; Kick's has never been seen to."""
    firewall_every: int | None = None
    """The firewall refuses every n-th request to the API host with its own 403."""
    fail_every: int | None = None
    """Every n-th request to the API host is answered with 500, and `data` null, and has no effect."""
    extra_members: bool = False
    """Whether every object in every JSON answer holds a member that nobody has heard of."""
    deliveries: DeliveryFaults = DeliveryFaults()
    """What goes wrong with webhooks."""
