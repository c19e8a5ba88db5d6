"""How every call is made: an endpoint is a value, and one program runs them all.

Token, send; refused, renew once and send again; read, or raise by a table. No endpoint knows of tokens.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Generic, TypeVar, cast

import msgspec
from msgspec import Struct

from kickcore.api.drift import tell_drift
from kickcore.api.page import Page
from kickcore.api.retry import SUCCESS_REFILL, Failure, GiveUp, Repeat, decide_repeat, failure_of
from kickcore.effects import (
    Entropy,
    HoldBack,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    Now,
    PayRetry,
    Program,
    Send,
    Sleep,
)
from kickcore.errors import (
    BadRequest,
    BadResponse,
    Blocked,
    Conflict,
    Forbidden,
    HTTPError,
    NetworkError,
    NotFound,
    QuotaReached,
    RateLimited,
    RedirectRefused,
    ServerError,
    Unauthorized,
    cleaned,
)
from kickcore.http import HELD_BACK, Pairs, Request, Response, Unreachable, path_segment, retry_after
from kickcore.notices import Retrying
from kickcore.oauth.access import token_for
from kickcore.oauth.scopes import Needs, missing_scopes
from kickcore.oauth.tokens import App, TokenKind
from kickcore.policy import Pace
from kickcore.secret import Secret, without_secrets

T = TypeVar("T")

APP: Final = (TokenKind.APP,)
USER: Final = (TokenKind.USER,)
APP_OR_USER: Final = (TokenKind.APP, TokenKind.USER)
"""The app token; and the user token, if one is held, where Kick will not take the app's."""


class Call(Struct, Generic[T], frozen=True, kw_only=True):
    """One call of the API, complete but for its token.

    `operation` is the method and the path with its parameters in braces, which `segments` fill in order. `answer`
    is the type of the answer's `data`. `tokens` are the kinds of token to try, in order; `needs` are the scopes that a
    user token must have. Without `tokens`, none is sent. `body` is JSON text. `repeatable` says of a POST that sending
    it twice does no harm.
    """

    operation: str
    answer: type[T]
    tokens: tuple[TokenKind, ...]
    needs: Needs = ()
    segments: tuple[str, ...] = ()
    query: Pairs = ()
    body: bytes = b""
    repeatable: bool = False


def request_for(asked: Call[Any], app: App, bearer: Secret | None) -> Request:
    """The request that a call makes."""
    method, _, template = asked.operation.partition(" ")
    parts = iter(asked.segments)
    path = "/".join(path_segment(next(parts)) if part.startswith("{") else part for part in template.split("/"))
    return Request(method, app.api_url + path, query=asked.query, bearer=bearer, body=asked.body, group=asked.operation)


def call(asked: Call[T]) -> Program[T]:
    """Make a call and read its `data`."""
    app, response = yield from _exchange(asked)
    yield from tell_drift(app.policy, response, asked.answer, asked.operation)
    return read_data(response, asked.answer, asked.operation)


def call_page(asked: Call[list[T]]) -> Program[Page[T]]:
    """Make a call that is answered by the page: its `data` and the cursor of the next."""
    app, response = yield from _exchange(asked)
    yield from tell_drift(app.policy, response, asked.answer, asked.operation)
    envelope = _decode(response, asked.answer, asked.operation)
    cursor = envelope.pagination.next_cursor if envelope.pagination else None
    return Page(tuple(envelope.data), cursor or None)


def _exchange(asked: Call[Any]) -> Program[tuple[App, Response]]:
    """Send with each kind of token in turn, until Kick takes one."""
    app = yield from LoadApp()
    if not asked.tokens:
        response, bearer = yield from _sent(asked, app, None)
    else:
        first, *others = asked.tokens
        response, bearer = yield from _sent(asked, app, first)
        for kind in others:
            if response.status != 401:
                break
            held = yield from LoadToken(app.slot(kind))
            if held is not None and not (
                held.token.scope is not None and missing_scopes(asked.needs, held.token.scope)
            ):
                response, bearer = yield from _sent(asked, app, kind)
    if 200 <= response.status < 300:
        return app, response
    now = yield from Now()
    raise error_for(response, asked.operation, bearer, now)


