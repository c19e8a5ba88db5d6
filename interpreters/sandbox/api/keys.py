"""The public key that webhooks are checked with (reference 6.9)."""

from interpreters.sandbox.wire import Incoming, Step, ok


def get_public_key(call: Incoming) -> Step:
    """GET /public/v1/public-key: for everybody, without a token."""
    return Step(call.world, ok({"public_key": call.world.public_key}))
