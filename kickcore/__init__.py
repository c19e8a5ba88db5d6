"""kickcore: the Kick.com API as values, programs and interpreters, with a thin client on top.

    from kickcore import KickClient, Scope
    client = KickClient("CLIENT_ID", "CLIENT_SECRET")
    user = await client.fetch_user(123)

Importing the package loads neither an event loop nor an HTTP library; `KickClient` brings them in on first use.
"""

from typing import TYPE_CHECKING, Any

from kickcore.errors import KickError
from kickcore.oauth.scopes import Scope
from kickcore.secret import Secret
from kickcore.version import VERSION

if TYPE_CHECKING:
    from kickcore.client import KickClient

__version__ = VERSION
__all__ = ["KickClient", "KickError", "Scope", "Secret", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "KickClient":
        from kickcore.client import KickClient

        return KickClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
