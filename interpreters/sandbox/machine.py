"""The simulated Kick as a pure function: a world and a request give the next world and an answer."""

from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from interpreters.sandbox.faults import paced, struck, with_extra_members
from interpreters.sandbox.oauth.issuing import live_token
from interpreters.sandbox.routes import ID_ROUTES, ROUTES, Route
from interpreters.sandbox.wire import FORBIDDEN, NOT_FOUND, UNAUTHORIZED, Incoming, Refusal, Step, without_data
from interpreters.sandbox.world import Access, World
from kickcore.http import Request
from kickcore.oauth.scopes import missing_scopes
from kickcore.oauth.tokens import TokenKind

_FIXED: Final = {(route.method, route.template): route for route in ROUTES if "{" not in route.template}
_OPEN: Final = tuple((route, route.template.split("/")) for route in ROUTES if "{" in route.template)


_NOBODY: Final = Access("", TokenKind.APP, "", 0.0)
"""Who asks where no token is needed."""


def respond(world: World, request: Request, now: float) -> Step:
    """What Kick does with `request` at `now` (epoch seconds UTC).

    Hosts are not told apart: paths under /oauth/ are the identity host, all others the API host. There, in this order:
    the firewall and faults, if `world.rules` ask for them; 401 for a token that is no good, also on paths that do not
    exist; 404; 401 for the wrong kind of token; 403 for a scope; 429; 400.
    """
    path = urlsplit(request.url).path
    step = _id(world, request, now, path) if path.startswith("/oauth/") else _api(world, request, now, path)
    if len(step.world.due) > len(world.due):
        step = replace(step, events=step.world.due[len(world.due) :])
    return with_extra_members(step) if world.rules.extra_members else step


def _id(world: World, request: Request, now: float, path: str) -> Step:
    endpoint = ID_ROUTES.get((request.method, path))
    if endpoint is None:
        return Step(world, NOT_FOUND)
    try:
        return endpoint(world, request, now)
    except Refusal as refusal:
        return Step(world, refusal.response)


def _api(world: World, request: Request, now: float, path: str) -> Step:
    world, fault = struck(world)
    if fault is not None:
        return Step(world, fault)
    found = _find(request.method, path)
    try:
        token = _admitted(world, request, now, None if found is None else found[0])
        if found is None:
            raise Refusal(NOT_FOUND)
        route, parts = found
        world, fault = paced(world, f"{route.method} {route.template}", now)
        return Step(world, fault) if fault is not None else route.answer(Incoming(world, request, now, token, parts))
    except Refusal as refusal:
        nulls_data = found is not None and found[0].nulls_data
        return Step(world, without_data(refusal.response) if nulls_data else refusal.response)


def _admitted(world: World, request: Request, now: float, route: Route | None) -> Access:
    """Who asks, if they may ask this; without a route, if their token is any good."""
    if route is not None and route.is_open:
        return _NOBODY
    token = live_token(world, request.bearer, now)
    if token is None:
        raise Refusal(UNAUTHORIZED)
    if route is None:
        return token
    if token.kind not in route.kinds:
        raise Refusal(UNAUTHORIZED)
    if token.kind is TokenKind.USER and missing_scopes(route.needs, token.scope):
        raise Refusal(FORBIDDEN)
    return token


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
