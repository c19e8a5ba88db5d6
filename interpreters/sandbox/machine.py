"""The simulated Kick as a pure function: a world and a request give the next world and an answer."""

from typing import Final
from urllib.parse import unquote, urlsplit

from interpreters.sandbox.oauth.issuing import live_token
from interpreters.sandbox.routes import ID_ROUTES, ROUTES, Route
from interpreters.sandbox.wire import FORBIDDEN, NOT_FOUND, UNAUTHORIZED, Call, Refusal, Step
from interpreters.sandbox.world import World
from kickcore.http import Request
from kickcore.oauth.scopes import missing_scopes
from kickcore.oauth.tokens import TokenKind

_FIXED: Final = {(route.method, route.template): route for route in ROUTES if "{" not in route.template}
_OPEN: Final = tuple((route, route.template.split("/")) for route in ROUTES if "{" in route.template)


def respond(world: World, request: Request, now: float) -> Step:
    """What Kick does with `request` at `now` (epoch seconds UTC).

    Hosts are not told apart: paths under /oauth/ are the identity host, all others the API host. There, in this order:
    401 for a token that is no good, also on paths that do not exist; 404; 401 for the wrong kind of token; 403 for a
    scope; 400.
    """
    path = urlsplit(request.url).path
    try:
        if not path.startswith("/oauth/"):
            return _api(world, request, now, path)
        id_endpoint = ID_ROUTES.get((request.method, path))
        if id_endpoint is None:
            raise Refusal(NOT_FOUND)
        return id_endpoint(world, request, now)
    except Refusal as refusal:
        return Step(world, refusal.response)


def _api(world: World, request: Request, now: float, path: str) -> Step:
    token = live_token(world, request.bearer, now)
    if token is None:
        raise Refusal(UNAUTHORIZED)
    found = _find(request.method, path)
    if found is None:
        raise Refusal(NOT_FOUND)
    route, parts = found
    if token.kind not in route.kinds:
        raise Refusal(UNAUTHORIZED)
    if token.kind is TokenKind.USER and missing_scopes(route.needs, token.scope):
        raise Refusal(FORBIDDEN)
    return route.answer(Call(world, request, now, token, parts))


def _find(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    fixed = _FIXED.get((method, path))
    if fixed is not None:
        return fixed, ()
    segments = path.split("/")
    for route, template in _OPEN:
        parts = _parts(template, segments) if route.method == method else None
        if parts is not None:
            return route, parts
    return None


def _parts(template: list[str], segments: list[str]) -> tuple[str, ...] | None:
    if len(template) != len(segments):
        return None
    parts: list[str] = []
    for expected, segment in zip(template, segments, strict=True):
        if expected.startswith("{") and segment:
            parts.append(unquote(segment))
        elif expected != segment:
            return None
    return tuple(parts)
