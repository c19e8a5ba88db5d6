"""What is written, when it is written, and what is not."""

import json
import os
import string
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from recorded import ISSUER, SCOPES, Wavering, a_day, appending, asking, kick, recorded, waiting

from interpreters.driver import run_sync
from interpreters.sandbox import Simulated
from interpreters.sessions import Player, Recording, load, read
from interpreters.sessions.aliases import suspicious
from kickcore.api.chat import send_chat_message
from kickcore.api.users import fetch_user
from kickcore.effects import Entropy, Leaf, LoadApp, Now, Program, Send
from kickcore.errors import ConfigError, KickWarning, LeakSuspected, NotFound, SessionError
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.login import authenticate, logout
from kickcore.oauth.tokens import App
from kickcore.secret import Secret


def lines_of(recording: Recording) -> list[dict[str, Any]]:
    return [json.loads(row) for row in recording.text().splitlines()]


def test_a_line_tells_who_asked_what_and_what_came_of_it() -> None:
    simulated, recording = kick(), Recording(seed="s")
    recording.run_sync(fetch_user(676), simulated.answer)
    recording.run_sync(fetch_user(123), simulated.answer)
    _, *lines, end = lines_of(recording)
    assert lines[-1] == {
        "p": "fetch_user(user_id=123)",
        "i": 1,
        "k": "send",
        "q": {
            "method": "GET",
            "url": f"{ISSUER}/public/v1/users",
            "query": [["id", "123"]],
            "bearer": "«at:1»",
            "group": "GET /public/v1/users",
        },
        "r": lines[-1]["r"],
        "t": 0,
        "d": 0,
    }
    assert lines[-1]["r"]["json"]["data"][0]["user_id"] == 123
    assert end == {"end": 1, "lines": 10, "open": [], "ended": {}, "leaks": 0}


