"""What an app asks of a user: the parameters of an authorization request, checked (reference 3.1, RFC 7636)."""

import re
from typing import Final

from msgspec import Struct

from interpreters.sandbox.reading import plain, values
from interpreters.sandbox.wire import ID_INVALID, Refusal
from interpreters.sandbox.world import RegisteredApp, World
from kickcore.http import Pairs
from kickcore.oauth.scopes import Scope, parse_scope

PARAMETERS: Final = (
    "client_id",
    "response_type",
    "redirect_uri",
    "state",
    "scope",
    "code_challenge",
    "code_challenge_method",
)
"""All are required, once each; others are ignored, such as the `redirect` that kickcore puts before `redirect_uri`."""

_FIXED: Final = {"response_type": "code", "code_challenge_method": "S256"}
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)
_KNOWN: Final = frozenset(str(scope) for scope in Scope)


class Asking(Struct, frozen=True):
    """An authorization request that may be shown to the user. `given` are its parameters as they came."""

    app: RegisteredApp
    redirect_uri: str
    state: str
    scopes: tuple[str, ...]
    challenge: str
    given: tuple[tuple[str, str], ...]


def read_ask(world: World, pairs: Pairs) -> Asking:
    """The request in `pairs`, from a query or from the consent form. Refuses with 400 what is wrong in any way."""
    found = {name: values(pairs, name) for name in PARAMETERS}
    if any(len(texts) != 1 or not texts[0] for texts in found.values()):
        raise Refusal(ID_INVALID)
    given = {name: texts[0] for name, texts in found.items()}
    app, scopes = world.apps.get(given["client_id"]), parse_scope(given["scope"])
    if app is None or given["redirect_uri"] not in app.redirect_uris:
        raise Refusal(ID_INVALID)
    if any(given[name] != value for name, value in _FIXED.items()) or not _CHALLENGE.match(given["code_challenge"]):
        raise Refusal(ID_INVALID)
    if not scopes or not _KNOWN.issuperset(scopes):
        raise Refusal(ID_INVALID)
    return Asking(app, given["redirect_uri"], given["state"], scopes, given["code_challenge"], tuple(given.items()))


def loopback_rewritten(pairs: Pairs) -> Pairs:
    """`pairs` as Kick's sign-in page passes them on: the first `127.0.0.1` has become `localhost` (issue 211)."""
    for place, (name, value) in enumerate(pairs):
        text = plain(value)
        if "127.0.0.1" in text:
            return (*pairs[:place], (name, text.replace("127.0.0.1", "localhost", 1)), *pairs[place + 1 :])
    return pairs
