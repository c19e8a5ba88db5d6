"""`/public/v1/token/introspect`, the deprecated twin of the identity host's endpoint (reference 6.1)."""

from interpreters.sandbox.oauth.issued import introspection
from interpreters.sandbox.wire import Incoming, Step, ok


def post_introspect_v1(call: Incoming) -> Step:
    """POST /public/v1/token/introspect: about the bearer token. A dead one is 401 here, as everywhere on this host."""
    return Step(call.world, ok(introspection(call.token)))
