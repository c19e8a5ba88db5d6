"""A client whose Kick limits, fails and changes: many callers at once, on both loops, in a time of its own."""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count
from types import SimpleNamespace
from typing import Any

import anyio
import httpx2
import pytest
import trio
from anyio.lowlevel import checkpoint
from trio.testing import MockClock

import kickcore.client
from interpreters.http.transport import AT_ONCE
from interpreters.live import Live
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient, KickError
from kickcore.api.users import User
from kickcore.errors import BadResponse, ClientClosed, ConfigError, QuotaReached, RateLimited, ServerError
from kickcore.notices import DriftNoticed, Notice, Retrying
from kickcore.policy import Drift, Policy

USERS, CATEGORIES = "/public/v1/users", "/public/v2/categories"
BEGAN = 1_800_000_000.0


class Time:
    """A clock, and a sleep, that jump to the next sleeper when nobody has anything to do."""

    def __init__(self) -> None:
        self.now = BEGAN
        self._asked = 0
        self._number = count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []

    def __call__(self) -> float:
        self._asked += 1
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._asked += 1
        event = anyio.Event()
        heappush(self._sleepers, (self.now + seconds, next(self._number), event))
        await event.wait()

    async def fly(self) -> None:
        while True:
            idle = 0
            while idle < 30:
                before = self._asked
                await checkpoint()
                idle = idle + 1 if before == self._asked else 0
            if self._sleepers:
                until = self._sleepers[0][0]
                self.now = max(self.now, until)
                while self._sleepers and self._sleepers[0][0] == until:
                    heappop(self._sleepers)[2].set()