def _sent(asked: Call[Any], app: App, kind: TokenKind | None) -> Program[tuple[Response, Secret | None]]:
    """Send, waiting where the group waits and repeating where the table allows it, until there is a last answer."""
    method = asked.operation.partition(" ")[0]
    attempt, spent = 0, 0.0
    while True:
        pace = yield from _wait_with_the_group(asked.operation, app)
        answer, bearer = yield from _once(asked, app, kind)
        if attempt and method == "DELETE" and isinstance(answer, Response) and answer.status == 404:
            # The first of them did it, and its answer was lost.
            answer = Response(204)
        if isinstance(answer, Response) and answer.status < 400:
            refill = max(spent, SUCCESS_REFILL if pace.refill else 0.0)
            if refill:
                _ = yield from PayRetry(-refill)
            return answer, bearer
        if answer == HELD_BACK:
            continue
        cost = yield from _repeating(asked, app, answer, attempt)
        if cost is None:
            return answered(answer, asked.operation), bearer
        attempt, spent = attempt + 1, spent + cost


def _repeating(asked: Call[Any], app: App, answer: Response | Unreachable, attempt: int) -> Program[float | None]:
    """Wait before a repeat, and give what it cost; None if there is to be none."""
    if isinstance(answer, Response) and (failure_of(answer) is None or is_quota(answer)):
        return None
    method = asked.operation.partition(" ")[0]
    now = yield from Now()
    plan = decide_repeat(method, answer, attempt, app.policy, now, repeatable=asked.repeatable)
    if isinstance(plan, Repeat) and not (yield from PayRetry(plan.cost)):
        plan = GiveUp(plan.asked if plan.failure is Failure.LIMITED else None)
    if isinstance(plan, GiveUp):
        if plan.hold_back:
            yield from HoldBack(asked.operation, now + plan.hold_back)
        return None
    wait = plan.wait((yield from Entropy(8, "backoff")))
    yield from Notify(Retrying(asked.operation, plan.failure.value, attempt + 1, wait))
    if plan.failure is Failure.LIMITED:
        # What is added by chance must not make the wait too long for the others.
        yield from HoldBack(asked.operation, now + min(wait, app.policy.longest_wait))
    yield from Sleep(wait)
    return plan.cost


def _wait_with_the_group(operation: str, app: App) -> Program[Pace]:
    """Wait as long as Kick has asked any caller of this operation to wait, or raise if that is too long."""
    while (pace := (yield from LoadPace(operation))).not_before:
        now = yield from Now()
        wait = pace.not_before - now
        if wait <= 0:
            break
        # Sums are compared, because a difference of instants is rounded.
        if pace.not_before > now + app.policy.longest_wait or not app.policy.retries:
            text = f"{operation} was not sent: Kick asked to wait, and {wait:.0f} seconds of that are left"
            error = RateLimited(text, status=429, operation=operation)
            error.retry_after = wait
            raise error
        yield from Sleep(wait)
    return pace


def _once(asked: Call[Any], app: App, kind: TokenKind | None) -> Program[tuple[Response | Unreachable, Secret | None]]:
    """Send with one kind of token; if Kick does not take it, renew it and send once more."""
    if kind is None:
        return (yield from Send(request_for(asked, app, None))), None
    slot = app.slot(kind)
    token = yield from token_for(slot, asked.needs)
    answer = yield from Send(request_for(asked, app, token.access_token))
    if isinstance(answer, Response) and answer.status == 401:
        token = yield from token_for(slot, asked.needs, refused=token.access_token)
        answer = yield from Send(request_for(asked, app, token.access_token))
    return answer, token.access_token


