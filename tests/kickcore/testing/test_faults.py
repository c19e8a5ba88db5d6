"""Faults: what each does to an effect, when it comes, and what programs make of it."""

from typing import Any, get_args

import httpx2
import pytest
from hypothesis import find, given, settings
from msgspec.structs import replace

from interpreters.driver import run_sync
from interpreters.sandbox import Rotation, Sandbox, SandboxApp, Simulated, serve, small_world
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient, KickError
from kickcore.api.users import User, fetch_user
from kickcore.effects import Leaf, LoadToken, Now, Program, SaveToken, Send, Sleep
from kickcore.errors import BadResponse, LoginRequired, MissingScopes, NetworkError, NotFound, StoreError
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.tokens import NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import Secret
from kickcore.testing import (
    NOW,
    CutAnswer,
    FailHold,
    FailLoad,
    FailSave,
    Fault,
    FaultyStore,
    FaultyWorld,
    GiveAnswer,
    LoseAnswer,
    LoseRequest,
    LoseSave,
    MisnameVersion,
    Overtake,
    SaveFault,
    Schedule,
    SendFault,
    SlowAnswer,
    before,
    save_faults,
    schedules,
    send_faults,
    strike,
)

from .reach import FIRST, SOME

SLOT = Slot("https://id.kick.com", "CID", TokenKind.USER)
TOKEN, THEIRS = Token(Secret("A"), 2.0, 1.0), Token(Secret("B"), 2.0, 1.0)
ASKED = Send(Request("GET", "https://api.kick.com/public/v1/users", timeout=10.0))
ANSWER = Response(200, (), b"0123456789")


class Recorder:
    """A world where all goes well; `seen` are the effects that reached it."""

    def __init__(self) -> None:
        self.seen: list[Leaf] = []

    def __call__(self, effect: Leaf) -> object:
        self.seen.append(effect)
        answers: dict[type, object] = {Send: ANSWER, SaveToken: Saved("7"), LoadToken: Stored(TOKEN, "6"), Now: 5.0}
        return answers.get(type(effect))


LOST = "the request was lost"


@pytest.mark.parametrize(
    ("fault", "told", "seen"),
    [
        (LoseRequest(), Unreachable(LOST, Sent.NO), []),
        (LoseRequest(Sent.MAYBE), Unreachable(LOST, Sent.MAYBE), []),
        (LoseAnswer(), Unreachable("the answer was lost", Sent.YES), [ASKED]),
        (CutAnswer(4), Response(200, (), b"0123"), [ASKED]),
        (CutAnswer(14), Response(200, (), b"0123"), [ASKED]),
        (GiveAnswer(Response(500)), Response(500), []),
        (GiveAnswer(Response(500), acts=True), Response(500), [ASKED]),
        (SlowAnswer(9.0), ANSWER, [ASKED, Sleep(9.0)]),
        (SlowAnswer(10.0), Unreachable("no answer in time", Sent.YES), [ASKED, Sleep(10.0)]),
        (SlowAnswer(99.0), Unreachable("no answer in time", Sent.YES), [ASKED, Sleep(10.0)]),
        (FailSave(), ANSWER, [ASKED]),
    ],
)
def test_what_a_fault_does_to_a_request(fault: Fault, told: object, seen: list[Leaf]) -> None:
    world = Recorder()
    assert strike(fault, ASKED, world) == told
    assert world.seen == seen


SAVE = SaveToken(SLOT, TOKEN, "6")


@pytest.mark.parametrize(
    ("fault", "told", "seen"),
    [
        (FailSave("full"), NotSaved("full"), []),
        (LoseSave("reset"), NotSaved("reset"), [SAVE]),
        (MisnameVersion("9"), Saved("9"), [SAVE]),
        (Overtake(THEIRS), Saved("7"), [LoadToken(SLOT, reread=True), SaveToken(SLOT, THEIRS, "6"), SAVE]),
        (LoseAnswer(), Saved("7"), [SAVE]),
    ],
)
def test_what_a_fault_does_to_a_save(fault: Fault, told: object, seen: list[Leaf]) -> None:
    world = Recorder()
    assert strike(fault, SAVE, world) == told
    assert world.seen == seen


def test_a_load_that_fails_is_an_error_of_the_store() -> None:
    with pytest.raises(StoreError, match="permission denied"):
        _ = strike(FailLoad(), LoadToken(SLOT), Recorder())
    assert strike(FailLoad(), Now(), Recorder()) == 5.0


