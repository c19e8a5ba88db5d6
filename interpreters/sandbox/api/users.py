"""Users (reference 6.1)."""

from interpreters.sandbox.reading import numbers
from interpreters.sandbox.wire import INVALID, Incoming, Refusal, Step, ok
from interpreters.sandbox.world import User
from kickcore.oauth.tokens import TokenKind


def get_users(call: Incoming) -> Step:
    """GET /public/v1/users: those of `id`, or the token's own; unknown ids are left out."""
    # No maximum is stated; a bound there must be, and this one is above anything a client should try.
    wanted = numbers(call.request, "id", 1000)
    if not wanted and call.token.kind is TokenKind.APP:
        raise Refusal(INVALID)
    found = (call.world.users.get(user_id) for user_id in dict.fromkeys(wanted or (call.token.user_id,)))
    return Step(call.world, ok([_shown(user, call) for user in found if user is not None]))


def _shown(user: User, call: Incoming) -> dict[str, object]:
    own = call.token.kind is TokenKind.USER and call.token.user_id == user.user_id
    return {
        "user_id": user.user_id,
        "name": user.name,
        "email": user.email if own else "",
        "profile_picture": user.profile_picture,
    }
