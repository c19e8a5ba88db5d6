"""A world to start from: a handful of people, some of them live, and things to stream about."""

from typing import Final, Unpack

from interpreters.sandbox.building import Settings, going_live, with_rules
from interpreters.sandbox.world import Category, Channel, RegisteredApp, User, World

STARTED: Final = 1_790_000_000.0
"""Epoch seconds: the morning of 21 September 2026, when the first stream of the small world began."""

OWNER: Final = 123
"""The user id of the small world's first user, who is live and whose channel has a stream key."""

_PICTURE: Final = "https://files.kick.com/images/user/{}/profile_image/conversion/sandbox-medium.webp"

# Id, name, slug and title. Two slugs differ from the name by more than case: no rule leads from one to the other.
_PEOPLE: Final = (
    (123, "streamer_123", "streamer-123", "My first stream"),
    (456, "Streamer_456", "streamer-456", ""),
    (676, "xQc", "xqc", "JUICED"),
    (789, "QuietOne", "quietone", "Back on Friday"),
    (1001, "Lena", "lena", "Desenhando com vocês"),
    (1002, "speedster", "speedster", "any% attempts"),
)

_CATEGORIES: Final = (
    Category(15, "Just Chatting", "https://files.kick.com/images/subcategories/15/banner/sandbox", ("irl",)),
    Category(101, "Old School RuneScape", "https://kick.com/img/categories/old-school-runescape.jpeg", ("mmorpg",)),
    Category(4688, "Miniature Wargaming", "https://files.kick.com/images/subcategories/4688/banner/sandbox", None),
    Category(
        9569, "Gaming Cafe Simulator", "https://files.kick.com/images/subcategories/9569/banner/sandbox", ("simu",)
    ),
    Category(9600, "Retro Gaming", "", ("retro", "speedrun")),
    Category(9700, "Art", "", ()),
)

# User id, seconds after STARTED, category, viewers, language, mature.
_LIVE: Final = (
    (123, 0, 15, 67, "en", False),
    (676, 3_600, 9600, 41_250, "en", True),
    (1001, 5_400, 9700, 12, "pt-BR", False),
    (1002, 7_200, 9600, 0, "en", False),
)


def _channel(user_id: int, slug: str, title: str) -> Channel:
    return Channel(
        broadcaster_user_id=user_id,
        slug=slug,
        description=f"About {slug}",
        title=title,
        custom_tags=("tag1", "tag2") if user_id == OWNER else (),
        subscribers=user_id % 200,
        gifted_subscribers=user_id % 40,
        canceled_subscribers=user_id % 7,
        stream_key=f"sk_us-west-2_SANDBOX{user_id}",
        stream_url="rtmps://sandbox.global-contribute.live-video.net",
    )


def small_world(
    client_id: str = "sandbox-app",
    client_secret: str = "sandbox-secret",
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1:3000/callback",),
    *,
    seed: str = "sandbox",
    **settings: Unpack[Settings],
) -> World:
    """A world with one app, six users with channels, four of them live, and six categories.

    Users 123 (`streamer-123`), 676 (`xqc`), 1001 (`lena`, in pt-BR) and 1002 (`speedster`) are live; 456 and 789 are
    not. Categories 4688, 9569 and 9600 have "gaming" in their names. `settings` are the members of `Rules`; another
    `seed` gives other tokens and ids.
    """
    world = World(
        seed=seed,
        apps={client_id: RegisteredApp(client_id, client_secret, redirect_uris)},
        users={
            user_id: User(user_id, name, f"{slug}@example.com", _PICTURE.format(user_id))
            for user_id, name, slug, _ in _PEOPLE
        },
        channels={user_id: _channel(user_id, slug, title) for user_id, _, slug, title in _PEOPLE},
        categories={category.id: category for category in _CATEGORIES},
    )
    for user_id, after, category_id, viewers, language, is_mature in _LIVE:
        world = going_live(
            world,
            user_id,
            at=STARTED + after,
            category_id=category_id,
            viewers=viewers,
            language=language,
            is_mature=is_mature,
        )
    return with_rules(world, **settings)