def test_faults_come_in_their_order_and_each_to_its_own_kind_of_effect() -> None:
    world = FaultyWorld(Recorder(), Schedule((LoseRequest(), None, LoseAnswer()), (FailSave(),), (None, FailLoad())))
    assert not world.is_over
    told = [world(effect) for effect in (ASKED, SAVE, ASKED, LoadToken(SLOT), ASKED, ASKED, SAVE)]
    assert [type(answer) for answer in told] == [Unreachable, NotSaved, Response, Stored, Unreachable, Response, Saved]
    assert world.struck == [LoseRequest(), FailSave(), LoseAnswer()]
    assert not world.is_over
    with pytest.raises(StoreError):
        _ = world(LoadToken(SLOT))
    assert world.is_over
    assert world(LoadToken(SLOT)) == Stored(TOKEN, "6")


def test_a_save_that_is_overtaken_is_told_by_whom() -> None:
    kick = Simulated()
    assert strike(Overtake(THEIRS), SaveToken(SLOT, TOKEN, ""), kick.answer) == Superseded(Stored(THEIRS, "1"))


def test_a_faulty_world_without_faults_is_the_world() -> None:
    assert run_sync(fetch_user(123), FaultyWorld(Simulated().answer, Schedule())).name == "streamer_123"
    assert FaultyWorld(Recorder(), Schedule()).is_over


# --- What is drawn


@pytest.mark.parametrize("kind", get_args(SendFault))
def test_every_fault_of_a_request_comes(kind: type) -> None:
    assert isinstance(find(send_faults(), lambda fault: isinstance(fault, kind), settings=FIRST), kind)
    assert find(schedules(), lambda drawn: any(isinstance(fault, kind) for fault in drawn.sends), settings=FIRST)


@pytest.mark.parametrize("kind", get_args(SaveFault))
def test_every_fault_of_a_save_comes(kind: type) -> None:
    assert isinstance(find(save_faults(), lambda fault: isinstance(fault, kind), settings=FIRST), kind)
    assert find(schedules(), lambda drawn: any(isinstance(fault, kind) for fault in drawn.saves), settings=FIRST)


@SOME
@given(schedules(longest=2))
def test_schedules_are_as_long_as_was_asked_for(schedule: Schedule) -> None:
    assert max(len(schedule.sends), len(schedule.saves), len(schedule.loads)) <= 2


# --- Programs under faults


def signed_in(rotation: Rotation) -> Simulated:
    """A user whose access token has ended."""
    kick = Simulated(Sandbox(small_world(rotation=rotation)))
    kick.time = NOW
    token = kick.sandbox.sign_in(["user:read"])
    kick.tokens.replace(kick.app.slot(TokenKind.USER), token, "")
    kick.time += 3 * 3600
    return kick


def again_and_again(kick: Simulated, world: FaultyWorld, program: Any) -> list[User | KickError]:
    """Call until no fault is left, and then once more."""
    told: list[User | KickError] = []
    for _ in range(40):
        is_over = world.is_over
        try:
            told.append(run_sync(program(), world))
        except KickError as error:
            told.append(error)
        kick.time += 3600
        if is_over:
            break
    return told


def own_user() -> Program[User]:
    return fetch_user()


def without_overtaking(schedule: Schedule) -> Schedule:
    """Somebody else who stores a token that Kick does not know has logged this user out."""
    return replace(schedule, saves=tuple(None if isinstance(fault, Overtake) else fault for fault in schedule.saves))


@settings(deadline=None)
@given(schedules().map(without_overtaking))
def test_where_kick_is_forgiving_no_fault_costs_a_login(schedule: Schedule) -> None:
    kick = signed_in(Rotation.GRACE)
    kick.sandbox.world = replace(kick.sandbox.world, rules=replace(kick.sandbox.world.rules, grace_seconds=1e6))
    told = again_and_again(kick, FaultyWorld(kick.answer, schedule), own_user)
    assert isinstance(told[-1], User), told


@settings(deadline=None)
@given(schedules())
def test_where_kick_is_strict_a_call_gets_through_or_says_that_a_login_is_needed(schedule: Schedule) -> None:
    kick = signed_in(Rotation.STRICT)
    told = again_and_again(kick, FaultyWorld(kick.answer, schedule), own_user)
    # Somebody else may have stored a token that cannot do this.
    assert isinstance(told[-1], User | LoginRequired | MissingScopes), told


