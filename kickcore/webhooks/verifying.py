"""Whether a delivery is from Kick: decided on values, without a framework, a clock or a socket.

Kick signs id, timestamp and body, joined by dots. So shapes come first: with a dot in the id, one signature would fit
two deliveries. The signature covers neither the type nor the subscription, and one key serves all apps: it proves that
Kick has sent this to somebody.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeAlias, cast

from msgspec import Struct

from kickcore.errors import ConfigError
from kickcore.webhooks.events import DropsClaim, Event, Unknown, parse, parse_claim
from kickcore.webhooks.keys import PublicKey

WINDOW: Final = 300.0
"""Seconds by which a delivery's timestamp may be off, in both directions."""
LONGEST_WINDOW: Final = 86400.0
LARGEST_BODY: Final = 256 * 1024
"""Octets of a body."""

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""Headers by name, or as pairs in the order in which they came. Pairs are better: they show one that comes twice."""


class Refusal(StrEnum):
    """Why a delivery is not taken."""

    TOO_LARGE = "too_large"
    MISSING_HEADER = "missing_header"
    MALFORMED_HEADER = "malformed_header"
    INVALID_SIGNATURE = "invalid_signature"
    STALE_TIMESTAMP = "stale_timestamp"


class Rejected(Struct, frozen=True):
    """A delivery that is not taken. `detail` is for logs of yours: tell whoever sent it nothing of it."""

    refusal: Refusal
    detail: str = ""


class Delivery(Struct, frozen=True):
    """A delivery that Kick has signed. `timestamp` is in epoch seconds; `type`, `version` and `subscription_id` are not
    signed, and "" where the header is not there.
    """

    message_id: str
    timestamp: float
    event: Event | DropsClaim | Unknown
    type: str = ""
    version: str = ""
    subscription_id: str = ""
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<Delivery {self.message_id} {self.type or 'drops claim'}, {len(self.body)} bytes>"


# Crockford's alphabet; the first letter holds three bits.
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
_TYPE: Final = re.compile(r"[a-z0-9_]{1,40}(?:\.[a-z0-9_]{1,40}){0,5}", re.ASCII)
_VERSION: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)

_ID, _SIGNATURE = "kick-event-message-id", "kick-event-signature"
_TIMESTAMP, _CLAIM_TIMESTAMP = "kick-event-message-timestamp", "kick-event-timestamp"
_EVENT, _EVENT_VERSION, _SUBSCRIPTION = "kick-event-type", "kick-event-version", "kick-event-subscription-id"
_KNOWN: Final = frozenset({_ID, _SIGNATURE, _TIMESTAMP, _CLAIM_TIMESTAMP, _EVENT, _EVENT_VERSION, _SUBSCRIPTION})


def verify(
    headers: Headers,
    body: bytes,
    now: float,
    keys: Sequence[PublicKey],
    window: float = WINDOW,
    *,
    largest: int = LARGEST_BODY,
) -> Delivery | Rejected:
    """Check a delivery, and read it if Kick has signed it.

    `body` are the octets as they came; `now` is in epoch seconds; `keys` are those that may have signed; `window` is
    how many seconds the timestamp may be off, at most a day. Size and shapes come first, then the signature, then the
    window, and only then is the body read. Never raises for what somebody may send.

    Raises `ConfigError` for a window or keys that cannot be right.
    """
    if not 0 < window <= LONGEST_WINDOW:
        raise ConfigError(f"window is a number of seconds, more than 0 and at most {LONGEST_WINDOW:g}")
    if not keys:
        raise ConfigError("there is no key to check with: keys=[public_key()]")
    if len(body) > largest:
        return Rejected(Refusal.TOO_LARGE, f"{len(body)} octets")
    told = _usual(headers) or _checked(headers)
    if isinstance(told, Rejected):
        return told
    message_id, stamp, kind, subscription, version, signature = told
    instant = _instant(stamp)
    if instant is None:
        return Rejected(Refusal.MALFORMED_HEADER, "the timestamp is no instant")
    message = f"{message_id}.{stamp}.".encode("ascii") + body
    for key in keys:
        if key.has_signed(signature, message):
            break
    else:
        return Rejected(Refusal.INVALID_SIGNATURE, "no key has made this signature")
    if abs(now - instant) > window:
        return Rejected(Refusal.STALE_TIMESTAMP, f"it is {now - instant:.0f} seconds old")
    event = parse(kind, version, body) if kind else parse_claim(body)
    return Delivery(message_id, instant, event, kind, version, subscription, body)


_Told: TypeAlias = tuple[str, str, str, str, str, str]
"""Id, timestamp, type, subscription, version, signature: each in its shape, or "" where it may be missing."""

_USUAL: Final = tuple(name.encode("ascii") for name in (_ID, _TIMESTAMP, _EVENT, _SUBSCRIPTION, _EVENT_VERSION))
_TOGETHER: Final = re.compile(
    f"({_ULID.pattern})\n({_INSTANT.pattern})\n({_TYPE.pattern})\n({_ULID.pattern})\n({_VERSION.pattern})", re.ASCII
)


def _usual(headers: Headers) -> _Told | None:
    """The quick way for what servers give: pairs of octets, in lower case, each once, and in its shape.

    All is looked at together. Whatever is otherwise is looked at one by one, and gets its reason then.
    """
    if headers.__class__ is not list:
        return None
    pairs = cast("list[tuple[bytes, bytes]]", headers)
    try:
        given = dict(pairs)
        if len(given) != len(pairs) or not b"".join(given).islower():
            return None
        found = _TOGETHER.fullmatch(b"\n".join([given[name] for name in _USUAL]).decode("latin-1"))
        signature = given[_SIGNATURE_OCTETS].decode("latin-1")
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if found is None or not signature.strip(" \t") or _CLAIM_OCTETS in given:
        return None
    return (*cast("tuple[str, str, str, str, str]", found.groups()), signature)


_SIGNATURE_OCTETS, _CLAIM_OCTETS = _SIGNATURE.encode("ascii"), _CLAIM_TIMESTAMP.encode("ascii")


def _checked(headers: Headers) -> _Told | Rejected:
    found = _own_headers(headers)
    if isinstance(found, Rejected):
        return found
    is_claim = _CLAIM_TIMESTAMP in found
    stamp = found.get(_CLAIM_TIMESTAMP if is_claim else _TIMESTAMP, "")
    if is_claim and any(name in found for name in (_TIMESTAMP, _EVENT, _SUBSCRIPTION)):
        return Rejected(Refusal.MALFORMED_HEADER, "it has headers of an event and of a claim")
    for name in (_ID, _SIGNATURE, *(() if is_claim else (_TIMESTAMP, _EVENT))):
        if not found.get(name):
            return Rejected(Refusal.MISSING_HEADER, name)
    for name, shape in ((_ID, _ULID), (_EVENT, _TYPE), (_SUBSCRIPTION, _ULID), (_EVENT_VERSION, _VERSION)):
        if found.get(name) and not shape.fullmatch(found[name]):
            return Rejected(Refusal.MALFORMED_HEADER, name)
    told = (found.get(name, "") for name in (_EVENT, _SUBSCRIPTION, _EVENT_VERSION))
    kind, subscription, version = told
    return found[_ID], stamp, kind, subscription, version, found[_SIGNATURE]


def _own_headers(headers: Headers) -> dict[str, str] | Rejected:
    """Kick's headers by their names in lower case."""
    found: dict[str, str] = {}
    given = cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else headers
    pairs: Iterable[tuple[str | bytes, str | bytes]] = given
    for key, value in pairs:
        name = (key.decode("latin-1") if isinstance(key, bytes) else key).lower()
        if name in _KNOWN:
            if name in found:
                return Rejected(Refusal.MALFORMED_HEADER, f"{name} comes twice")
            found[name] = (value.decode("latin-1") if isinstance(value, bytes) else value).strip(" \t")
    return found


@lru_cache(maxsize=256)
def _instant(text: str) -> float | None:
    """An instant of RFC 3339, with its zone, in epoch seconds. Many deliveries come in one second."""
    if _INSTANT.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
