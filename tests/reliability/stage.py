"""Where scenarios are played: a library, the simulated Kick, a folder for each grant, and what was written down."""

import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import anyio
import msgspec
from journal import Count, Journal, Outcome, SecretSeen
from orders import SCOPE, Ask, Control, Fresh, Grant, State
from rows import Row
from subjects import TOKEN_FILE, Subject
from watch import Watch

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which a call is taken to hang."""


class Hung(BaseException):
    """A call that blocks its event loop was broken off."""


class Stage:
    """One library in one scenario. Deterministic by `seed`, as far as processes and clocks are."""

    def __init__(self, subject: Subject, control: Control, folder: Path, seed: int, *, is_quick: bool) -> None:
        self.subject = subject
        self.control = control
        self.is_quick = is_quick
        self.random = random.Random(seed)
        self.journal = Journal(folder / "journal")
        self.watch = Watch(self.journal, subject.folders())
        self._folder = folder
        self._grants = 0
        self._entries: list[Outcome | SecretSeen] = []
        self._numbers: list[int] = []
        self._began = time.monotonic()

    def size(self, full: T, quick: T) -> T:
        """How much is tried."""
        return quick if self.is_quick else full

    def some(self, cases: list[T], full: int | None, quick: int) -> list[T]:
        """Cases spread evenly over all of them; the quick form takes fewer."""
        count = self.size(full or len(cases), quick)
        if len(cases) <= count:
            return cases
        return [cases[place * len(cases) // count] for place in range(count)]

    def begin(self, *, strict: bool = True, user_life: float = 7200.0, pause: float = 0.0) -> Grant:
        """A new grant, whose access token has ended, in a folder of its own, which becomes the working directory."""
        self._grants += 1
        folder = self._folder / str(self._grants)
        folder.mkdir()
        os.chdir(folder)
        seed = str(self.random.getrandbits(64))
        grant = self.control.log_in(Fresh(seed=seed, strict=strict, user_life=user_life, pause=pause))
        self.store(grant)
        return grant

    def store(self, grant: Grant) -> None:
        members = {
            "access_token": grant.access_token,
            "expires_at": int(time.time()) - 60,
            "token_type": "Bearer",
            "token_kind": "user",
            "refresh_token": grant.refresh_token,
            "scope": SCOPE,
        }
        Path(TOKEN_FILE).write_bytes(msgspec.json.encode(members))

    def saved(self) -> str:
        """The refresh token in the file, or "" if there is none that can be read."""
        with suppress(OSError, ValueError, AttributeError, msgspec.MsgspecError):
            token = msgspec.json.decode(Path(TOKEN_FILE).read_bytes()).get("refresh_token")
            return token if isinstance(token, str) else ""
        return ""

    def is_kept(self) -> bool:
        """Whether the file holds a refresh token that Kick would take."""
        return self.control.takes(self.saved())

    def state(self) -> State:
        """What Kick has seen by now."""
        return self.control.tell(Ask())

    def settled(self) -> State:
        """The same, when Kick has acted on all that the dead have sent."""
        return self.control.wait_until_quiet()

    def run(self, use: Callable[[Any], Awaitable[T]]) -> T:
        """Open a client on an event loop of its own, and use it. After this, the process must not fork."""

        async def main() -> T:
            async with self.subject.open(self.control.url) as client:
                return await use(client)

        return anyio.run(main, backend=self.subject.backend)

    async def attempt(self, client: Any) -> Outcome:
        """Make a call that needs the user's token, and write down what became of it."""
        try:
            with anyio.fail_after(PATIENCE):
                await client.fetch_kicks_leaderboard(top=1)
        except (Exception, Hung) as error:  # noqa: BLE001 - whatever it is, it is counted
            self.watch.error(error)
            outcome = Outcome(
                os.getpid(),
                type(error).__name__,
                inside=isinstance(error, self.subject.tree),
                clear=isinstance(error, self.subject.clear),
                names_file=TOKEN_FILE in str(error),
            )
        else:
            outcome = Outcome(os.getpid())
        self.journal.write(outcome)
        return outcome

    def fork(self, work: Callable[[], object]) -> int:
        """Do work in a process of its own. Libraries are imported already: what is forked is as good as started."""
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - shown, and the process ends in any case
            traceback.print_exc()
        finally:
            os._exit(status)

    def call(self) -> int:
        """Begin a call in a process of its own."""
        return self.fork(lambda: self.run(self.attempt))

    def call_and_wait(self) -> Outcome:
        """Make a call in a process of its own."""
        pid = self.call()
        os.waitpid(pid, 0)
        outcomes = [outcome for outcome in self.outcomes() if outcome.process == pid]
        return outcomes[-1] if outcomes else Outcome(pid, "died", inside=False, clear=False)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def outcomes(self) -> list[Outcome]:
        """The outcomes since this was asked last, in this process and in all that were forked from it."""
        new = self.journal.new()
        self._entries += [entry for entry in new if not isinstance(entry, Count)]
        self._numbers += [entry.number for entry in new if isinstance(entry, Count)]
        return [entry for entry in new if isinstance(entry, Outcome)]

    def told(self) -> list[Outcome]:
        """All outcomes since the last row."""
        self.outcomes()
        return [entry for entry in self._entries if isinstance(entry, Outcome)]

    def number(self) -> int:
        """The last number that a forked process has found out."""
        self.outcomes()
        return self._numbers[-1] if self._numbers else 0

    def row(self, scenario: str, unit: str, tried: int, note: str = "", **counts: Any) -> Row:
        """The row of a scenario that ends here, with what the journal says."""
        outcomes = self.told()
        entries, self._entries = self._entries, []
        seen = Counter(entry.where for entry in entries if isinstance(entry, SecretSeen))
        shown = [note] if note else []
        shown += [f"secrets in {where} x {count}" for where, count in seen.most_common(3)]
        began, self._began = self._began, time.monotonic()
        return Row(
            scenario=scenario,
            subject=self.subject.name,
            library=self.subject.library,
            unit=unit,
            tried=tried,
            outside=sum(not outcome.inside for outcome in outcomes),
            secrets=seen.total(),
            seconds=self._began - began,
            note="; ".join(shown),
            **counts,
        )
