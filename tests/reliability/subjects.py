"""The libraries that are tried, behind one face: open a client in the working directory, make a call, judge an error.

Both get the user's token in the same way: as a `.kick.user_token.json` of kickcom.py 1.1, which kickcore reads, too.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from orders import CLIENT_ID, CLIENT_SECRET

TOKEN_FILE: Final = ".kick.user_token.json"


class Subject(Struct, frozen=True, kw_only=True):
    """A library on an event loop.

    `tree` is the root of its errors; `clear` are those that tell the user to log in again, or that the outcome of a
    refresh is unknown; `packages` are its own.
    """

    name: str
    backend: str
    library: str
    packages: tuple[str, ...]
    open: Callable[[str], AbstractAsyncContextManager[Any]]
    tree: type[Exception]
    clear: tuple[type[Exception], ...]

    def folders(self) -> tuple[str, ...]:
        """Where its code is."""
        specs = [find_spec(package) for package in self.packages]
        return tuple(f"{Path(spec.origin).parent}{os.sep}" for spec in specs if spec and spec.origin)


def kickcore(backend: str) -> Subject:
    from kickcore import KickClient, KickError
    from kickcore.errors import LoginRequired, RefreshOutcomeUnknown

    # Imported on first use otherwise: once in each of the processes that are forked.
    for name in ("httpcore2", f"anyio._backends._{backend}"):
        import_module(name)

    def opened(url: str) -> KickClient:
        return KickClient(CLIENT_ID, CLIENT_SECRET, api_url=url, id_url=url)

    return Subject(
        name=f"kickcore, {backend}",
        backend=backend,
        library="kickcore",
        packages=("kickcore", "interpreters"),
        open=opened,
        tree=KickError,
        clear=(LoginRequired, RefreshOutcomeUnknown),
    )


def kickcom() -> Subject:
    import aiohttp
    from kickpy import KickClient
    from kickpy.errors import KickpyException, Unauthorized

    @asynccontextmanager
    async def opened(url: str) -> AsyncGenerator[KickClient]:
        client = KickClient(CLIENT_ID, CLIENT_SECRET)
        # Kick's addresses are written into its constructor; nothing else of it is changed.
        for name, path in (("id_session", ""), ("api_session", "/public/v1/"), ("api_v2_session", "/public/v2/")):
            session = getattr(client, name)
            await session.close()
            setattr(client, name, aiohttp.ClientSession(base_url=url + path, headers=session.headers))
        try:
            yield client
        finally:
            await client.close()

    return Subject(
        name="kickcom.py 1.1.0",
        backend="asyncio",
        library="kickcom.py",
        packages=("kickpy",),
        open=opened,
        tree=KickpyException,
        clear=(Unauthorized,),
    )


SUBJECTS: Final[dict[str, Callable[[], Subject]]] = {
    "kickcore-asyncio": lambda: kickcore("asyncio"),
    "kickcore-trio": lambda: kickcore("trio"),
    "kickcom.py": kickcom,
}