# --- Under a client, and under its store


async def test_a_client_on_a_sandbox_knows_nothing_of_the_faults() -> None:
    sandbox = Sandbox()
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(sandbox)))
    async with http, KickClient("sandbox-app", "sandbox-secret", http=http, store=MemoryStore()) as client:
        sandbox.before = before(sandbox, [None, CutAnswer(10), GiveAnswer(Response(404))])
        with pytest.raises(BadResponse):
            _ = await client.fetch_user(123)
        with pytest.raises(NotFound):
            _ = await client.fetch_user(123)
        assert (await client.fetch_user(123)).name == "streamer_123"


async def test_an_answer_is_lost_over_real_http() -> None:
    sandbox = Sandbox()
    async with (
        serve(sandbox) as url,
        KickClient("sandbox-app", "sandbox-secret", api_url=url, id_url=url, store=MemoryStore()) as client,
    ):
        client.set_user_token("any")
        sandbox.before = before(sandbox, [LoseAnswer()])
        with pytest.raises(NetworkError):
            await client.send_chat_message("Hello!", broadcaster_user_id=676)


def test_a_sandbox_acts_though_its_answer_is_lost_or_late() -> None:
    sandbox = Sandbox()
    sandbox.before = before(sandbox, [LoseRequest(), LoseAnswer(), SlowAnswer(1.0), None])
    form = (
        ("grant_type", "client_credentials"),
        ("client_id", "sandbox-app"),
        ("client_secret", Secret("sandbox-secret")),
    )
    request = Request("POST", "http://127.0.0.1/oauth/token", form=form)
    issued = []
    for _ in range(5):
        _ = sandbox.handle(request)
        issued.append(len(sandbox.world.access))
    assert issued == [0, 1, 2, 3, 4]


def faulty(**faults: Any) -> FaultyStore:
    return FaultyStore(MemoryStore(), **faults)


async def test_a_faulty_store_fails_as_it_was_told() -> None:
    store = faulty(saves=[FailSave("full"), LoseSave(), None], loads=[FailLoad()], holds=[FailHold()])
    with pytest.raises(StoreError, match="full"):
        _ = await store.save(SLOT, TOKEN, "")
    with pytest.raises(StoreError, match="permission"):
        _ = await store.load(SLOT)
    assert await store.load(SLOT) is None
    with pytest.raises(StoreError, match="reset"):
        _ = await store.save(SLOT, TOKEN, "")
    assert await store.load(SLOT) == Stored(TOKEN, "1")
    with pytest.raises(StoreError, match="too long"):
        async with store.hold(SLOT):
            pass
    async with store.hold(SLOT):
        await store.drop(SLOT)
    assert await store.load(SLOT) is None


async def test_a_faulty_store_lies_about_a_version_and_lets_others_be_quicker() -> None:
    store = faulty(saves=[Overtake(THEIRS), MisnameVersion(), Overtake(THEIRS)])
    assert await store.save(SLOT, TOKEN, "") == Superseded(Stored(THEIRS, "1"))
    assert await store.save(SLOT, TOKEN, "1") == Saved("misnamed")
    assert await store.load(SLOT) == Stored(TOKEN, "2")
    assert await store.save(SLOT, TOKEN, "2") == Superseded(Stored(THEIRS, "3"))


async def test_a_client_gets_along_with_a_store_that_fails() -> None:
    sandbox = Sandbox()
    store = faulty(saves=[FailSave()])
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(sandbox)))
    async with http, KickClient("sandbox-app", "sandbox-secret", http=http, store=store) as client:
        with pytest.warns(match="could not be stored"):
            assert (await client.fetch_user(123)).name == "streamer_123"
    assert isinstance(await store.load(Slot("https://id.kick.com", "sandbox-app", TokenKind.APP)), Stored)


def test_a_lost_request_is_told_as_one() -> None:
    kick = Simulated()
    kick.app = replace(kick.app, policy=replace(kick.app.policy, retries=0))
    world = FaultyWorld(kick.answer, Schedule(sends=(LoseRequest(Sent.MAYBE),)))
    with pytest.raises(NetworkError, match="the request was lost"):
        _ = run_sync(fetch_user(123), world)
