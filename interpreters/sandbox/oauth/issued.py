"""What is asked of tokens that were issued: `/oauth/revoke` and `/oauth/token/introspect` (reference 3.4, 3.5)."""

from msgspec.structs import replace

from interpreters.sandbox.oauth.issuing import live_token, without_family
from interpreters.sandbox.reading import values
from interpreters.sandbox.wire import ID_INVALID, TEXT, UNAUTHORIZED, Refusal, Step, ok
from interpreters.sandbox.world import Access, World
from kickcore.http import Request, Response


def post_revoke(world: World, request: Request, _now: float) -> Step:
    """POST /oauth/revoke, by query. An unknown token is fine (RFC 7009, section 2.2); the hint decides nothing.

    A refresh token takes the tokens of its login along, an access token goes alone. What Kick does there is not known;
    this is what RFC 7009, section 2.1, says it should.
    """
    texts, hints = values(request.query, "token"), values(request.query, "token_hint_type")
    if len(texts) != 1 or not texts[0] or not {"access_token", "refresh_token"}.issuperset(hints):
        raise Refusal(ID_INVALID)
    held = world.refresh.get(texts[0])
    if held is not None:
        world = without_family(world, held.family)
    elif texts[0] in world.access:
        world = replace(world, access={text: kept for text, kept in world.access.items() if text != texts[0]})
    return Step(world, Response(200, TEXT, b"OK"))


def post_introspect(world: World, request: Request, now: float) -> Step:
    """POST /oauth/token/introspect: about the bearer token itself. A dead one is `active: false`, and only that."""
    if request.bearer is None:
        raise Refusal(UNAUTHORIZED)
    access = live_token(world, request.bearer, now)
    if access is None:
        return Step(world, ok({"active": False}))
    return Step(world, ok(introspection(access)))


def introspection(access: Access) -> dict[str, object]:
    """What is told of a token that is alive. There is no user id in it."""
    return {
        "active": True,
        "client_id": access.client_id,
        "token_type": access.kind.value,
        "scope": " ".join(access.scope),
        "exp": int(access.expires_at),
    }
