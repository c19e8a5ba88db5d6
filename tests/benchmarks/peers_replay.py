"""What replaying recorded HTTP costs a call with vcrpy, cassetter and respx, beside bare httpx2.

    with tempfile.TemporaryDirectory() as folder:
        for name, once in peers(100, Path(folder)).items():
            print(name, min(once() for _ in range(5)))

Every contender answers the same n requests, `GET /public/v1/users?id=1` to n, once each and in order; what is recorded
is opened anew in each run. Nothing is sent anywhere: recordings are made of an `httpx2.MockTransport`. Needs vcrpy,
cassetter, respx and httpx; those that are not there are left out.
"""

import argparse
import gc
import json
import platform
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, time
from typing import Any, Final

import anyio
import httpx2

from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient, Secret
from kickcore.oauth.tokens import API_URL, Token, TokenKind

URL: Final = f"{API_URL}/public/v1/users"
BEARER: Final = {"authorization": "Bearer AT"}
HEADERS: Final = {
    "date": "Wed, 01 Jul 2026 14:38:29 GMT",
    "content-type": "application/json",
    "connection": "keep-alive",
    "cache-control": "no-cache, private",
    "vary": "Accept-Encoding",
    "server": "cloudflare",
    "cf-ray": "9587a1b2c3d4e5f6-FRA",
    "x-request-id": "4bf92f3577b34da6a3ce929d0e0e4736",
}
PICTURE: Final = (
    "https://files.kick.com/images/user/700014/profile_image/conversion/123e4567-e89b-12d3-a456-426614174000-"
    "fullsize.webp?versionId=" + "qFkX2c7yLr0ZtB9u" * 15
)

CAP: Final = 100
"""Calls at which those stop whose time for a call grows with the calls: each compares with every recorded request."""
GROWING: Final = ("vcrpy", "respx, a route a call")

Once = Callable[[], float]
Opened = Callable[[], AbstractContextManager[object]]
Calls = Callable[[Any, int], Awaitable[None]]


def body(number: int) -> bytes:
    user = {"user_id": number, "name": f"streamer_{number}", "profile_picture": PICTURE}
    return json.dumps({"data": [user], "message": "OK"}, separators=(",", ":")).encode()


class Known:
    """Answers by address, as a test of one's own would have them."""

    def __init__(self, http: Any, n: int) -> None:
        self._response = http.Response
        self._bodies = {f"{URL}?id={number}": body(number) for number in range(1, n + 1)}

    def __call__(self, request: Any) -> Any:
        return self._response(200, headers=HEADERS, content=self._bodies[str(request.url)])


async def plain(client: Any, n: int) -> None:
    for number in range(1, n + 1):
        response = await client.get(URL, params={"id": number}, headers=BEARER)
        assert response.json()["data"][0]["user_id"] == number


async def by_kickcore(http: httpx2.AsyncClient, n: int) -> None:
    client = KickClient("id", "secret", http=http, store=MemoryStore())
    # Peers know one kind of answer only, so the app token is put where it would be.
    now = time()
    client._live.tokens.put(client._live.app.slot(TokenKind.APP), Token(Secret("AT"), now + 7200, now), save=False)
    async with client:
        for number in range(1, n + 1):
            user = await client.fetch_user(number)
            assert user.user_id == number


def timed(n: int, client: Callable[[], Any], opened: Opened, calls: Calls, backend: str) -> Once:
    """One run: to open what is recorded, `n` calls, to close it. The loop and the HTTP client are there before."""

    async def run() -> float:
        async with client() as http:
            # What the contender before has left behind is not this one's.
            gc.collect()
            start = perf_counter()
            with opened():
                await calls(http, n)
            return (perf_counter() - start) / n * 1e6

    return lambda: anyio.run(run, backend=backend)


@dataclass(frozen=True)
class Recorder:
    """A peer that keeps recordings in files."""

    name: str
    module: str
    suffix: str

    def _open(self, path: Path, mode: str) -> AbstractContextManager[object]:
        options = {"serializer": self.suffix} if self.module == "vcr" else {}
        return import_module(self.module).use_cassette(str(path), record_mode=mode, **options)

    def path(self, n: int, folder: Path) -> Path:
        return folder / f"{self.module}-{n}.{self.suffix}"

    def playing(self, n: int, folder: Path) -> Opened:
        return partial(self._open, self.path(n, folder), "none")

    def record(self, n: int, folder: Path, http: Any) -> bool:
        """Record `n` calls unless that was done. False if this peer's version does not know `http`."""
        path = self.path(n, folder)

        async def calls() -> None:
            with self._open(path, "once"):
                async with http.AsyncClient(transport=http.MockTransport(Known(http, n))) as client:
                    await plain(client, n)

        if not path.exists():
            anyio.run(calls)
        # Calls through a library that it does not know go past a peer, which then has nothing to write.
        return path.exists() and f"{URL}?id={n}" in path.read_text(encoding="utf-8")


RECORDERS: Final = (
    Recorder("vcrpy, YAML", "vcr", "yaml"),
    Recorder("vcrpy, JSON", "vcr", "json"),
    Recorder("cassetter, YAML", "cassetter", "yaml"),
    Recorder("cassetter, TOML", "cassetter", "toml"),
)


