"""`/oauth/authorize`: the consent page and what comes of the user's decision (RFC 6749, section 4.1)."""

from msgspec.structs import replace

from interpreters.sandbox.minting import mint_token
from interpreters.sandbox.oauth.asking import Asking, loopback_rewritten, read_ask
from interpreters.sandbox.oauth.issuing import CODE, FAMILY
from interpreters.sandbox.oauth.page import consent_page
from interpreters.sandbox.reading import values
from interpreters.sandbox.wire import ID_INVALID, Refusal, Step
from interpreters.sandbox.world import Code, World
from kickcore.http import Pairs, Request, Response, encode_pairs


def get_authorize(world: World, request: Request, _now: float) -> Step:
    """GET: shows what the app asks for. Bad parameters are 400, as documented (a real browser sees a redirect)."""
    query = loopback_rewritten(request.query) if world.rules.rewrites_loopback else request.query
    return Step(world, consent_page(world, read_ask(world, query)))


def post_authorize(world: World, request: Request, now: float) -> Step:
    """POST of the page's form: 302 to the app with a code, or with `access_denied`."""
    ask = read_ask(world, request.form)
    decision, user = values(request.form, "decision"), values(request.form, "user_id")
    if decision == ("deny",):
        denied: Pairs = (("error", "access_denied"), ("error_description", "The user refused"))
        return Step(world, _sent_back(ask, denied))
    granted = frozenset(values(request.form, "granted"))
    known = {str(user_id) for user_id in world.users}
    if decision != ("allow",) or len(user) != 1 or user[0] not in known or not granted.issubset(ask.scopes):
        raise Refusal(ID_INVALID)
    scope = tuple(scope for scope in ask.scopes if scope in granted)
    world, family = mint_token(world, FAMILY)
    world, text = mint_token(world, CODE)
    code = Code(
        client_id=ask.app.client_id,
        family=family,
        expires_at=now + world.rules.code_life,
        user_id=int(user[0]),
        scope=scope,
        redirect_uri=ask.redirect_uri,
        challenge=ask.challenge,
    )
    return Step(replace(world, codes={**world.codes, text: code}), _sent_back(ask, (("code", text),)))


def _sent_back(ask: Asking, pairs: Pairs) -> Response:
    joint = "&" if "?" in ask.redirect_uri else "?"
    location = ask.redirect_uri + joint + encode_pairs((*pairs, ("state", ask.state)))
    return Response(302, (("location", location), ("cache-control", "no-store")))