class Kick:
    """Answers as `limited` says, by path; else well. Counts what it answered."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.answers: Counter[tuple[str, int]] = Counter()
        self.limited: Callable[[str], httpx2.Response | None] = lambda _: None
        self.data: Any = None
        self.under_way = 0
        self.most_under_way = 0

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/oauth/token":
            return httpx2.Response(200, json={"access_token": "APP", "token_type": "Bearer", "expires_in": 86400})
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        for _ in range(3):
            await checkpoint()
        self.under_way -= 1
        answer = self.limited(request.url.path) or self._good(request)
        self.answers[request.url.path, answer.status_code] += 1
        return answer

    def _good(self, request: httpx2.Request) -> httpx2.Response:
        rows = [{"user_id": int(value), "name": "anna"} for value in request.url.params.get_list("id")]
        return httpx2.Response(200, json={"data": rows if self.data is None else self.data, "message": "OK"})


def client_of(kick: Kick, clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch, **options: Any) -> KickClient:
    monkeypatch.setattr(kickcore.client, "time", SimpleNamespace(time=clock))
    monkeypatch.setitem(Live.__init__.__kwdefaults__, "clock", clock)
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(kick))
    return KickClient("CID", "CSECRET", http=http, store=MemoryStore(), **options)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(anyio, "sleep", clock.sleep)
    return clock


@pytest.fixture
def kick(clock: Time) -> Kick:
    return Kick(clock)


@pytest.fixture
def make(kick: Kick, clock: Time, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KickClient]:
    return lambda **options: client_of(kick, clock, monkeypatch, **options)


@asynccontextmanager
async def flying(clock: Time) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clock.fly)
        yield
        tasks.cancel_scope.cancel()


def limited_until(clock: Callable[[], float], instant: float, asked: int) -> Callable[[str], httpx2.Response | None]:
    """Users are limited until an instant; nothing else is."""

    def limited(path: str) -> httpx2.Response | None:
        is_limited = path == USERS and clock() < instant
        return httpx2.Response(429, headers={"retry-after": str(asked)}) if is_limited else None

    return limited


async def thousand(ask: Callable[[int], Awaitable[object]]) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(1, 1001):
            tasks.start_soon(ask, number)


# --- Many callers


async def test_one_429_lets_a_thousand_callers_wait_and_no_caller_of_another_operation(
    make: Callable[..., KickClient], kick: Kick, clock: Time
) -> None:
    client = make()
    kick.limited = limited_until(clock, BEGAN + 7, 7)
    found: list[User] = []
    ended: list[float] = []
    others: list[float] = []

    async def ask(number: int) -> None:
        found.append(await client.fetch_user(number))
        ended.append(clock.now)

    async def ask_another() -> None:
        while not kick.answers[USERS, 429]:
            await checkpoint()
        _ = await client.fetch_categories()
        others.append(clock.now)

    async with flying(clock), anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(ask_another)
        await thousand(ask)
    assert sorted(user.user_id for user in found) == list(range(1, 1001))
    assert others == [BEGAN] * 50
    assert 1 <= kick.answers[USERS, 429] <= AT_ONCE
    assert kick.answers[USERS, 200] == 1000
    assert min(ended) >= BEGAN + 7
    assert max(ended) <= BEGAN + 7 * 1.1
    assert kick.most_under_way <= AT_ONCE
    await client.close()


def test_the_same_on_trio_in_its_own_mock_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        def clock() -> float:
            return BEGAN + trio.current_time()

        kick = Kick(clock)
        client = client_of(kick, clock, monkeypatch)
        began = clock()
        kick.limited = limited_until(clock, began + 30, 30)
        ended: list[float] = []

        async def ask(number: int) -> None:
            assert (await client.fetch_user(number)).user_id == number
            ended.append(clock())

        await thousand(ask)
        assert 1 <= kick.answers[USERS, 429] <= AT_ONCE
        assert kick.answers[USERS, 200] == len(ended) == 1000
        assert began + 30 <= min(ended) <= max(ended) <= began + 33.1
        await client.close()

    began = time.perf_counter()
    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert time.perf_counter() - began < 25


async def test_a_wait_that_is_too_long_refuses_a_thousand_callers_without_sending(
    make: Callable[..., KickClient], kick: Kick, clock: Time
) -> None:
    client = make()
    kick.limited = limited_until(clock, BEGAN + 3600, 3600)
    waits: list[float | None] = []

    async def ask(number: int) -> None:
        with pytest.raises(RateLimited) as caught:
            _ = await client.fetch_user(number)
        waits.append(caught.value.retry_after)

    async with flying(clock):
        await thousand(ask)
        assert waits == [3600.0] * 1000
        assert 1 <= kick.answers[USERS, 429] <= AT_ONCE
        before = kick.answers[USERS, 429]
        await thousand(ask)
        assert kick.answers[USERS, 429] == before
        assert clock.now == BEGAN
        clock.now += 3600
        assert (await client.fetch_user(5)).user_id == 5
    assert clock.now == BEGAN + 3600


async def test_a_limit_that_goes_on_costs_few_answers_and_ends_in_errors(
    make: Callable[..., KickClient], kick: Kick, clock: Time
) -> None:
    told: list[Notice] = []
    client = make(on_notice=told.append)
    kick.limited = limited_until(clock, float("inf"), 7)
    ends: Counter[str] = Counter()

    async def ask(number: int) -> None:
        try:
            _ = await client.fetch_user(number)
        except RateLimited:
            ends["RateLimited"] += 1

    async with flying(clock):
        await thousand(ask)
    assert ends == {"RateLimited": 1000}
    # Each gives up in the end, and those repeats that were not the first are bounded by the budget.
    assert kick.answers[USERS, 429] <= 1000 + 100
    assert len(told) == kick.answers[USERS, 429] - 1000


async def test_accounts_of_one_client_wait_together_and_clients_do_not(
    make: Callable[..., KickClient], kick: Kick, clock: Time
) -> None:
    one, other = make(policy=Policy(retries=0)), make(policy=Policy(retries=0))
    kick.limited = limited_until(clock, BEGAN + 7, 7)
    for _ in range(2):
        with pytest.raises(RateLimited):
            _ = await one.fetch_user(5)
        with pytest.raises(RateLimited):
            _ = await one.as_user("anna").fetch_user(5)
    assert kick.answers[USERS, 429] == 1
    with pytest.raises(RateLimited):
        _ = await other.fetch_user(5)
    assert kick.answers[USERS, 429] == 2
    clock.now += 7
    assert (await one.fetch_user(5)).user_id == 5


async def test_a_dead_kick_is_hardly_asked_more_often_than_it_is_called(
    make: Callable[..., KickClient], kick: Kick, clock: Time
) -> None:
    client = make()
    kick.limited = lambda _: httpx2.Response(502)

    async def ask(number: int) -> None:
        with pytest.raises(ServerError):
            _ = await client.fetch_user(number)

    async with flying(clock):
        await thousand(ask)
        assert kick.answers[USERS, 502] == 1000 + 100
        kick.limited = lambda _: None
        await thousand(client.fetch_user)
        assert kick.answers[USERS, 200] == 1000
        answers = iter([httpx2.Response(502), None])
        kick.limited = lambda _: next(answers)
        assert (await client.fetch_user(5)).user_id == 5


# --- Waiting


@pytest.mark.parametrize("headers", [{"retry-after": "60"}, {"retry-after": "60", "date": "now"}])
async def test_waiting_can_be_cancelled_by_the_caller_alone(
    make: Callable[..., KickClient], kick: Kick, clock: Time, headers: dict[str, str]
) -> None:
    # Nothing flies here: who sleeps does not wake up.
    client = make()
    answers = iter([httpx2.Response(429, headers=headers)])
    kick.limited = lambda _: next(answers, None)
    found: list[User] = []

    async def ask() -> None:
        found.append(await client.fetch_user(5))

    with anyio.move_on_after(0.02) as scope:
        _ = await client.fetch_user(5)
    assert scope.cancelled_caught
    with pytest.raises(TimeoutError), anyio.fail_after(0.02):
        _ = await client.fetch_user(5)
    assert kick.answers == {(USERS, 429): 1}
    # The group still waits, and comes through.
    async with flying(clock):
        await ask()
    assert found == [User(5, "anna")]
    assert clock.now >= BEGAN + 60
    await client.close()


async def test_a_client_that_is_closed_meanwhile_sends_nothing_afterwards(
    make: Callable[..., KickClient], kick: Kick, clock: Time
) -> None:
    client = make()
    kick.limited = limited_until(clock, BEGAN + 7, 7)
    ends: list[str] = []

    async def ask() -> None:
        try:
            _ = await client.fetch_user(5)
        except ClientClosed:
            ends.append("closed")

    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(ask)
        while not kick.answers[USERS, 429]:
            await checkpoint()
        await client.close()
        before = kick.answers.total() + kick.under_way
        async with flying(clock):
            while len(ends) < 30:
                await checkpoint()
    assert kick.answers.total() <= before


async def test_real_waits_are_short(kick: Kick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    told: list[Notice] = []
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(kick))
    policy = Policy(backoff=0.02, longest_backoff=0.03)
    client = KickClient("CID", "CSECRET", http=http, store=MemoryStore(), policy=policy, on_notice=told.append)
    answers = iter([httpx2.Response(429), httpx2.Response(500)])
    kick.limited = lambda _: next(answers, None)
    began = time.perf_counter()
    assert await client.fetch_user(5) == User(5, "anna")
    waits = [notice.wait for notice in told if isinstance(notice, Retrying)]
    assert len(waits) == 2
    assert sum(waits) - 0.02 <= time.perf_counter() - began < 5


# --- Notices


async def test_every_repeat_is_told(make: Callable[..., KickClient], kick: Kick, clock: Time) -> None:
    told: list[Notice] = []
    client = make(on_notice=told.append)
    answers = iter([httpx2.Response(429, headers={"retry-after": "3"}), httpx2.Response(503)])
    kick.limited = lambda _: next(answers, None)
    async with flying(clock):
        _ = await client.as_user("anna").fetch_user(5)
    first, second = told
    assert isinstance(first, Retrying)
    assert (first.operation, first.reason, first.attempt) == (f"GET {USERS}", "too many requests (429)", 1)
    assert 3 <= first.wait <= 3.3
    assert isinstance(second, Retrying)
    assert (second.operation, second.reason, second.attempt) == (f"GET {USERS}", "Kick failed (5xx)", 2)
    assert second.wait <= 0.4
    assert clock.now == pytest.approx(BEGAN + first.wait + second.wait, abs=1e-3)


async def test_news_is_told_or_refused_as_the_policy_says(make: Callable[..., KickClient], kick: Kick) -> None:
    told: list[Notice] = []
    kick.data = [{"user_id": 5, "name": "anna", "pronouns": "she"}]
    notice = DriftNoticed(f"GET {USERS}", "data[].pronouns")
    for policy, wanted in (
        (None, []),
        (Policy(), []),
        (Policy(drift=Drift.IGNORE), []),
        (Policy(drift=Drift.TELL), [notice]),
    ):
        told.clear()
        assert await make(policy=policy, on_notice=told.append).fetch_user(5) == User(5, "anna")
        assert told == wanted
    assert await make(policy=Policy(drift=Drift.TELL)).fetch_user(5) == User(5, "anna")
    told.clear()
    with pytest.raises(BadResponse, match="pronouns"):
        _ = await make(policy=Policy(drift=Drift.REFUSE), on_notice=told.append).fetch_user(5)
    assert told == []


async def test_no_retries_switches_it_all_off(make: Callable[..., KickClient], kick: Kick, clock: Time) -> None:
    told: list[Notice] = []
    client = make(policy=Policy(retries=0), on_notice=told.append)
    for status in (429, 500, 502, 503, 504):
        kick.limited = lambda _, status=status: httpx2.Response(status)
        with pytest.raises(KickError):
            _ = await client.fetch_user(5)
        assert kick.answers[USERS, status] == 1
    assert told == []
    assert clock.now == BEGAN


async def test_a_quota_holds_nobody_back(make: Callable[..., KickClient], kick: Kick, clock: Time) -> None:
    client = make()
    answers = iter([httpx2.Response(429, json={"data": "QUOTA"}, headers={"retry-after": "30"})])
    kick.limited = lambda _: next(answers, None)
    with pytest.raises(QuotaReached):
        _ = await client.fetch_user(5)
    assert await client.fetch_user(5) == User(5, "anna")
    assert clock.now == BEGAN


@pytest.mark.parametrize("policy", [Policy(retries=-1), Policy(backoff=float("nan")), Policy(longest_wait=1e9)])
def test_a_policy_that_cannot_be_right_is_refused_when_the_client_is_made(policy: Policy) -> None:
    with pytest.raises(ConfigError, match="policy"):
        _ = KickClient("CID", "CSECRET", policy=policy)
