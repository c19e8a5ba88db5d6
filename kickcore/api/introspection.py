"""What a token is, as Kick sees it."""

from typing import Final

from kickcore.api.call import answered, error_for, read_data
from kickcore.api.model import Model
from kickcore.effects import LoadApp, Program, Send
from kickcore.http import Request
from kickcore.oauth.access import token_for
from kickcore.oauth.grants import TOKEN_LIMIT, TOKEN_TIMEOUT
from kickcore.oauth.scopes import parse_scope
from kickcore.oauth.tokens import App, TokenKind
from kickcore.secret import Secret

_OPERATION: Final = "POST /oauth/token/introspect"


class TokenIntrospection(Model, frozen=True):
    """What Kick knows of a token: of a dead one only that. `exp` is its end in epoch seconds, UTC."""

    active: bool
    client_id: str | None = None
    token_type: str | None = None
    scope: str | None = None
    exp: int | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """The granted scopes, as texts; none for an app token."""
        return parse_scope(self.scope or "")


def introspect_request(app: App, token: Secret | None) -> Request:
    """Ask about a token, which goes into the header (Kick's changelog of 2026-01-15)."""
    return Request(
        "POST", app.id_url + "/oauth/token/introspect", bearer=token, timeout=TOKEN_TIMEOUT, limit=TOKEN_LIMIT
    )


def introspect_token(*, use_user_token: bool = False) -> Program[TokenIntrospection]:
    """What Kick knows of the app token, or of the account's user token. A dead token gives `active=False`.

    A token that is due is renewed first. Raises `LoginRequired` if there is no user token, `BadResponse`, `HTTPError`,
    `NetworkError`. Kick: POST /oauth/token/introspect on the identity host.
    """
    app = yield from LoadApp()
    token = yield from token_for(app.slot(TokenKind.USER if use_user_token else TokenKind.APP))
    answer = yield from Send(introspect_request(app, token.access_token))
    response = answered(answer, _OPERATION)
    if response.status == 401:
        return TokenIntrospection(active=False)
    if not 200 <= response.status < 300:
        raise error_for(response, _OPERATION, token.access_token)
    return read_data(response, TokenIntrospection, _OPERATION)
