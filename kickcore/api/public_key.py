"""The key that Kick signs webhooks with."""

from kickcore.api.call import Call, call
from kickcore.api.model import Model
from kickcore.effects import Program


class _PublicKey(Model, frozen=True):
    public_key: str


def fetch_public_key() -> Program[str]:
    """Kick's public key (RSA, PEM text), by which a webhook proves that it is from Kick.

    Keep it, and fetch it again when a signature does not fit, at most every few minutes: Kick may change it without
    notice. No token is needed and none is sent. Raises `HTTPError`, `NetworkError`. Kick: GET /public/v1/public-key.
    """
    asked = Call(operation="GET /public/v1/public-key", answer=_PublicKey, tokens=())
    found = yield from call(asked)
    return found.public_key
