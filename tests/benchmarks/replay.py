"""What a replay costs a call, beside other recorders; and whether a long session replays the same a thousand times.

Run by `python3 tests/benchmarks`, which installs what it compares with.
"""

import argparse
import gc
import platform
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import anyio
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent))

from peers_replay import HEADERS, Once, best, body, on_disk, peers

from interpreters.driver import run_sync
from interpreters.sandbox import Sandbox, Simulated, small_world
from interpreters.sessions import Player, Recording, Session, load
from kickcore import KickClient, Scope
from kickcore.api.chat import send_chat_message
from kickcore.api.users import fetch_user
from kickcore.effects import Leaf, LoadApp, Program, Send
from kickcore.http import Response
from kickcore.oauth.login import authenticate, logout

REPLAYS: Final = 1000


class Answering(Simulated):
    """A simulated Kick that answers users as the peers' recordings have them."""

    def answer(self, effect: Leaf) -> object:
        if isinstance(effect, Send) and effect.request.url.endswith("/users"):
            ((_, number),) = effect.request.query
            return Response(200, tuple(HEADERS.items()), body(int(str(number))))
        return super().answer(effect)


def recorded(n: int, folder: Path) -> Path:
    """The peers' n calls as a session, with the app token fetched before."""
    path = folder / f"kickcore-{n}.jsonl"
    if not path.exists():
        kick = Answering()
        with Recording(path, allow=["profile_picture"]) as recording:
            for number in range(1, n + 1):
                recording.run_sync(fetch_user(number), kick.answer)
    return path


def ours(n: int, folder: Path) -> dict[str, Once]:
    """kickcore's own contenders: opened from the file, replayed, and closed, in each run."""
    path = recorded(n, folder)

    def plain() -> float:
        gc.collect()
        start = perf_counter()
        player = Player(load(path))
        for number in range(1, n + 1):
            assert player.run_sync(fetch_user(number)).user_id == number
        player.finish()
        return (perf_counter() - start) / n * 1e6

    async def by_client() -> float:
        gc.collect()
        start = perf_counter()
        async with KickClient.replaying(path) as client:
            for number in range(1, n + 1):
                user = await client.fetch_user(number)
                assert user.user_id == number
        return (perf_counter() - start) / n * 1e6

    def opening() -> float:
        gc.collect()
        start = perf_counter()
        _ = load(path)
        return (perf_counter() - start) / n * 1e6

    return {
        "kickcore, no event loop": plain,
        "kickcore: KickClient on asyncio": lambda: anyio.run(by_client),
        "kickcore: KickClient on trio": lambda: anyio.run(by_client, backend="trio"),
        "kickcore: opening alone": opening,
    }


def costs(sizes: list[int], rounds: int, cap: int) -> None:
    """The tables: for each number of calls, all contenders in turns."""
    for n in sizes:
        with tempfile.TemporaryDirectory(prefix="kickcore-replay-") as name:
            folder = Path(name)
            print(f"\n{n:,} recorded calls, opened and replayed, for each call")
            contenders = ours(n, folder)
            if n <= 1000:
                contenders |= peers(n, folder, cap=cap)
            results = best(contenders, rounds)
            first = results["kickcore, no event loop"]
            for contender, value in results.items():
                print(f"  {contender:52} {value:9.2f} µs   x {value / first:.2f}")
            sizes_on_disk = {"kickcore": recorded(n, folder).stat().st_size / n, **on_disk(n, folder)}
            for contender, size in sizes_on_disk.items():
                print(f"  {contender + ': on disk':52} {size:9.0f} bytes a call")