def answered(answer: Response | Unreachable, operation: str) -> Response:
    """The answer, if there is one, else a `NetworkError`."""
    if isinstance(answer, Unreachable):
        acted = {"no": "nothing was sent", "maybe": "Kick may have acted on it", "yes": "Kick has acted on it"}
        text = f"{operation} got no answer: {answer.reason}; {acted[answer.sent]}"
        raise NetworkError(text, sent=answer.sent.value)
    return answer


class _Pagination(Struct, frozen=True):
    next_cursor: str | None = None


class _Envelope(Struct, Generic[T], frozen=True):
    data: T
    pagination: _Pagination | None = None


def _secret_hook(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")


@cache
def _decoder(answer: Any) -> msgspec.json.Decoder[_Envelope[Any]]:
    return msgspec.json.Decoder(_Envelope[answer], dec_hook=_secret_hook)


def _decode(response: Response, answer: type[T], operation: str) -> _Envelope[T]:
    try:
        return cast("_Envelope[T]", _decoder(answer).decode(response.body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec names the member and the types, never a value; what is no UTF-8 it lets the codec tell.
        what = cleaned(str(error))
    text = f"{operation} succeeded (status {response.status}) and its answer cannot be read: {what}"
    raise BadResponse(text, status=response.status, operation=operation)


def read_data(response: Response, answer: type[T], operation: str) -> T:
    """The `data` of a success, as its type. Raises `BadResponse` that names the member which does not fit.

    Where nothing is expected (`None`), nothing is read.
    """
    if answer is type(None):
        return cast("T", None)
    return _decode(response, answer, operation).data


_ERRORS: Final[Mapping[int, tuple[type[HTTPError], str]]] = {
    400: (BadRequest, "Kick refused the request; sending it again will not help"),
    401: (Unauthorized, "Kick does not take the token, also not a renewed one"),
    403: (Forbidden, "the token may not do this; check its scopes and the channel's rules"),
    404: (NotFound, "there is no such thing"),
    409: (Conflict, "its state does not allow this now"),
    429: (RateLimited, "too many requests; wait before the next"),
}


def is_quota(response: Response) -> bool:
    """Whether a 429 says that a quota is used up (it has a code) and not that requests come too fast."""
    return response.status == 429 and bool(_shown(_problem(response.body).data, None))


class _Problem(Struct, frozen=True):
    """What may stand in the body of an error, in any of its forms."""

    message: object = None
    data: object = None
    error: object = None
    reference: object = None


def error_for(response: Response, operation: str, bearer: Secret | None = None, now: float | None = None) -> HTTPError:
    """The error that an answer other than success is, by its status. Texts from outside are cut, and hold no token."""
    problem = _problem(response.body)
    code = _shown(problem.data, bearer)
    told = code or _shown(problem.message, bearer) or _shown(problem.error, bearer)
    reference = _shown(problem.reference, bearer)
    if response.status == 403 and reference and code is None and problem.message is None:
        kind, advice = Blocked, f"the firewall in front of Kick refused it (reference {reference}); try again later"
    elif response.status >= 500:
        kind, advice = ServerError, "Kick failed; try again later"
    elif response.status == 429 and code:
        kind, advice = QuotaReached, "a quota is used up; trying again soon will not help"
    elif response.status < 400:
        kind, advice = RedirectRefused, "kickcore follows no redirect, because a token must not go elsewhere"
    else:
        kind, advice = _ERRORS.get(response.status, (HTTPError, "Kick refused it"))
    detail = f" ({told})" if told else ""
    text = f"{operation} got status {response.status}{detail}: {advice}"
    error = kind(text, status=response.status, operation=operation, code=code, reference=reference)
    if isinstance(error, RateLimited):
        error.retry_after = retry_after(response, now)
    return error


def _problem(body: bytes) -> _Problem:
    try:
        return msgspec.json.decode(body[: 64 * 1024], type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Problem()


def _shown(member: object, bearer: Secret | None) -> str | None:
    if not isinstance(member, str) or not member:
        return None
    return cleaned(without_secrets(member, () if bearer is None else (bearer,)))
