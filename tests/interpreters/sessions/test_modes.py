"""What is done with a session file: replayed, recorded, replaced only if all goes well, gone on with, compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from recorded import asking, kick, waiting

from interpreters.sandbox import SandboxApp, Simulated
from interpreters.sessions import Mode, Player, ReplayDivergence, Session, Take, load, modes
from interpreters.sessions.modes import allowed_mode, checked_mode, is_ci, mode_from_environment
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient
from kickcore.api.chat import send_chat_message
from kickcore.api.users import fetch_user
from kickcore.effects import LoadApp, Program, Send
from kickcore.errors import AnswersChanged, ConfigError, LeakSuspected, NotFound, SessionError
from kickcore.http import Request, Response, Unreachable
from kickcore.oauth.access import token_for
from kickcore.oauth.login import authenticate
from kickcore.oauth.tokens import TokenKind
from kickcore.secret import Secret

SCOPES = ("chat:write", "user:read")


@pytest.fixture(autouse=True)
def elsewhere_than_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("KICK_RECORD", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.kcs.jsonl"


def take_with(
    path: Path, mode: Mode, *programs: Program[Any], on: Simulated | None = None, **options: Any
) -> list[Any]:
    """What programs gave in one take that went well."""
    simulated, take = on or kick(), Take(path, mode, **options)
    values = [take.run_sync(program, simulated.answer) for program in programs]
    assert take.close() == ""
    return values


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


# Which mode


@pytest.mark.parametrize(
    ("environment", "default", "mode"),
    [
        ({}, Mode.REPLAY, Mode.REPLAY),
        ({}, "record", Mode.RECORD),
        ({"KICK_RECORD": ""}, "extend", Mode.EXTEND),
        ({"KICK_RECORD": " ReRecord "}, "extend", Mode.RERECORD),
        ({"KICK_RECORD": "off"}, Mode.REPLAY, Mode.OFF),
        *[({"KICK_RECORD": mode, "CI": ci}, Mode.REPLAY, mode) for mode in Mode for ci in ("", "0", "false", "False")],
        *[
            ({"KICK_RECORD": mode, "CI": ci}, Mode.REPLAY, Mode.VERIFY if mode is Mode.VERIFY else Mode.REPLAY)
            for mode in Mode
            for ci in ("1", "true", "yes")
        ],
        ({"CI": "true"}, Mode.RECORD, Mode.REPLAY),
    ],
)
def test_the_environment_names_the_mode_and_ci_replays(environment: dict[str, str], default: Any, mode: Mode) -> None:
    assert mode_from_environment(default, environment) is mode
    assert is_ci(environment) is (environment.get("CI", "").lower() not in {"", "0", "false"})


def test_a_mode_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    with pytest.raises(ConfigError, match="no mode 'once' for sessions; there are replay, record, rerecord, extend"):
        checked_mode("once")
    monkeypatch.setenv("KICK_RECORD", "new")
    with pytest.raises(ConfigError, match="no mode 'new'"):
        Take(path)
    monkeypatch.setenv("CI", "1")
    assert allowed_mode("rerecord") is Mode.REPLAY


# Replay and record


def test_a_replay_needs_its_file_and_says_how_to_get_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SessionError, match=r"a\.kcs\.jsonl is not there.*; to record it, set KICK_RECORD=record$"):
        Take(path)
    monkeypatch.setenv("CI", "1")
    with pytest.raises(SessionError, match="in CI nothing is recorded, so do it elsewhere"):
        Take(path, Mode.RECORD)
    assert names(path) == []


def test_record_records_once_and_then_replays(path: Path) -> None:
    simulated = kick()
    (user,) = take_with(path, Mode.RECORD, fetch_user(676), on=simulated)
    before = path.read_bytes()
    take = Take(path, Mode.RECORD)
    assert not take.is_live
    assert not take.may_need_kick
    assert take.player is not None
    assert take.run_sync(fetch_user(676)) == user
    assert [line.k for line in take.lines()] == [line.k for line in take.session.lines]
    assert take.close() == ""
    assert path.read_bytes() == before
    assert names(path) == ["a.kcs.jsonl"]


def test_a_replay_asks_nobody_and_unfinished_lines_are_told_on_closing(path: Path) -> None:
    take_with(path, Mode.RECORD, fetch_user(676), waiting(1.0))

    def nobody(effect: object) -> object:
        raise AssertionError

    take = Take(path)
    take.run_sync(fetch_user(676), nobody)
    with pytest.raises(ReplayDivergence, match="set KICK_RECORD=rerecord") as caught:
        take.close()
    assert caught.value.reason == "unfinished"
    failed = Take(path)
    failed.run_sync(fetch_user(676), nobody)
    assert failed.close(failed=True) == ""
    discarded = Take(path)
    discarded.discard()
    assert discarded.close() == ""
    with pytest.raises(ConfigError, match="was closed"):
        discarded.run_sync(fetch_user(676))


def test_a_live_take_needs_somebody_to_ask(path: Path) -> None:
    take = Take(path, Mode.RERECORD)
    with pytest.raises(ConfigError, match="with mode rerecord, a live interpreter is needed"):
        take.run_sync(fetch_user(676))
    take.discard()
    assert names(path) == []


def test_what_went_wrong_takes_no_files_place(path: Path) -> None:
    simulated = kick()
    take = Take(path, Mode.RECORD)
    take.run_sync(fetch_user(676), simulated.answer)
    assert f"there is no {path}" in take.close(failed=True)
    assert names(path) == ["a.kcs.jsonl.rejected"]
    take_with(path, Mode.RERECORD, fetch_user(676))
    assert names(path) == ["a.kcs.jsonl"], "what was rejected is gone once it goes well"

    before = path.read_bytes()
    take = Take(path, Mode.RERECORD)
    take.run_sync(waiting(3.0), simulated.answer)
    told = take.close(failed=True)
    assert told == f"what was recorded is in {path}.rejected, and {path} is as it was"
    assert path.read_bytes() == before
    assert load(path.with_name("a.kcs.jsonl.rejected")).programs == ("waiting(seconds=3.0)",)
    take_with(path, Mode.RERECORD, waiting(4.0), on=simulated)
    assert load(path).programs == ("waiting(seconds=4.0)",)
    assert names(path) == ["a.kcs.jsonl"]


def test_a_recording_that_would_leak_changes_nothing(path: Path) -> None:
    unknown = "Zk3qT7w9xVbR2mN8pL4sD6fG1hJ5kQ0y"
    simulated = kick()
    for failed in (False, True):
        take = Take(path, Mode.RERECORD)
        take.run_sync(authenticate(SCOPES), simulated.answer)
        take.run_sync(send_chat_message(unknown, broadcaster_user_id=676), simulated.answer)
        if failed:
            assert "nothing was kept" in take.close(failed=True)
        else:
            with pytest.raises(LeakSuspected):
                take.close()
        assert names(path) == []
    take_with(
        path, Mode.RERECORD, send_chat_message(unknown, broadcaster_user_id=676), on=simulated, secret_texts=[unknown]
    )
    assert unknown not in path.read_text("utf-8")


def test_nobody_else_reads_half_a_file_and_two_who_record_the_same_do_not_meet(path: Path) -> None:
    simulated = kick()
    takes = [Take(path, Mode.RERECORD) for _ in range(2)]
    for take in takes:
        take.run_sync(fetch_user(676), simulated.answer)
    assert not path.exists()
    for take in takes:
        take.close()
        Player(load(path)).close()
    assert names(path) == ["a.kcs.jsonl"]


# Extend


def a_story() -> list[Program[Any]]:
    return [fetch_user(676), authenticate(SCOPES), send_chat_message("Hello!", broadcaster_user_id=676)]


def more() -> list[Program[Any]]:
    return [waiting(7150.0), send_chat_message("Still here", broadcaster_user_id=676), fetch_user(676), fetch_user()]


def aliases(session: Session, role: str) -> set[str]:
    return {alias for alias in session.header.sizes if alias.startswith(f"{role}:")}


def test_extend_replays_what_is_there_and_goes_on_live(path: Path) -> None:
    simulated = kick()
    told = take_with(path, Mode.RECORD, *a_story(), on=simulated)
    before = path.read_text("utf-8")
    first = load(path)
    asked: list[object] = []

    def answer(effect: Any) -> object:
        asked.append(effect)
        return simulated.answer(effect)

    take = Take(path, Mode.EXTEND)
    assert not take.is_live
    assert take.may_need_kick
    assert [take.run_sync(program, answer) for program in a_story()] == told
    assert asked == [], "what is in the file is not asked"
    again = [take.run_sync(program, answer) for program in more()]
    assert take.is_live
    assert take.player is None
    take.close()

    rows, old_rows = path.read_text("utf-8").split("\n"), before.split("\n")
    assert rows[1 : len(old_rows) - 2] == old_rows[1:-2], "the recorded lines are as they were"
    whole = load(path)
    assert len(whole.lines) > len(first.lines)
    assert whole.header.t0 == first.header.t0
    assert whole.header.seed == first.header.seed
    assert whole.programs[-3:] == (
        "send_chat_message(content='Still here', broadcaster_user_id=676)",
        "fetch_user(user_id=676)#2",
        "fetch_user()",
    )
    # Once more from the beginning, as one session.
    player = Player(whole)
    replayed = [player.run_sync(program) for program in (*a_story(), *more())]
    player.finish()
    assert replayed[:-1] == [*told, *again[:-1]]
    assert aliases(whole, "cs") == {"cs:1"}, "the app's secret is the one secret that is sure to be the same"
    assert len(aliases(whole, "at")) > len(aliases(first, "at"))
    assert "SANDBOX" not in path.read_text("utf-8")


def test_extend_records_from_the_start_if_there_is_no_file_and_replays_if_nothing_is_new(path: Path) -> None:
    take_with(path, Mode.EXTEND, *a_story())
    before = path.read_bytes()
    take_with(path, Mode.EXTEND, *a_story())
    assert path.read_bytes() == before
    take = Take(path, Mode.EXTEND)
    with pytest.raises(ReplayDivergence):
        take.close()


def test_extend_can_be_done_again_and_again(path: Path) -> None:
    simulated = kick()
    told: list[Any] = []
    for count in range(1, 4):
        programs = [fetch_user(676) for _ in range(count)]
        told = take_with(path, Mode.EXTEND, *programs, on=simulated)
    assert load(path).programs == ("fetch_user(user_id=676)", "fetch_user(user_id=676)#2", "fetch_user(user_id=676)#3")
    player = Player(load(path))
    assert [player.run_sync(fetch_user(676)) for _ in range(3)] == told
    player.finish()


def test_a_divergence_inside_a_recorded_program_is_no_reason_to_go_live(path: Path) -> None:
    simulated = kick()

    def two(last: str) -> Program[list[Response | Unreachable]]:
        first = yield from asking("/one")
        second = yield from asking(last)
        return [first, second]

    take = Take(path, Mode.RECORD)
    take.run_sync(two("/two"), simulated.answer, label="two")
    take.close()
    before = path.read_bytes()
    take = Take(path, Mode.EXTEND)
    with pytest.raises(ReplayDivergence) as caught:
        take.run_sync(two("/three"), simulated.answer, label="two")
    assert caught.value.difference.used == f"{simulated.app.api_url}/three"
    take.close(failed=True)
    assert path.read_bytes() == before
    assert names(path) == ["a.kcs.jsonl"]


def test_extend_refuses_to_go_live_before_all_that_is_recorded_was_asked_for(path: Path) -> None:
    simulated = kick()
    take_with(path, Mode.RECORD, fetch_user(676), waiting(1.0), waiting(2.0), on=simulated)
    take = Take(path, Mode.EXTEND)
    take.run_sync(fetch_user(676), simulated.answer)
    with pytest.raises(SessionError, match=r"not asked for .*: waiting\(seconds=1.0\), waiting\(seconds=2.0\); it is"):
        take.run_sync(waiting(9.0), simulated.answer)
    take.close(failed=True)
    assert load(path).programs[-1] == "waiting(seconds=2.0)"


def test_extend_refuses_to_go_on_where_something_was_under_way(path: Path) -> None:
    simulated = kick()
    take_with(path, Mode.RECORD, waiting(1.0), on=simulated)
    text = path.read_text("utf-8").replace('"open":[]', '"open":["a bot"]')
    path.write_text(text, "utf-8")
    take = Take(path, Mode.EXTEND)
    take.run_sync(waiting(1.0), simulated.answer)
    with pytest.raises(SessionError, match="a bot had not ended when it was closed"):
        take.run_sync(waiting(9.0), simulated.answer)


def holding(kind: TokenKind) -> Program[Secret]:
    """A token that its caller keeps."""
    app = yield from LoadApp()
    token = yield from token_for(app.slot(kind))
    assert token.access_token is not None
    return token.access_token


def test_what_a_replay_made_up_is_not_sent_into_the_world(path: Path) -> None:
    simulated = kick()
    take_with(path, Mode.RECORD, holding(TokenKind.APP), on=simulated)
    before = path.read_bytes()
    requests: list[Request] = []

    def answer(effect: Any) -> object:
        requests.extend([effect.request] if isinstance(effect, Send) else [])
        return simulated.answer(effect)

    def swallowing(token: Secret) -> Program[str]:
        try:
            yield from asking("/whatever", bearer=token)
        except SessionError:
            return "went on"
        return "was answered"

    for program in (lambda held: asking("/x", bearer=held), swallowing):
        take = Take(path, Mode.EXTEND)
        held = take.run_sync(holding(TokenKind.APP), answer)
        assert held.reveal().startswith("fake-at-1")
        with pytest.raises(SessionError, match=r"made up for «at:1» \(access token\).*bind=\{'at:1': \.\.\.\}"):
            take.run_sync(program(held), answer)
        assert requests == []
        with pytest.raises(SessionError, match="made up for «at:1»"):
            take.close()
        assert path.read_bytes() == before
        assert names(path) == ["a.kcs.jsonl", "a.kcs.jsonl.rejected"]


def test_what_is_bound_to_an_alias_goes_on_live_under_the_same_alias(path: Path) -> None:
    simulated = kick()
    (held,) = take_with(path, Mode.RECORD, holding(TokenKind.APP), on=simulated)
    take = Take(path, Mode.EXTEND, bind={"at:1": held})
    again = take.run_sync(holding(TokenKind.APP), simulated.answer)
    assert again == held
    answered = take.run_sync(asking("/public/v1/users", bearer=again), simulated.answer)
    take.close()
    whole = load(path)
    assert aliases(whole, "at") == {"at:1"}
    assert held.reveal() not in path.read_text("utf-8")
    player = Player(whole)
    made_up = player.run_sync(holding(TokenKind.APP))
    assert player.run_sync(asking("/public/v1/users", bearer=made_up)) == answered
    player.finish()
    with pytest.raises(ConfigError, match="the same text for two aliases"):
        Take(path, Mode.EXTEND, bind={"at:1": "one and the same", "cs:1": "one and the same"})


def test_another_app_goes_on_with_a_secret_of_its_own(path: Path) -> None:
    take_with(path, Mode.RECORD, fetch_user(676))
    simulated = kick()
    simulated.app = type(simulated.app)("another-app", Secret("another-secret-1"), simulated.app.api_url)
    take = Take(path, Mode.EXTEND)
    take.run_sync(fetch_user(676), simulated.answer)
    loading: Callable[[], Program[Any]] = lambda: (yield from LoadApp())  # noqa: E731
    assert take.run_sync(loading(), simulated.answer, label="loading").client_id == "another-app"
    take.close()
    whole = load(path)
    assert whole.header.app is not None
    assert whole.header.app.client_secret == "«cs:1»"
    assert aliases(whole, "cs") == {"cs:1", "cs:2"}
    player = Player(whole)
    player.run_sync(fetch_user(676))
    assert player.run_sync(loading(), label="loading").client_id == "another-app"
    player.finish()


async def test_extend_goes_live_once_also_if_several_ask_for_it_at_once(anyio_backend: str, path: Path) -> None:
    simulated = kick()
    take_with(path, Mode.RECORD, fetch_user(676), on=simulated)
    take = Take(path, Mode.EXTEND)
    await take.run(fetch_user(676), simulated)
    async with anyio.create_task_group() as tasks:
        for label in ("one", "two", "three"):
            tasks.start_soon(lambda label=label: take.run(fetch_user(676), simulated, label=label))
    take.close()
    assert sorted(load(path).programs[1:]) == ["one", "three", "two"]
    player = Player(load(path))
    player.run_sync(fetch_user(676))
    player.run_all({label: fetch_user(676) for label in ("one", "two", "three")})
    player.finish()


async def test_what_is_replayed_ends_before_what_is_live_begins(anyio_backend: str, path: Path) -> None:
    simulated = kick()
    told = take_with(path, Mode.RECORD, fetch_user(676), on=simulated)
    take, again, begins = Take(path, Mode.EXTEND), list[Any](), anyio.Event()

    async def one() -> None:
        begins.set()
        again.append(await take.run(fetch_user(676), simulated))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await begins.wait()
        await take.run(waiting(1.0), simulated)
    assert again == told
    take.close()
    assert [line.p for line in load(path).lines][-2:] == ["fetch_user(user_id=676)", "waiting(seconds=1.0)"]


def test_how_programs_ended_is_kept_when_a_session_goes_on(path: Path) -> None:
    simulated = kick()
    for ids in ([999], [999, 998]):
        take = Take(path, Mode.EXTEND)
        for user_id in ids:
            with pytest.raises(NotFound):
                take.run_sync(fetch_user(user_id), simulated.answer)
        take.close()
    footer = load(path).footer
    assert footer is not None
    assert footer.ended == {"fetch_user(user_id=999)": "NotFound", "fetch_user(user_id=998)": "NotFound"}


def test_a_part_of_a_session_that_goes_on_is_a_session_if_the_process_dies(path: Path) -> None:
    simulated = kick()
    take_with(path, Mode.RECORD, fetch_user(676), on=simulated)
    take = Take(path, Mode.EXTEND)
    take.run_sync(fetch_user(676), simulated.answer)
    take.run_sync(waiting(2.0), simulated.answer)
    part = load(path.with_name("a.kcs.jsonl.part"), partial=True)
    assert part.programs == ("fetch_user(user_id=676)", "waiting(seconds=2.0)")
    take.discard()


# Verify and off


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the comparison of sessions will tell."""
    told: list[str] = []
    monkeypatch.setattr(modes, "shape_changes", lambda recorded, now: tuple(told))
    return told


