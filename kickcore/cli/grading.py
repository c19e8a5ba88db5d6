"""`kickcore event verify`: what a receiver of webhooks takes and refuses, as far as it can be seen from outside."""

import time
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from interpreters.sandbox import OWNER, Delivery, Outgoing, SigningKey
from interpreters.sandbox.deliveries import UNHEARD, another_than, unheard_of
from interpreters.sandbox.delivering import TIMEOUT, Answered, client_to, post
from interpreters.sandbox.signing import foreign_key, signed
from kickcore.api.events import EventName
from kickcore.cli.triggering import SUBSCRIPTION, chat_body, new_id
from kickcore.errors import KickError
from kickcore.webhooks.verifying import LONGEST_WINDOW

SOON: Final = 2.0
"""Seconds within which a receiver shall answer. Kick documents no limit; who acknowledges first needs none of it."""

_STALE: Final = LONGEST_WINDOW + 3_600.0
"""Seconds by which a timestamp is off that no receiver has a reason to take."""
_CHAT: Final = EventName.CHAT_MESSAGE_SENT.value
_TEXT: Final = "It is 12.30 [emote:37226:KEKW]"
"""With a dot, at which the signed octets can be cut otherwise."""


class Mark(Struct, frozen=True):
    """What a receiver should do, whether it does, and what it answered."""

    words: str
    is_good: bool
    answer: str


class _Check(Struct, frozen=True):
    words: str
    delivery: Delivery
    is_good: Callable[[int], bool]


def _takes(status: int) -> bool:
    return 200 <= status < 300


def _refuses(status: int) -> bool:
    return 400 <= status < 500


def _stands(status: int) -> bool:
    """What is made of it inside cannot be seen; only that it does no harm."""
    return _takes(status) or _refuses(status)


def _checks(key: SigningKey, now: float) -> list[_Check]:
    body = chat_body(_TEXT, now)
    members = cast("dict[str, object]", msgspec.json.decode(body))

    def outgoing(**changed: Any) -> Outgoing:
        return replace(Outgoing(_CHAT, OWNER, "", new_id(now), now, body, _CHAT, SUBSCRIPTION), **changed)

    def good(**changed: Any) -> Delivery:
        return signed(outgoing(**changed), key)

    first = good()
    return [
        _Check("takes what is good", first, _takes),
        _Check("takes it again, with the same id", first, _takes),
        _Check("takes a member that is new", good(body=msgspec.json.encode({**members, "not_heard_of": 1})), _takes),
        _Check("takes an event that is new", good(type=UNHEARD, body=unheard_of(body)), _takes),
        _Check("takes a version that is new", good(version="2"), _takes),
        _Check("takes a signed body that is no JSON", good(body=b"{"), _takes),
        _Check("stands an event under another one's name", good(type=another_than(_CHAT)), _stands),
        _Check("refuses what another key has signed", signed(outgoing(), foreign_key()), _refuses),
        _Check("refuses a changed body", replace(good(), body=body.replace(b"12.30", b"12.31")), _refuses),
        _Check("refuses a changed id", _with(good(), "Kick-Event-Message-Id", new_id(now)), _refuses),
        _Check("refuses what has no signature", _without(good(), "Kick-Event-Signature"), _refuses),
        _Check("refuses what is signed and cut elsewhere", _cut_elsewhere(good()), _refuses),
        _Check("refuses what is a day old", good(timestamp=now - _STALE), _refuses),
        _Check("refuses what is a day ahead", good(timestamp=now + _STALE), _refuses),
    ]


def _with(delivery: Delivery, header: str, value: str) -> Delivery:
    changed = tuple((name, value if name == header else held) for name, held in delivery.headers)
    return replace(delivery, headers=changed)


def _without(delivery: Delivery, header: str) -> Delivery:
    return replace(delivery, headers=tuple(pair for pair in delivery.headers if pair[0] != header))


def _cut_elsewhere(delivery: Delivery) -> Delivery:
    """The same signed octets, of which the first of the body are in the timestamp."""
    start, _, rest = delivery.body.partition(b".")
    moved = f"{delivery.sent.stamp}.{start.decode('ascii')}"
    return replace(_with(delivery, "Kick-Event-Message-Timestamp", moved), body=rest)


def described(came: Answered) -> str:
    """What a receiver answered, for people."""
    return f"{came.status} in {came.seconds * 1000:.0f} ms" if came.status else f"no answer ({came.detail})"


async def graded(url: str, key: SigningKey, within: float = SOON) -> list[Mark]:
    """Send a receiver one delivery after the other and tell what it makes of them; it shall answer `within` seconds.

    The receiver is taken to take `key`. Raises `KickError` if the first gets no answer at all, and `ConfigError` for an
    address that is none.
    """
    marks: list[Mark] = []
    slowest = 0.0
    async with client_to(url) as http:
        for check in _checks(key, time.time()):
            # It may take longer than it should: so it is known what it answers.
            came = await post(check.delivery, url, http, within=max(TIMEOUT, 2 * within))
            if not marks and not came.status:
                raise KickError(f"there is no receiver to grade at {url}: {came.detail}")
            marks.append(Mark(check.words, check.is_good(came.status), described(came)))
            slowest = max(slowest, came.seconds)
    return [*marks, Mark(f"answers within {within:g} s", slowest <= within, f"{slowest * 1000:.0f} ms at most")]