@contextmanager
def a_route_a_call(n: int) -> Iterator[None]:
    respx = import_module("respx")
    with respx.mock() as router:
        for number in range(1, n + 1):
            router.get(URL, params={"id": str(number)}).respond(200, headers=HEADERS, content=body(number))
        yield


@contextmanager
def one_route(answer: Known) -> Iterator[None]:
    respx = import_module("respx")
    with respx.mock() as router:
        router.get(URL).mock(side_effect=answer)
        yield


def is_left_out(name: str, n: int, cap: int, *modules: str) -> bool:
    """Whether a contender cannot take part; says why."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        print(f"  {name} is left out: {' and '.join(missing)} not installed")
    elif n > cap and name.startswith(GROWING):
        print(f"  {name} is left out: more than {cap:,} calls")
    else:
        return False
    return True


def of_respx(n: int, cap: int, backend: str) -> dict[str, Once]:
    found: dict[str, Once] = {}
    for name in ("respx, a route a call", "respx, one route with a function"):
        if is_left_out(name, n, cap, "respx", "httpx"):
            continue
        httpx = import_module("httpx")
        opened = partial(a_route_a_call, n) if "a call" in name else partial(one_route, Known(httpx, n))
        found[f"{name} (httpx)"] = timed(n, httpx.AsyncClient, opened, plain, backend)
    return found


def of_recorder(peer: Recorder, n: int, folder: Path, backend: str) -> dict[str, Once]:
    opened = peer.playing(n, folder)
    if peer.record(n, folder, httpx2):
        return {
            f"{peer.name}": timed(n, httpx2.AsyncClient, opened, plain, backend),
            f"{peer.name}: KickClient": timed(n, httpx2.AsyncClient, opened, by_kickcore, backend),
        }
    peer.path(n, folder).unlink(missing_ok=True)
    if find_spec("httpx") and peer.record(n, folder, httpx := import_module("httpx")):
        return {f"{peer.name} (httpx)": timed(n, httpx.AsyncClient, opened, plain, backend)}
    print(f"  {peer.name} is left out: it records neither httpx2 nor httpx")
    return {}


def peers(n: int, folder: Path, *, cap: int = CAP, backend: str = "asyncio") -> dict[str, Once]:
    """The contenders. Each call of one is a whole run, `n` calls, and gives microseconds a call; take the best of some.

    Recordings that are not in `folder` are made first. Over httpx2 where nothing else is said; "KickClient" has
    `KickClient.fetch_user` on top of it. What is missing, or slow and asked for more than `cap` calls, is left out with
    a line that says so.
    """
    # Made once: for the others, to read the answers is part of what they do, but nobody reads anything here.
    answer = Known(httpx2, n)

    def mock() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(answer))

    found = {
        "bare MockTransport": timed(n, mock, nullcontext, plain, backend),
        "bare MockTransport: KickClient": timed(n, mock, nullcontext, by_kickcore, backend),
    }
    found |= of_respx(n, cap, backend)
    for peer in RECORDERS:
        if not is_left_out(peer.name, n, cap, peer.module):
            found |= of_recorder(peer, n, folder, backend)
    return found


def on_disk(n: int, folder: Path) -> dict[str, float]:
    """Bytes a call of the recordings that `peers` has made."""
    paths = {peer.name: peer.path(n, folder) for peer in RECORDERS}
    return {name: path.stat().st_size / n for name, path in paths.items() if path.exists()}


def best(contenders: dict[str, Once], rounds: int) -> dict[str, float]:
    """The least of the rounds. All take turns within each, so that a busy machine is busy for all of them."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    # The first round is not counted: peers import what they patch when they are first used.
    for turn in range(rounds + 1):
        for name, once in contenders.items():
            one = once()
            if turn:
                taken[name].append(one)
    return {name: min(times) for name, times in taken.items()}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, nargs="+", default=[10, 100])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--cap", type=int, default=CAP, help="the most calls for vcrpy and for respx with many routes")
    options.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    chosen = options.parse_args()
    modules = {"httpx2": "httpx2", "vcrpy": "vcr", "cassetter": "cassetter", "respx": "respx", "httpx": "httpx"}
    versions = ", ".join(f"{name} {version(name)}" for name, module in modules.items() if find_spec(module))
    print(f"CPython {platform.python_version()}, {platform.machine()}; {versions}")
    with tempfile.TemporaryDirectory(prefix="kickcore-replay-") as folder:
        for n in chosen.calls:
            print(f"\n{n:,} recorded calls, opened and replayed, on {chosen.backend}")
            results = best(peers(n, Path(folder), cap=chosen.cap, backend=chosen.backend), chosen.rounds)
            first = next(iter(results.values()))
            for name, value in results.items():
                print(f"  {name:52} {value:9.2f} µs   x {value / first:.2f}")
            for name, size in on_disk(n, Path(folder)).items():
                print(f"  {name + ': on disk':52} {size:9.0f} bytes a call")


if __name__ == "__main__":
    main()