def test_verify_asks_the_world_and_leaves_the_file_alone(path: Path, changes: list[str]) -> None:
    with pytest.raises(SessionError, match="is not there"):
        Take(path, Mode.VERIFY)
    simulated = kick()
    take_with(path, Mode.RECORD, fetch_user(676), on=simulated)
    before = path.read_bytes()
    assert len(take_with(path, Mode.VERIFY, fetch_user(676), fetch_user(123), on=simulated)) == 2
    changes += [f"change {number}" for number in range(7)]
    take = Take(path, Mode.VERIFY)
    take.run_sync(fetch_user(676), simulated.answer)
    with pytest.raises(
        AnswersChanged, match=r"change 4; and 2 more; the file is as it was.*KICK_RECORD=rerecord"
    ) as caught:
        take.close()
    assert caught.value.changes == tuple(changes)
    take = Take(path, Mode.VERIFY)
    take.run_sync(fetch_user(676), simulated.answer)
    assert take.close(failed=True) == "", "what went wrong says more"
    assert path.read_bytes() == before
    assert names(path) == ["a.kcs.jsonl"]


def test_off_is_live_and_leaves_nothing(path: Path) -> None:
    take = Take(path, Mode.OFF)
    take.run_sync(fetch_user(676), kick().answer)
    assert take.lines()[-1].k == "send"
    assert list(take.history()) == ["fetch_user(user_id=676)"]
    assert take.history(1)["fetch_user(user_id=676)"][0].endswith("send GET /public/v1/users?id=676 answered")
    take.close()
    assert names(path) == []


