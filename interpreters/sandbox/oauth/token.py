"""`POST /oauth/token`: the three grants (reference 3.2, 3.3)."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from typing import Final, TypeAlias

from msgspec.structs import replace

from interpreters.sandbox.oauth.issuing import (
    Issued,
    issue_app_token,
    issue_user_tokens,
    without_access,
    without_family,
)
from interpreters.sandbox.reading import values
from interpreters.sandbox.rules import Rotation
from interpreters.sandbox.wire import TOKEN_JSON, Refusal, Step, encoded, oauth_error
from interpreters.sandbox.world import Code, Refresh, World
from kickcore.http import Request

Form: TypeAlias = dict[str, str]
GrantType: TypeAlias = Callable[[World, Form, float], Step]

_READ: Final = (
    "grant_type",
    "client_id",
    "client_secret",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
)


def post_token(world: World, request: Request, now: float) -> Step:
    """Trade credentials, a code or a refresh token for tokens. Credentials are checked before the grant."""
    form = _form(request)
    grant = GRANTS.get(form.get("grant_type", ""))
    if grant is None:
        raise Refusal(oauth_error(401, "unsupported_grant_type"))
    app = world.apps.get(form.get("client_id", ""))
    secret = form.get("client_secret", "")
    if app is None or not compare_digest(app.client_secret.encode(), secret.encode("utf-8", "replace")):
        raise Refusal(oauth_error(401, "invalid_client"))
    return grant(world, form, now)


def _form(request: Request) -> Form:
    found = {name: values(request.form, name) for name in _READ}
    if not found["grant_type"] or any(len(texts) > 1 for texts in found.values()):
        raise Refusal(oauth_error(400, "invalid_request"))
    return {name: texts[0] for name, texts in found.items() if texts}


def _required(form: Form, *names: str) -> tuple[str, ...]:
    if any(not form.get(name) for name in names):
        raise Refusal(oauth_error(400, "invalid_request"))
    return tuple(form[name] for name in names)


def _granted(issued: Issued) -> Step:
    body: dict[str, object] = {"access_token": issued.access_token, "token_type": "Bearer"}
    if issued.refresh_token is not None:
        body["refresh_token"] = issued.refresh_token
    body["expires_in"] = issued.expires_in
    if issued.refresh_token is not None:
        body["scope"] = " ".join(issued.scope)
    return Step(issued.world, encoded(200, body, TOKEN_JSON))


def _invalid_grant(world: World) -> Step:
    return Step(world, oauth_error(world.rules.invalid_grant_status, "invalid_grant"))


def _client_credentials(world: World, form: Form, now: float) -> Step:
    return _granted(issue_app_token(world, now, form["client_id"]))


def _authorization_code(world: World, form: Form, now: float) -> Step:
    text, redirect_uri, verifier = _required(form, "code", "redirect_uri", "code_verifier")
    code = world.codes.get(text)
    if code is None or code.client_id != form["client_id"]:
        return _invalid_grant(world)
    if code.used:
        # Two parties held this code, so neither is trusted with what came of it (RFC 6749, section 4.1.2).
        return _invalid_grant(without_family(world, code.family))
    if now >= code.expires_at or redirect_uri != code.redirect_uri or not _proves(verifier, code):
        return _invalid_grant(world)
    spent = replace(world, codes={**world.codes, text: replace(code, used=True)})
    return _granted(_renewed(spent, now, code))


def _proves(verifier: str, code: Code) -> bool:
    challenge = urlsafe_b64encode(sha256(verifier.encode("utf-8", "replace")).digest()).rstrip(b"=")
    return compare_digest(challenge, code.challenge.encode())


def _refresh_token(world: World, form: Form, now: float) -> Step:
    (text,) = _required(form, "refresh_token")
    held = world.refresh.get(text)
    if held is None or held.client_id != form["client_id"] or now >= held.expires_at:
        return _invalid_grant(world)
    rules = world.rules
    if held.spent_at is None:
        world = replace(world, refresh={**world.refresh, text: replace(held, spent_at=now)})
    elif rules.rotation is Rotation.STRICT:
        return _invalid_grant(without_family(world, held.family))
    elif now >= held.spent_at + rules.grace_seconds:
        return _invalid_grant(world)
    if rules.refresh_ends_access:
        world = without_access(world, held.family)
    return _granted(_renewed(world, now, held))


def _renewed(world: World, now: float, by: Code | Refresh) -> Issued:
    return issue_user_tokens(world, now, client_id=by.client_id, user_id=by.user_id, scope=by.scope, family=by.family)


GRANTS: Final[dict[str, GrantType]] = {
    "authorization_code": _authorization_code,
    "refresh_token": _refresh_token,
    "client_credentials": _client_credentials,
}