def test_what_cannot_be_undone_is_written_down_before_it_is_done(tmp_path: Path) -> None:
    simulated, path = kick(), tmp_path / "a.jsonl"
    asked: list[str] = []

    def answer(effect: Leaf) -> object:
        if isinstance(effect, Send):
            asked.append((tmp_path / "a.jsonl.part").read_text("utf-8").splitlines()[-1])
        return simulated.answer(effect)

    with Recording(path) as recording:
        recording.run_sync(fetch_user(676), answer)
        assert not path.exists()
    token, users = map(json.loads, asked)
    assert (token["ask"], token["k"], token["q"]["url"]) == (1, "send", f"{ISSUER}/oauth/token")
    assert "ask" not in users
    assert [child.name for child in tmp_path.iterdir()] == ["a.jsonl"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_a_process_leaves_that_dies_is_a_session_in_part(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    code = f"""
import os
from interpreters.sandbox import Simulated
from interpreters.sessions import Recording
from kickcore.api.users import fetch_user
from kickcore.effects import Send
kick, recording = Simulated(), Recording({str(path)!r})
def answer(effect):
    if isinstance(effect, Send) and "/oauth/" in effect.request.url and sent:
        os._exit(9)
    sent.extend([1] if isinstance(effect, Send) else [])
    return kick.answer(effect)
sent = []
recording.run_sync(fetch_user(676), answer)
kick.sandbox.expire_access_tokens()
recording.run_sync(fetch_user(123), answer)
"""
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 9
    part = load(f"{path}.part", partial=True)
    assert part.programs == ("fetch_user(user_id=676)", "fetch_user(user_id=123)")
    assert [line.k for line in part.lost] == ["send"]
    with pytest.raises(SessionError, match="has no end"):
        _ = load(f"{path}.part")


def test_a_failure_is_recorded_with_what_may_have_been_sent() -> None:
    silent = Unreachable("the connection broke", Sent.MAYBE)
    simulated = kick()
    simulated.sandbox.before = lambda request: silent if request.url.endswith("/users") else None
    recording = Recording()
    with pytest.raises(Exception, match="Kick may have acted on it"):
        recording.run_sync(fetch_user(676), simulated.answer)
    sends = [line["r"] for line in lines_of(recording) if line.get("k") == "send" and "r" in line]
    assert sends[1:] == [{"reason": "the connection broke", "sent": "maybe"}] * 3
    assert lines_of(recording)[-1]["ended"] == {"fetch_user(user_id=676)": "NetworkError"}


def test_an_exception_of_the_interpreter_is_recorded_and_raised() -> None:
    def answer(effect: Leaf) -> object:
        if isinstance(effect, Now):
            return 0.0
        raise OSError("the disk is gone")

    recording = Recording()
    with pytest.raises(OSError, match="the disk is gone"):
        recording.run_sync(waiting(5.0), answer)
    assert lines_of(recording)[1]["x"] == {"type": "OSError", "text": "the disk is gone"}


def test_nothing_is_recorded_of_the_clock_and_of_chance_but_time_and_a_seed() -> None:
    def drawing() -> Program[tuple[bytes, bytes, float]]:
        first = yield from Entropy(8, "backoff")
        secret = yield from Entropy(32, "state")
        return first, secret, (yield from Now())

    simulated, recording = kick(), Recording(seed="abc")
    value = recording.run_sync(drawing(), simulated.answer)
    again = Player(recording.close()).run_sync(drawing())
    assert again[0] == value[0]
    assert again[1] != value[1]
    assert len(recording.session.lines) == 0


def test_the_seed_is_by_chance_and_so_is_the_state_of_a_login() -> None:
    assert Recording().seed != Recording().seed


class TestSecrets:
    """Every secret of a whole day with logins and refreshes, in every form: none is in the file."""

    def test_no_token_of_the_server_is_in_the_file(self) -> None:
        simulated, recording = kick(), Recording()
        for program in (*a_day(), logout()):
            recording.run_sync(program, simulated.answer)
        recording.close()
        text, world = recording.text().decode(), simulated.sandbox.world
        secrets = {*world.access, *world.refresh, *world.codes, "sandbox-secret", "streamer-123@example.com"}
        assert len(secrets) > 3
        assert not [secret for secret in secrets if secret in text]
        assert not [row for row in text.splitlines() for _ in suspicious(json.loads(row))]

    def test_a_token_that_is_echoed_in_free_text_is_hidden_there_too(self) -> None:
        simulated = kick()

        def echo(request: Request) -> Response | None:
            if request.bearer is None:
                return None
            return Response(400, (), f'{{"message":"bad token {request.bearer.reveal()}, sorry"}}'.encode())

        simulated.sandbox.before = echo
        recording = Recording()
        with pytest.raises(Exception, match="bad token"):
            recording.run_sync(fetch_user(676), simulated.answer)
        assert lines_of(recording)[-2]["r"]["json"] == {"message": "bad token «at:1», sorry"}

    def test_the_stream_key_and_its_address_are_hidden(self) -> None:
        body = b'{"data":[{"broadcaster_user_id":1,"slug":"a","stream":{"key":"sk_eu-2_Ab3","url":"rtmps://fa"}}]}'
        simulated = kick()
        simulated.sandbox.before = lambda request: Response(200, (), body) if "/channels" in request.url else None
        recording = Recording()
        recording.run_sync(asking("/public/v1/channels"), simulated.answer)
        assert lines_of(recording)[-2]["r"]["json"]["data"][0]["stream"] == {"key": "«key:1»", "url": "«url:1»"}

    @pytest.mark.parametrize(
        "body",
        [
            b'{"access_token":"Zk3qT7w9xVbR2mN8","refresh_to',
            b'{"access_token" : "Zk3qT7w9xVbR2mN8"} trailing',
            b"access_token=Zk3qT7w9xVbR2mN8&scope=",
            b'\xff{"refresh_token":"Zk3qT7w9xVbR2mN8"}',
            '{"refresh_token":"Zk3qT7w9xVbR2mN8"}'.encode("utf-16-le"),
            '{"refresh_token":"Zk3qT7w9xVbR2mN8"}'.encode("utf-32-be"),
            b'{"a":{"session_secret":"Zk3qT7w9xVbR2mN8"}}',
            b'{"stream_key":"Zk3qT7w9xVbR2mN8"}',
            b'{"\\u0061ccess_token":"Zk3qT7w9xVbR2mN8"}',
        ],
    )
    def test_a_token_in_an_answer_that_is_cut_or_odd_is_found(self, body: bytes) -> None:
        simulated, recording = kick(), Recording()
        simulated.sandbox.before = lambda request: Response(200, (), body)
        recording.run_sync(asking("/x", method="POST"), simulated.answer)
        recording.close()
        assert "Zk3qT7w9xVbR2mN8" not in recording.text().decode().replace("\\u0000", "")
        assert Player(recording.session).run_sync(asking("/x", method="POST")) != Response(200, (), body)

    def test_a_secret_that_is_known_too_late_is_taken_out_of_earlier_lines(self) -> None:
        simulated, recording = kick(), Recording()
        simulated.sandbox.before = lambda request: Response(200, (), '{"note":"Zk3q-T7w9-xVbR «2»"}'.encode())
        recording.run_sync(asking("/one"), simulated.answer)
        recording.run_sync(asking("/two", bearer=Secret("Zk3q-T7w9-xVbR")), simulated.answer)
        assert lines_of(recording)[1]["r"]["json"] == {"note": "«at:1» ««2»"}
        assert Player(recording.close()).run_sync(asking("/one")).body.endswith('«2»"}'.encode())  # type: ignore[union-attr]

    def test_a_secret_that_nobody_can_know_of_ends_the_recording(self, tmp_path: Path) -> None:
        unknown = "Zk3qT7w9xVbR2mN8pL4sD6fG1hJ5kQ0y"

        def run(**options: Any) -> Recording:
            simulated, recording = kick(), Recording(tmp_path / "a.jsonl", **options)
            simulated.sandbox.before = lambda request: Response(200, (), f'{{"data":{{"x":"{unknown}"}}}}'.encode())
            recording.run_sync(asking("/one"), simulated.answer)
            return recording

        with pytest.raises(LeakSuspected, match="line 2 /r/json/data/x") as caught:
            run().close()
        assert unknown not in str(caught.value)
        assert caught.value.pointers == ("line 2 /r/json/data/x",)
        assert not list(tmp_path.iterdir())
        assert run(allow=["x"]).close().is_whole
        assert run(allow=["/r/json/data/x"]).close().is_whole
        told = run(secret_texts=[Secret(unknown)])
        assert told.close().is_whole
        assert unknown not in told.text().decode()

    @given(st.data())
    def test_renaming_all_secrets_leaves_the_file_as_it_is(self, data: st.DataObject) -> None:
        letters = st.text(string.ascii_letters + string.digits, min_size=30, max_size=30).filter(
            lambda text: any(letter.isdigit() for letter in text)
        )
        texts = []
        for _ in range(2):
            simulated = kick()
            simulated.app = App("sandbox-app", Secret(data.draw(letters)), ISSUER, ISSUER)
            access = data.draw(letters)
            assume(access != simulated.app.client_secret.reveal())
            body = json.dumps({"access_token": access, "expires_in": 3600}).encode()
            simulated.sandbox.before = lambda request, body=body, access=access: Response(
                200,
                (),
                body if "/oauth/" in request.url else f'{{"data":[{{"user_id":1,"name":"{access}"}}]}}'.encode(),
            )
            recording = Recording(seed="s")
            recording.run_sync(fetch_user(1), simulated.answer)
            texts.append(recording.text())
        assert texts[0] == texts[1]


async def test_programs_at_once_are_recorded_in_the_order_of_their_answers(anyio_backend: str) -> None:
    simulated, recording = kick(), Recording()
    wavering = Wavering(simulated, 5)

    async def one(label: str) -> None:
        await recording.run(appending(label, 2), wavering, label=label)

    async with anyio.create_task_group() as tasks:
        for label in ("a", "b", "c"):
            tasks.start_soon(one, label)
    session = recording.close()
    assert len(session.lines) == 12
    assert [line.t for line in session.lines] == sorted(line.t for line in session.lines)
    assert [line.i for line in session.lines if line.p == "b"] == [0, 1, 2, 3]


async def test_a_cancelled_program_has_a_line_where_it_was_cancelled(anyio_backend: str) -> None:
    simulated, recording = kick(), Recording()

    class Stuck(Wavering):
        async def __call__(self, effect: Leaf, /) -> object:
            if isinstance(effect, Send):
                scope.cancel()
                await anyio.sleep_forever()
            return simulated.answer(effect)

    with anyio.CancelScope() as scope:
        await recording.run(asking("/x"), Stuck(simulated, 0))
    assert scope.cancelled_caught
    (line,) = recording.close().lines
    assert (line.cancel, line.i, line.p) == (1, 0, "asking(path='/x', method='GET')")


async def test_equal_programs_at_once_are_told_of(anyio_backend: str) -> None:
    recording, wavering = Recording(), Wavering(kick(), 0)

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(recording.run, fetch_user(676), wavering)

    with pytest.warns(KickWarning, match=r"two programs named fetch_user\(user_id=676\) run at once.*pass label="):
        await both()
    assert sorted(recording.close().programs) == ["fetch_user(user_id=676)", "fetch_user(user_id=676)#2"]


def test_equal_programs_one_after_the_other_are_numbered() -> None:
    session = recorded(fetch_user(676), fetch_user(676), fetch_user(123))
    assert session.programs == ("fetch_user(user_id=676)", "fetch_user(user_id=676)#2", "fetch_user(user_id=123)")


def test_a_long_name_is_cut_and_still_tells_programs_apart() -> None:
    session = recorded(
        authenticate(SCOPES),
        *(send_chat_message("x" * 400 + end, broadcaster_user_id=676) for end in "ab"),
    )
    first, second = session.programs[1:]
    assert first != second
    assert max(map(len, session.programs)) <= 120


def test_of_another_account_it_is_told(tmp_path: Path) -> None:
    simulated = Simulated(app=App("sandbox-app", Secret("sandbox-secret"), ISSUER, ISSUER, account="alice"))
    recording = Recording()
    recording.run_sync(fetch_user(676), simulated.answer, account="alice")
    session = recording.close()
    assert session.programs == ("fetch_user(user_id=676) as alice",)
    assert session.lines[0].a == "alice"
    assert Player(session).run_sync(fetch_user(676), account="alice").user_id == 676


def test_another_app_in_the_middle_has_a_line() -> None:
    def asking_for_the_app() -> Program[str]:
        return (yield from LoadApp()).client_id

    simulated, recording = kick(), Recording()
    recording.run_sync(asking_for_the_app(), simulated.answer)
    simulated.app = App("other-app", Secret("other-secret-9"), ISSUER, ISSUER)
    assert recording.run_sync(asking_for_the_app(), simulated.answer) == "other-app"
    player = Player(recording.close())
    assert [player.run_sync(asking_for_the_app()) for _ in range(2)] == ["sandbox-app", "other-app"]
    assert "other-secret-9" not in recording.text().decode()


def test_a_recording_that_is_closed_takes_nothing_more() -> None:
    recording = Recording()
    recording.close()
    assert recording.close() is recording.session
    with pytest.raises(ConfigError, match="was closed"):
        recording.run_sync(fetch_user(1), kick().answer)


def test_a_folder_that_is_not_there_is_made_and_one_that_cannot_be_is_told(tmp_path: Path) -> None:
    with Recording(tmp_path / "deep" / "er" / "a.jsonl"):
        pass
    assert load(tmp_path / "deep" / "er" / "a.jsonl").lines == ()
    (tmp_path / "file").write_text("x")
    with pytest.raises(SessionError, match="cannot be recorded"):
        Recording(tmp_path / "file" / "a.jsonl")


def test_a_recording_changes_nothing_of_what_happens() -> None:
    plain, watched, recording = kick(), kick(), Recording()
    for one, other in zip(a_day(), a_day(), strict=True):
        assert recording.run_sync(one, watched.answer) == run_sync(other, plain.answer)
    assert [(entry.method, entry.path, entry.status) for entry in watched.sandbox.log] == [
        (entry.method, entry.path, entry.status) for entry in plain.sandbox.log
    ]


def test_what_fails_in_the_program_is_raised_and_named_at_the_end() -> None:
    recording = Recording()
    with pytest.raises(NotFound):
        recording.run_sync(fetch_user(404_404), kick().answer)
    recording.close()
    assert read(recording.text()).footer.ended == {"fetch_user(user_id=404404)": "NotFound"}  # type: ignore[union-attr]