# From the client


class Closing(Exception):
    """What a block ends with."""


def client_of(simulated: Simulated, **options: Any) -> KickClient:
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(simulated.sandbox)))
    return KickClient("sandbox-app", "sandbox-secret", http=http, store=MemoryStore(), **options)


async def test_a_client_records_and_replays_as_the_environment_says(
    anyio_backend: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    simulated = kick()
    with pytest.raises(SessionError, match="is not there"):
        client_of(simulated).with_session(path)
    monkeypatch.setenv("KICK_RECORD", "record")
    async with client_of(simulated).with_session(path) as client:
        user = await client.fetch_user(676)
        assert client.session is not None
    monkeypatch.delenv("KICK_RECORD")
    async with KickClient("ID", "SECRET").with_session(path) as client:
        assert await client.fetch_user(676) == user
        client.set_user_token("whatever", save=True)
        assert client.user_token is None, "what the session knows of"
        with pytest.raises(ConfigError, match="has a session already"):
            client.with_session(path)
    assert names(path) == ["a.kcs.jsonl"], "and no file of tokens"
    with pytest.raises(ReplayDivergence):
        async with KickClient("ID", "SECRET").with_session(path):
            pass


async def test_a_block_of_a_client_that_fails_keeps_the_old_file(anyio_backend: str, path: Path) -> None:
    take_with(path, Mode.RECORD, waiting(1.0))
    before = path.read_bytes()
    with pytest.raises(NotFound) as caught:
        async with client_of(kick()).with_session(path, "rerecord") as client:
            await client.fetch_user(999_999)
    assert caught.value.__notes__ == [f"what was recorded is in {path}.rejected, and {path} is as it was"]
    assert path.read_bytes() == before
    with pytest.raises(Closing):
        async with client_of(kick()).with_session(path):
            raise Closing
    async with client_of(kick()).with_session(path, Mode.RERECORD) as client:
        await client.fetch_user(676)
    assert names(path) == ["a.kcs.jsonl"]
    assert load(path).programs == ("fetch_user(user_id=676)",)


async def test_a_client_goes_on_live_for_another_account_too(anyio_backend: str, path: Path) -> None:
    simulated = kick()
    async with client_of(simulated).with_session(path, Mode.EXTEND) as client:
        user = await client.fetch_user(676)
    async with client_of(simulated).with_session(path, Mode.EXTEND) as client:
        assert await client.fetch_user(676) == user
        assert await client.as_user("alice").fetch_user(676) == user
    assert load(path).programs == ("fetch_user(user_id=676)", "fetch_user(user_id=676) as alice")
    async with KickClient("ID", "SECRET").with_session(path) as client:
        assert await client.fetch_user(676) == user
        assert await client.as_user("alice").fetch_user(676) == user


async def test_a_client_with_mode_off_has_no_session(anyio_backend: str, path: Path) -> None:
    async with client_of(kick()).with_session(path, "off") as client:
        assert (await client.fetch_user(676)).user_id == 676
        assert client.session is None
    assert names(path) == []


async def test_a_take_that_was_begun_elsewhere_is_ended_there(anyio_backend: str, path: Path) -> None:
    simulated = kick()
    take = Take(path, Mode.RECORD, closes_with_client=False)
    async with client_of(simulated).with_session(take) as client:
        await client.fetch_user(676)
    assert not path.exists()
    async with client_of(simulated).with_session(take) as client:
        await client.fetch_user(123)
    take.close()
    assert load(path).programs == ("fetch_user(user_id=676)", "fetch_user(user_id=123)")
