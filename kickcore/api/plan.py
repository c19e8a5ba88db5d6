"""What calls would do, without doing it: the scopes they need, the requests they would send."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from kickcore.effects import (
    Consent,
    DropToken,
    Entropy,
    Exclusive,
    HoldBack,
    Leaf,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    Now,
    PayRetry,
    Program,
    RenewAhead,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.errors import ConfigError, KickError
from kickcore.http import Request, Response, encode_pairs
from kickcore.oauth.scopes import NEEDS, Scope
from kickcore.oauth.tokens import App, Saved, Stored, Token
from kickcore.policy import Pace
from kickcore.secret import Secret

_APP: Final = App("dry-run", Secret("dry-run"))
_TOKEN: Final = Token(Secret("dry-run"), 1e12, 0.0, Secret("dry-run"))


_PAGES: Final = {
    "livestreams": "fetch_livestreams",
    "categories": "fetch_categories",
    "reward_redemptions": "fetch_reward_redemptions",
    "drops_claims": "fetch_drops_claims",
}

FREE: Final = frozenset(
    {
        "fetch_livestreams", "fetch_user_livestreams", "fetch_livestream_stats", "fetch_categories", "fetch_public_key",
        "fetch_drops_claims", "update_drops_claims", "introspect_token", "logout", "fetch_livestream",
        "fetch_livestreams_v1", "search_categories_v1", "fetch_category", "introspect_token_v1", *_PAGES,
    }
)  # fmt: skip
"""The methods that need no scope."""


def scopes_needed(*methods: str | Callable[..., object]) -> tuple[Scope, ...]:
    """What to ask for in `authenticate`, so that a user token may be used for all of these methods.

    Methods of `KickClient`, programs, or their names. Where one of several scopes is enough, one that is needed anyway
    is taken, else the first by name, which reads only. Raises `ConfigError` for a name that is no method.
    """
    groups = [group for method in methods for group in NEEDS.get(_name(method), ())]
    asked = {scope for group in groups if len(group) == 1 for scope in group}
    for group in groups:
        if not group & asked:
            asked.add(min(group))
    return tuple(sorted(asked))


def _name(method: str | Callable[..., object]) -> str:
    name = method if isinstance(method, str) else getattr(method, "__name__", "")
    if name not in NEEDS and name not in FREE:
        raise ConfigError(f"{name!r} is not the name of a method that sends anything")
    return _PAGES.get(name, name)


_ANSWERS: Final[Mapping[str, bytes]] = {
    "POST /public/v1/chat": b'{"data":{"is_sent":true,"message_id":""}}',
    "POST /public/v1/channels/rewards": b'{"data":{"id":"","title":"","cost":1}}',
    "PATCH /public/v1/channels/rewards/{id}": b'{"data":{"id":"","title":"","cost":1}}',
    "GET /public/v1/livestreams/stats": b'{"data":{"total_count":0}}',
    "GET /public/v1/kicks/leaderboard": b'{"data":{}}',
    "GET /public/v1/public-key": b'{"data":{"public_key":"-"}}',
    "GET /public/v1/ads/ad-break-status": b'{"data":{}}',
    "POST /public/v1/ads/ad-break": b'{"data":{"id":"","remaining_ad_breaks":0}}',
    "GET /public/v1/drops/claims": b'{"data":{"claims":[]}}',
}
"""Empty answers of those operations that do not answer with a list."""


class Plan(Struct, frozen=True):
    """The requests that a program would send, in order; `is_complete` if it came to its end with empty answers."""

    requests: tuple[Request, ...]
    is_complete: bool

    def __str__(self) -> str:
        lines = [_line(request) for request in self.requests]
        return "\n".join(lines if self.is_complete else [*lines, "… and what depends on the answers"])


def _line(request: Request) -> str:
    query = f"?{encode_pairs(request.query)}" if request.query else ""
    body = f" {request.body.decode()}" if request.body else ""
    return f"{request.method} {request.url}{query}{body}"


def dry_run(program: Program[Any], app: App = _APP) -> Plan:
    """The requests that `program` would send if it had its tokens. Nothing is sent, and no token is touched.

    Answers are made up and empty, so a program that looks at them is planned up to where it stumbles over that.
    Raises `InvalidInput` and `ConfigError` as the program itself would.
    """
    requests: list[Request] = []
    answer: object = None
    try:
        while True:
            effect = program.send(answer)
            if isinstance(effect, Send):
                requests.append(effect.request)
            answer = _TOKEN if isinstance(effect, Exclusive) else _made_up(effect, app)
    except StopIteration:
        return Plan(tuple(requests), is_complete=True)
    except KickError:
        if not requests:
            raise
        return Plan(tuple(requests), is_complete=False)
    finally:
        program.close()


def _made_up(effect: Leaf | RenewAhead, app: App) -> object:  # noqa: C901 - one case for each effect
    match effect:
        case Now():
            return 1.0
        case Entropy(size):
            return bytes(size)
        case Send(request):
            return Response(200, (), _ANSWERS.get(request.group, b'{"data":[]}'))
        case LoadApp():
            return app
        case LoadToken():
            return Stored(_TOKEN)
        case SaveToken():
            return Saved("")
        case LoadPace():
            return Pace()
        case PayRetry():
            return False
        case Sleep() | DropToken() | HoldBack() | Notify() | RenewAhead():
            return None
        case Consent():
            raise ConfigError("a login cannot be planned: it depends on the user")
