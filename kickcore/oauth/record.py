"""A token as text for a file: what is written, and what is believed when it is read.

The members are those that kickcom.py 1.1 writes, so its files are read too, and beside them `version`, `issuer`,
`client_id`, `account`, `issued_at`, `granted_at`, `refresh_issued_at`, `attempt` and `check`. Members that are not
known are kept.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, cast

from msgspec import Struct

from kickcore.oauth.grants import bearer
from kickcore.oauth.scopes import parse_scope
from kickcore.oauth.tokens import LONGEST_LIFE, Attempt, Outcome, Slot, Token
from kickcore.secret import Secret

RECORD_VERSION: Final = 1
RECORD_LIMIT: Final = 64 * 1024
"""Bytes; a longer file is no token file."""


class Flaw(StrEnum):
    """Why a record is not used."""

    CORRUPT = "corrupt"
    NEWER = "newer"
    FOREIGN = "foreign"


class Unusable(Struct, frozen=True):
    """A record that is not used. `why` is for people and holds nothing of what the record holds but its names."""

    flaw: Flaw
    why: str


class Record(Struct, frozen=True):
    """A token as it was stored, and the members beside it that this version does not know."""

    token: Token
    unknown: Mapping[str, Any]


_AGES: Final = ("granted_at", "refresh_issued_at")
_OUTCOMES: Final = frozenset(Outcome)
_KNOWN: Final = frozenset(
    {
        "version", "issuer", "client_id", "token_kind", "account", "access_token", "token_type", "refresh_token",
        "scope", "expires_at", "issued_at", "granted_at", "refresh_issued_at", "attempt", "check",
    }
)  # fmt: skip


def write_record(slot: Slot, token: Token, unknown: Mapping[str, Any] | None = None) -> bytes:
    """The text of a token file: JSON, UTF-8, with every secret in it."""
    members: dict[str, Any] = {
        "version": RECORD_VERSION,
        "issuer": slot.issuer,
        "client_id": slot.client_id,
        "token_kind": slot.kind.value,
        "account": slot.account,
        "access_token": token.access_token.reveal() if token.access_token else None,
        "token_type": "Bearer",
        "expires_at": token.expires_at,
        "issued_at": token.issued_at,
    }
    if token.refresh_token is not None:
        members["refresh_token"] = token.refresh_token.reveal()
    members["check"] = _check(members["access_token"], members.get("refresh_token"))
    if token.scope is not None:
        members["scope"] = " ".join(token.scope)
    members |= {name: instant for name in _AGES if (instant := getattr(token, name)) is not None}
    if token.attempt is not None:
        members["attempt"] = {"at": token.attempt.at, "outcome": token.attempt.outcome.value}
    return json.dumps({**(unknown or {}), **members}, indent=2).encode("utf-8") + b"\n"


def read_record(text: bytes, slot: Slot, now: float) -> Record | Unusable:
    """Read a token file that is kept for `slot`.

    Bound to a slot by the members that name one; those that are missing (as in files of kickcom.py) match any.
    An end that cannot be read makes the token due now; one that is too far away (milliseconds, a broken clock) is cut.
    """
    members = _members(text)
    if members is None:
        return Unusable(Flaw.CORRUPT, "it is not a JSON object")
    version = members.get("version", RECORD_VERSION)
    if isinstance(version, int) and not isinstance(version, bool) and version > RECORD_VERSION:
        return Unusable(Flaw.NEWER, f"its version is {version}, and this kickcore knows {RECORD_VERSION}")
    foreign = _foreign(members, slot)
    if foreign is not None:
        return Unusable(Flaw.FOREIGN, foreign)
    access, refresh, scope = members.get("access_token"), members.get("refresh_token"), members.get("scope")
    if not _is_token(access) or not _is_token(refresh) or not isinstance(scope, str | None):
        return Unusable(Flaw.CORRUPT, "a member of it is of the wrong kind")
    if access is None and refresh is None:
        return Unusable(Flaw.CORRUPT, "it holds no token")
    if "check" in members and members["check"] != _check(access, refresh):
        why = "its tokens do not fit its check (if you changed them yourself, remove the member check, too)"
        return Unusable(Flaw.CORRUPT, why)
    token = Token(
        _secret(access),
        min(_instant(members.get("expires_at")), now + LONGEST_LIFE),
        _instant(members.get("issued_at")),
        _secret(refresh),
        parse_scope(scope) if isinstance(scope, str) else None,
        _instant(members.get("granted_at")) or None,
        _instant(members.get("refresh_issued_at")) or None,
        _attempt(members.get("attempt")),
    )
    return Record(token, {name: value for name, value in members.items() if name not in _KNOWN})


def _members(text: bytes) -> dict[str, Any] | None:
    try:
        parsed: object = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else None


def _foreign(members: Mapping[str, Any], slot: Slot) -> str | None:
    own = {
        "issuer": slot.issuer,
        "client_id": slot.client_id,
        "token_kind": slot.kind.value,
        "account": slot.account,
    }
    for name, value in own.items():
        if name in members and members[name] != value:
            return f"its {name} is not {value!r}"
    return None


def _is_token(member: object) -> bool:
    return member is None or member == "" or bearer(member) is not None


def _check(access: str | None, refresh: str | None) -> str:
    """A few letters by which a token that lost a bit on the disk is told from the one that was stored.

    Of the tokens alone: other versions may know other members.
    """
    return hashlib.sha256(json.dumps([access or None, refresh or None]).encode()).hexdigest()[:16]


def _secret(member: object) -> Secret | None:
    return bearer(member)


def _attempt(member: object) -> Attempt | None:
    """What is told of the last attempt. Of one that cannot be read only this is known: that there was one."""
    if not isinstance(member, dict):
        return None
    members = cast("dict[str, Any]", member)
    outcome = members.get("outcome")
    known = Outcome(outcome) if isinstance(outcome, str) and outcome in _OUTCOMES else Outcome.UNKNOWN
    return Attempt(_instant(members.get("at")), known)


def _instant(member: object) -> float:
    """An instant in epoch seconds from a number, a numeric text or an RFC 3339 text; 0.0 for anything else."""
    if isinstance(member, bool) or not isinstance(member, int | float | str):
        return 0.0
    try:
        seconds = float(member)
    except (ValueError, OverflowError):
        seconds = _from_text(member) if isinstance(member, str) else float(2**53)
    return seconds if 0.0 <= seconds < float("inf") else 0.0


def _from_text(text: str) -> float:
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