def recording_costs(rounds: int) -> None:
    """What recording adds to a call that costs nothing but the program."""
    kick = Answering()
    known: dict[Any, object] = {}

    def answer(effect: Leaf) -> object:
        key = effect if not isinstance(effect, Send) else effect.request.query
        if key not in known:
            known[key] = kick.answer(effect)
        return known[key]

    def timed(call: Callable[[int], object]) -> float:
        gc.collect()
        start = perf_counter()
        for number in range(1, 1001):
            call(number)
        return (perf_counter() - start) / 1000 * 1e6

    with tempfile.TemporaryDirectory(prefix="kickcore-record-") as name:

        def in_memory() -> float:
            recording = Recording()
            return timed(lambda number: recording.run_sync(fetch_user(number), answer))

        def to_a_file() -> float:
            recording = Recording(Path(name) / "a.jsonl")
            taken = timed(lambda number: recording.run_sync(fetch_user(number), answer))
            recording.discard()
            return taken

        plain = timed(lambda number: run_sync(fetch_user(number), answer))
        print("\nrecording, for each call")
        contenders: dict[str, Once] = {
            "not recorded": lambda: timed(lambda number: run_sync(fetch_user(number), answer)),
            "recorded in memory": in_memory,
            "recorded to a file": to_a_file,
        }
        for contender, value in best(contenders, rounds).items():
            print(f"  {contender:52} {value:9.2f} µs")
        assert plain


Flow = list[tuple[Callable[[], Program[Any]], str]]


def a_long_flow() -> Flow:
    """Several hundred calls of two accounts, with logins, refreshes, and logouts."""
    flow: Flow = [(lambda: authenticate([Scope.USER_READ, Scope.CHAT_WRITE]), who) for who in ("alice", "bob")]
    for number in range(150):
        for who in ("alice", "bob"):
            flow.append((lambda n=number: send_chat_message(f"message {n}", broadcaster_user_id=676), who))
        flow.append((lambda n=number: fetch_user(676 if n % 2 else 123), ""))
    return [*flow, (logout, "alice"), (logout, "bob")]


def recorded_flow(flow: Flow) -> Session:
    kick = Simulated(Sandbox(small_world()))
    recording = Recording()
    apps = {who: replace(kick.app, account=who) for _, who in flow}

    def answering(who: str) -> Callable[[Leaf], object]:
        return lambda effect: apps[who] if isinstance(effect, LoadApp) else kick.answer(effect)

    for make, who in flow:
        kick.time += 180.0
        recording.run_sync(make(), answering(who), account=who)
    return recording.close()


def digest(player: Player) -> str:
    log = [(line.p, line.i, line.k) for line in (player.session.lines[number] for number in player.delivered)]
    return sha256(repr(log).encode()).hexdigest()


def exactness() -> None:
    """A long session, a thousand times, on no loop, asyncio and trio: how many different effect logs."""
    flow = a_long_flow()
    session = recorded_flow(flow)
    logs: dict[str, set[str]] = {"no event loop": set(), "asyncio": set(), "trio": set()}

    async def in_a_loop(backend: str) -> None:
        for _ in range(REPLAYS // 3):
            player = Player(session)
            for make, who in flow:
                _ = await player.run(make(), account=who)
            player.finish()
            logs[backend].add(digest(player))

    for _ in range(REPLAYS - 2 * (REPLAYS // 3)):
        player = Player(session)
        for make, who in flow:
            _ = player.run_sync(make(), account=who)
        player.finish()
        logs["no event loop"].add(digest(player))
    for backend in ("asyncio", "trio"):
        anyio.run(in_a_loop, backend, backend=backend)
    different = set().union(*logs.values())
    refreshes = sum(line.k == "send" and line.p.endswith("/1") for line in session.lines)
    print(
        f"\na session of {len(flow)} calls, {len(session.lines)} lines, {refreshes} refreshes, replayed {REPLAYS} times"
    )
    print(f"  different effect logs on no event loop, asyncio and trio: {len(different)}")
    assert len(different) == 1


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--replay-calls", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    options.add_argument("--cap", type=int, default=100, help="the most calls for the slowest of the peers")
    chosen, _ = options.parse_known_args()
    print(f"\nReplaying, CPython {platform.python_version()}, {platform.machine()}")
    costs(chosen.replay_calls, min(chosen.rounds, 5), chosen.cap)
    recording_costs(min(chosen.rounds, 5))
    exactness()


if __name__ == "__main__":
    main()
