"""Strategies for what Kick's API may answer to a request: as the simulated Kick does, or not at all like it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec.structs import replace

from interpreters.sandbox import OWNER, RegisteredApp, World, respond, small_world
from interpreters.sandbox.wire import BLOCKED, UNAUTHORIZED, without_data
from interpreters.sandbox.world import Access
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.scopes import Scope
from kickcore.oauth.tokens import TokenKind
from kickcore.secret import Secret
from kickcore.testing.answers import PAGE, failures, json_response, limits, responses, unreachables
from kickcore.testing.damage import damaged
from kickcore.testing.once import built_once
from kickcore.testing.values import NOW

_WORLD: Final = small_world()
_EVERYTHING: Final = tuple(str(scope) for scope in Scope)
_STATUSES: Final = (301, 400, 403, 404, 405, 409, 422)


class ApiAnswer(StrEnum):
    """What the API may answer to a request."""

    GOOD = "good"
    """What the simulated Kick answers to it, whoever asks. That can be a refusal, if it asks for what is not there."""
    DAMAGED = "damaged"
    """The same, cut short, or with one value missing or another."""
    UNAUTHORIZED = "unauthorized"
    """401: the token is not taken."""
    REFUSED = "refused"
    """Another status below 500 that is no success, in any of Kick's forms."""
    FAILED = "failed"
    """A status of 500 or more, as JSON, as HTML or empty."""
    LIMITED = "limited"
    """429; it may say how long to wait, in seconds or by a date."""
    BLOCKED = "blocked"
    """403 of the firewall."""
    HTML = "html"
    """A page where JSON should be, with a status of 200."""
    NONSENSE = "nonsense"
    """Any status with any bytes."""
    UNSENT = "unsent"
    """No answer, because nothing was sent."""
    LOST = "lost"
    """No answer; Kick has acted, or may have."""


@built_once
def api_answers(request: Request, *kinds: ApiAnswer) -> SearchStrategy[Response | Unreachable]:
    """What Kick may answer to `request`: one of these kinds, or any if none is named."""
    good = st.just(as_simulated(request))
    answers: Mapping[ApiAnswer, SearchStrategy[Response | Unreachable]] = {
        ApiAnswer.GOOD: good,
        ApiAnswer.DAMAGED: damaged(good),
        ApiAnswer.UNAUTHORIZED: st.sampled_from([UNAUTHORIZED, without_data(UNAUTHORIZED), Response(401)]),
        ApiAnswer.REFUSED: st.builds(
            _refusal, st.sampled_from(_STATUSES), st.sampled_from([{}, None, "NO_SUCH_THING"])
        ),
        ApiAnswer.FAILED: failures(),
        ApiAnswer.LIMITED: limits(),
        ApiAnswer.BLOCKED: st.just(BLOCKED),
        ApiAnswer.HTML: st.just(PAGE),
        ApiAnswer.NONSENSE: responses(),
        ApiAnswer.UNSENT: unreachables(Sent.NO),
        ApiAnswer.LOST: unreachables(Sent.MAYBE, Sent.YES),
    }
    return st.one_of([answers[kind] for kind in kinds or ApiAnswer])


def _refusal(status: int, data: object) -> Response:
    return json_response({"data": data, "message": "Refused"}, status)


def as_simulated(request: Request, now: float = NOW) -> Response:
    """What the simulated Kick answers at `now` (epoch seconds) to `request`, whatever token and app it names.

    Nothing is remembered. Who asks is the owner of the small world, with every scope, or the app where users may not.
    """
    user = respond(_knowing(request, TokenKind.USER, now), request, now).response
    return user if user.status != 401 else respond(_knowing(request, TokenKind.APP, now), request, now).response


def _knowing(request: Request, kind: TokenKind, now: float) -> World:
    """A world in which the token and the app of a request are good."""
    form = {name: value.reveal() if isinstance(value, Secret) else value for name, value in request.form}
    app, secret = form.get("client_id", "sandbox-app"), form.get("client_secret", "sandbox-secret")
    bearer = request.bearer.reveal() if request.bearer else ""
    held = Access(app, kind, "", now + 3600.0)
    if kind is TokenKind.USER:
        held = replace(held, user_id=OWNER, scope=_EVERYTHING)
    return replace(_WORLD, apps={app: RegisteredApp(app, secret, (), organization=True)}, access={bearer: held})
