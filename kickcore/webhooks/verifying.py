"""Whether a delivery is from Kick: decided on values, without a framework, a clock or a socket.

Kick signs id, timestamp and body, joined by dots. So shapes come first: with a dot in the id, one signature would fit
two deliveries. The signature covers neither the type nor the subscription, and one key serves all apps: it proves that
Kick has sent this to somebody.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
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
_TYPE: Final = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*", re.ASCII)
_VERSION: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
_INSTANT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)

_ID, _SIGNATURE = "kick-event-message-id", "kick-event-signature"
_TIMESTAMP, _CLAIM_TIMESTAMP = "kick-event-message-timestamp", "kick-event-timestamp"
_EVENT, _EVENT_VERSION, _SUBSCRIPTION = "kick-event-type", "kick-event-version", "kick-event-subscription-id"
_KNOWN: Final = frozenset({_ID, _SIGNATURE, _TIMESTAMP, _CLAIM_TIMESTAMP, _EVENT, _EVENT_VERSION, _SUBSCRIPTION})
_LONGEST: Final = 2048
"""Characters of a header's value; a signature of the longest key has 1,368."""


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
    found = _own_headers(headers)
    if isinstance(found, Rejected):
        return found
    stamp = found.get(_TIMESTAMP) or found.get(_CLAIM_TIMESTAMP, "")
    rejected = _misshapen(found, stamp)
    if rejected is not None:
        return rejected
    instant = _instant(stamp)
    if instant is None:
        return Rejected(Refusal.MALFORMED_HEADER, "the timestamp is no instant")
    message = b"%s.%s.%s" % (found[_ID].encode("ascii"), stamp.encode("ascii"), body)
    if not _is_signed(found[_SIGNATURE], message, keys):
        return Rejected(Refusal.INVALID_SIGNATURE, "no key has made this signature")
    if abs(now - instant) > window:
        return Rejected(Refusal.STALE_TIMESTAMP, f"it is {now - instant:.0f} seconds old")
    return _delivery(found, instant, body)


def _delivery(found: Mapping[str, str], instant: float, body: bytes) -> Delivery:
    kind, version = found.get(_EVENT, ""), found.get(_EVENT_VERSION, "")
    event = parse_claim(body) if _CLAIM_TIMESTAMP in found else parse(kind, version, body)
    return Delivery(found[_ID], instant, event, kind, version, found.get(_SUBSCRIPTION, ""), body)


def _own_headers(headers: Headers) -> dict[str, str] | Rejected:
    """Kick's headers by their names in lower case."""
    found: dict[str, str] = {}
    given = cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else headers
    pairs: Iterable[tuple[str | bytes, str | bytes]] = given
    for key, value in pairs:
        name = (key.decode("latin-1") if isinstance(key, bytes) else key).lower()
        if name in _KNOWN:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if name in found:
                return Rejected(Refusal.MALFORMED_HEADER, f"{name} comes twice")
            if len(text) > _LONGEST:
                # A signature is as long as the key says; anything else has no such length either.
                refusal = Refusal.INVALID_SIGNATURE if name == _SIGNATURE else Refusal.MALFORMED_HEADER
                return Rejected(refusal, f"{name} has {len(text)} characters")
            found[name] = text.strip(" \t")
    return found


def _misshapen(found: Mapping[str, str], stamp: str) -> Rejected | None:
    for name in (_ID, _SIGNATURE):
        if not found.get(name):
            return Rejected(Refusal.MISSING_HEADER, name)
    if not stamp:
        return Rejected(Refusal.MISSING_HEADER, _TIMESTAMP)
    is_claim = _CLAIM_TIMESTAMP in found
    if is_claim and any(name in found for name in (_TIMESTAMP, _EVENT, _SUBSCRIPTION)):
        return Rejected(Refusal.MALFORMED_HEADER, "it has headers of an event and of a claim")
    if not is_claim and not found.get(_EVENT):
        return Rejected(Refusal.MISSING_HEADER, _EVENT)
    shapes = ((_ID, _ULID), (_EVENT, _TYPE), (_EVENT_VERSION, _VERSION), (_SUBSCRIPTION, _ULID))
    for name, shape in shapes:
        if found.get(name) and not shape.fullmatch(found[name]):
            return Rejected(Refusal.MALFORMED_HEADER, name)
    return None


def _instant(text: str) -> float | None:
    """An instant of RFC 3339, with its zone, in epoch seconds."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    if found[8]:
        hours, minutes = int(found[9]), int(found[10])
        if hours > 23 or minutes > 59:
            return None
        offset = hours * 3600 + minutes * 60
        moment += -offset if found[8] == "+" else offset
    return moment + float(f"0.{found[7] or '0'}")


def _is_signed(signature: str, message: bytes, keys: Sequence[PublicKey]) -> bool:
    fitting = [key for key in keys if len(signature) == -(-key.size // 3) * 4]
    if not fitting:
        return False
    try:
        octets = b64decode(signature, validate=True)
    except ValueError:
        return False
    # Two texts may stand for the same octets; one of them is what Kick wrote.
    if b64encode(octets).decode("ascii") != signature:
        return False
    return any(key.has_signed(octets, message) for key in fitting)
