"""Webhooks from the command line, over the loopback interface."""

import io
import json
import os
import re
import socket
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from interpreters.sandbox import Delivery as SandboxDelivery
from interpreters.sandbox import SigningKey, serve_app
from interpreters.sandbox.asgi import ASGIReceive, ASGIScope, ASGISend
from interpreters.sandbox.delivering import call
from interpreters.sandbox.signing import signed
from kickcore.cli import event, main
from kickcore.cli.grading import _checks
from kickcore.cli.listening import Listener
from kickcore.cli.triggering import SUBSCRIPTION, TYPES, body_of, chat_body, outgoing_of
from kickcore.errors import ConfigError
from kickcore.webhooks import (
    EVENTS,
    LARGEST_BODY,
    ChatMessage,
    Delivery,
    DropsClaim,
    KicksGifted,
    LivestreamStatusUpdated,
    ModerationBanned,
    RedemptionUpdated,
    Rejected,
    SubscriptionGifts,
    SubscriptionRenewal,
    Unknown,
    parse,
    public_key,
    verify,
)

KEY = SigningKey.made()
NOW = 1_790_000_000.0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / event.KEY_FILE).write_bytes(KEY.to_pem())
    return tmp_path


class Receiver:
    """Verifies what comes, keeps it, and answers as its table says."""

    def __init__(self, answer: Callable[[Delivery | Rejected], int]) -> None:
        self.answer = answer
        self.came: list[Delivery | Rejected] = []

    async def __call__(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        outcome = verify(scope["headers"], body, time.time(), [KEY.public_key])
        self.came.append(outcome)
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": self.answer(outcome), "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def good(outcome: Delivery | Rejected) -> int:
    return 401 if isinstance(outcome, Rejected) else 200


@contextmanager
def receiving(answer: Callable[[Delivery | Rejected], int] = good) -> Iterator[tuple[str, list[Any]]]:
    """A receiver in a thread of its own, since commands bring their own event loop; its address, and what came."""
    told: Future[str] = Future()
    done = threading.Event()
    receiver = Receiver(answer)

    async def serving() -> None:
        async with serve_app(receiver) as origin:
            told.set_result(f"{origin}/webhooks")
            await anyio.to_thread.run_sync(done.wait)

    thread = threading.Thread(target=anyio.run, args=(serving,))
    thread.start()
    try:
        yield told.result(timeout=10), receiver.came
    finally:
        done.set()
        thread.join(timeout=10)
        assert not thread.is_alive()


# Triggering


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_is_sent_as_kick_would_and_again_with_the_same_id(
    backend: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    with receiving() as (url, came):
        on = ("--backend", backend, "--to", url)
        assert main(["event", "trigger", "chat.message.sent", *on, "--content", "Hi [emote:1:A]", "--user", "99"]) == 0
        told = capsys.readouterr().out
        sent = came[0]
        assert f"chat.message.sent {sent.message_id}: 200 in " in told
        assert main(["event", "retrigger", sent.message_id, *on]) == 0
        kept = folder / event.KEPT_FILE
        kept.write_text(re.sub(r'"at":\d+', f'"at":{int(sent.timestamp) - 100}', kept.read_text("utf-8")))
        assert main(["event", "retrigger", "last", *on, "--same-time"]) == 0
    assert {each.message_id for each in came} == {sent.message_id}
    assert {each.body for each in came} == {sent.body}
    assert (came[2].timestamp, sent.subscription_id) == (sent.timestamp - 100, SUBSCRIPTION)
    assert came[1].timestamp >= sent.timestamp
    assert isinstance(sent.event, ChatMessage)
    assert (sent.event.content, sent.event.sender.user_id) == ("Hi [emote:1:A]", 99)
    assert len((folder / event.KEPT_FILE).read_text("utf-8").splitlines()) == 1


@pytest.mark.parametrize("name", TYPES)
def test_every_event_is_taken_for_what_it_is(name: str) -> None:
    body = body_of(name, {}, NOW)
    told = parse(name, "1", body)
    assert isinstance(told, EVENTS.get(name, Unknown))  # pyright: ignore[reportArgumentType]


def test_the_events_are_all_that_there_are() -> None:
    assert set(TYPES) == {*EVENTS, "drops.claim"}


def test_the_claim_of_a_drop_is_sent_with_headers_of_its_own() -> None:
    with receiving() as (url, came):
        assert main(["event", "trigger", "drops.claim", "--to", url, "--user", "7"]) == 0
    assert isinstance(came[0].event, DropsClaim)
    assert came[0].event.user_id == 7
    assert (came[0].type, came[0].subscription_id) == ("", "")


@pytest.mark.parametrize(
    ("name", "chosen", "kind", "has"),
    [
        ("chat.message.sent", {"broadcaster": 5}, ChatMessage, lambda told: told.broadcaster.username == "user_5"),
        ("channel.subscription.renewal", {"months": 7}, SubscriptionRenewal, lambda told: told.duration == 7),
        ("channel.subscription.gifts", {"count": 30}, SubscriptionGifts, lambda told: len(told.giftees) == 30),
        ("channel.subscription.gifts", {"anonymous": True}, SubscriptionGifts, lambda told: not told.gifter.user_id),
        (
            "channel.reward.redemption.updated",
            {"status": "rejected", "title": "Dance", "content": "now"},
            RedemptionUpdated,
            lambda told: (told.status, told.reward.title, told.user_input) == ("rejected", "Dance", "now"),
        ),
        ("livestream.status.updated", {"title": "T"}, LivestreamStatusUpdated, lambda told: told.is_live),
        ("livestream.status.updated", {"offline": True}, LivestreamStatusUpdated, lambda told: told.ended_at),
        ("moderation.banned", {}, ModerationBanned, lambda told: told.metadata.expires_at is None),
        (
            "moderation.banned",
            {"minutes": 5, "reason": "why"},
            ModerationBanned,
            lambda told: (told.metadata.expires_at.timestamp(), told.metadata.reason) == (NOW + 300, "why"),
        ),
        ("kicks.gifted", {"amount": 500, "content": "w"}, KicksGifted, lambda told: told.gift.name == "Rage Quit"),
    ],
)
def test_options_say_more(name: str, chosen: dict[str, Any], kind: type, has: Callable[[Any], bool]) -> None:
    told = parse(name, "1", body_of(name, chosen, NOW))
    assert isinstance(told, kind)
    assert has(told)


@pytest.mark.parametrize("name", TYPES)
def test_an_option_that_says_nothing_is_refused(name: str) -> None:
    for option in event.OPTIONS:
        if option not in TYPES[name].options:
            with pytest.raises(ConfigError, match=f"--{option} says nothing about"):
                body_of(name, {option: 1}, NOW)


def test_print_shows_what_would_be_sent_and_sends_nothing(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    told = ["event", "trigger", "channel.followed", "--print", "--message-id", "01KAAFHJ2PNXS48NG8XXPGWKD0"]
    assert main(told) == 0
    head, body = capsys.readouterr().out.split("\n\n")
    method, *lines = head.splitlines()
    assert method == "POST"
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["Kick-Event-Message-Id"] == "01KAAFHJ2PNXS48NG8XXPGWKD0"
    outcome = verify(headers, body.strip().encode(), time.time(), [KEY.public_key])
    assert isinstance(outcome, Delivery)
    assert not (folder / event.KEPT_FILE).exists()


def test_a_body_of_ones_own_from_a_file_and_from_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "body.json").write_bytes(b'{"any": "thing"}\r\n')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    with receiving() as (url, came):
        for name in ("body.json", "-"):
            assert main(["event", "trigger", "something.new", "--body", name, "--to", url]) == 0
        assert main(["event", "retrigger", "last", "--to", url]) == 0
    assert [each.body for each in came] == [b'{"any": "thing"}\r\n', b"\xff", b"\xff"]
    assert {each.type for each in came} == {"something.new"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["something.new"], "no event 'something.new'"),
        (["something.new", "--body", "missing.json"], "missing.json cannot be read"),
        (["something.new", "--body", "x", "--content", "x"], "--content says nothing"),
        (["channel.followed", "--content", "x"], "--content says nothing about channel.followed"),
        (["channel.followed", "--key", "missing.pem"], "there is no missing.pem"),
        (["channel.followed", "--key", "wrong.pem"], "wrong.pem: this is no RSA private key"),
        (["channel.followed", "--key", "."], "cannot be read"),
    ],
)
def test_what_cannot_be_sent_is_told(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "wrong.pem").write_text("nonsense")
    assert main(["event", "trigger", *options, "--to", "http://127.0.0.1:1/"]) == 1
    assert says in capsys.readouterr().err
    assert not (folder / event.KEPT_FILE).exists()


@pytest.mark.parametrize(
    "options",
    [
        ["trigger", "channel.followed"],
        ["trigger", "channel.followed", "--print", "--to", "http://127.0.0.1:1/"],
        ["trigger", "channel.followed", "--print", "--user", "0"],
        ["trigger", "channel.followed", "--print", "--user", "9" * 30],
        ["trigger", "channel.followed", "--print", "--user", "٣"],
        ["trigger", "channel.followed", "--print", "--message-id", "é"],
        ["trigger", "a b", "--print"],
        ["trigger", "moderation.banned", "--print", "--minutes", "10081"],
        ["retrigger", "--to", "http://127.0.0.1:1/"],
        ["verify"],
        [],
    ],
)
def test_a_wrong_call_gets_exit_code_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["event", *options])
    assert ended.value.code == 2
    assert "usage: kickcore event" in capsys.readouterr().err


def test_an_address_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["event", "trigger", "channel.followed", "--to", "127.0.0.1:8000"]) == 1
    assert "http://127.0.0.1:8000/webhooks" in capsys.readouterr().err


def test_a_receiver_that_refuses_gets_exit_code_1_and_a_hint(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "other.pem").write_bytes(SigningKey.made().to_pem())
    with receiving() as (url, came):
        assert main(["event", "trigger", "channel.followed", "--to", url, "--key", "other.pem"]) == 1
    told = capsys.readouterr()
    assert ": 401 in " in told.out
    assert "kickcore event key" in told.err
    assert isinstance(came[0], Rejected)


def test_where_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        assert main(["event", "trigger", "channel.followed", "--to", url]) == 1
        assert "no answer (" in capsys.readouterr().out
        assert main(["event", "verify", "--to", url]) == 1
        assert "no receiver to grade" in capsys.readouterr().err


# What was triggered


def test_what_was_never_triggered_is_not_triggered_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["event", "retrigger", "last", "--print"]) == 1
    assert "is not among the 0 that were triggered" in capsys.readouterr().err


def test_only_the_last_are_kept_and_damage_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(event, "KEPT", 2)
    kept = folder / "here" / event.KEPT_FILE
    at = ("--directory", "here")
    with receiving() as (url, _):
        for _ in range(3):
            main(["event", "trigger", "channel.followed", "--to", url, *at, "--key", event.KEY_FILE])
    lines = kept.read_bytes().splitlines()
    assert len(lines) == 2
    assert [path.name for path in kept.parent.iterdir()] == [event.KEPT_FILE]
    kept.write_bytes(lines[0] + b"\n" + lines[1][:-9] + b"\n\xff\n[]\n")
    capsys.readouterr()
    assert main(["event", "retrigger", "last", "--print", *at]) == 0
    assert json.loads(lines[0])["id"] in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_to_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").write_text("")
    assert main(["event", "key", "--directory", "file/below"]) == 1
    assert f"file/below/{event.KEY_FILE} cannot be read" in capsys.readouterr().err
    with receiving() as (url, came):
        (folder / event.KEPT_FILE).mkdir()
        assert main(["event", "trigger", "channel.followed", "--to", url]) == 1
    assert "move it away" in capsys.readouterr().err
    assert len(came) == 1


def test_a_disk_that_is_full_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with receiving() as (url, came):
        monkeypatch.setattr(Path, "replace", fail)
        assert main(["event", "trigger", "channel.followed", "--to", url]) == 1
    assert len(came) == 1
    assert "it was sent, and not written down" in capsys.readouterr().err
    (folder / event.KEY_FILE).unlink()
    monkeypatch.setattr(os, "open", fail)
    assert main(["event", "key"]) == 1
    assert "No space left on device); --directory names another place" in capsys.readouterr().err


# The key


def test_the_key_is_made_once_for_its_owner_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / event.KEY_FILE).unlink()
    assert main(["event", "key"]) == 0
    first = capsys.readouterr()
    assert main(["event", "key"]) == 0
    assert capsys.readouterr().out == first.out
    assert public_key(first.out).size == 256
    assert "never where real events are handled" in first.err
    assert "PRIVATE" not in first.out
    assert stat.S_IMODE((folder / event.KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [event.KEY_FILE]


def test_of_two_that_make_a_key_at_once_one_wins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / event.KEY_FILE
    path.unlink()
    link = os.link

    def late(*paths: Any) -> None:
        path.write_bytes(KEY.to_pem())
        link(*paths)

    monkeypatch.setattr(os, "link", late)
    assert main(["event", "key"]) == 0
    assert capsys.readouterr().out.strip() == KEY.public_pem
    assert [each.name for each in folder.iterdir()] == [event.KEY_FILE]


def test_a_file_system_without_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / event.KEY_FILE).unlink()

    def fail(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    assert main(["event", "key"]) == 0
    held = SigningKey.from_pem((folder / event.KEY_FILE).read_bytes())
    assert capsys.readouterr().out.strip() == held.public_pem


# Grading


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_good_receiver_passes(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    with receiving() as (url, came):
        assert main(["event", "verify", "--to", url, "--backend", backend]) == 0
    told = capsys.readouterr().out
    assert "FAIL" not in told
    assert "15 of 15 passed" in told
    assert [isinstance(each, Delivery) for each in came] == [True] * 7 + [False] * 7
    assert came[0].message_id == came[1].message_id


@pytest.mark.parametrize(
    ("answer", "fails"),
    [
        (lambda outcome: 200, ["another key", "changed body", "changed id", "no signature", "cut", "old", "ahead"]),
        (
            lambda outcome: 401,
            ["what is good", "again", "member", "event that is new", "version", "no JSON"],
        ),
        (
            lambda outcome: 500,
            [
                *["what is good", "again", "member", "event that is new", "version", "no JSON", "another one's name"],
                *["another key", "changed body", "changed id", "no signature", "cut", "old", "ahead"],
            ],
        ),
        (
            lambda outcome: 400 if isinstance(getattr(outcome, "event", None), Unknown) else good(outcome),
            ["event that is new", "version", "no JSON"],
        ),
        (
            lambda outcome: 200 if getattr(outcome, "refusal", None) == "stale_timestamp" else good(outcome),
            ["old", "ahead"],
        ),
    ],
    ids=["takes everything", "refuses everything", "is broken", "refuses what is new", "knows no time"],
)
def test_a_receiver_fails_for_what_it_does(
    answer: Callable[[Delivery | Rejected], int], fails: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving(answer) as (url, _):
        assert main(["event", "verify", "--to", url]) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert len(told) == len(fails)
    for line, words in zip(told, fails, strict=True):
        assert words in line


def test_one_that_takes_duplicates_badly(capsys: pytest.CaptureFixture[str]) -> None:
    seen: set[str] = set()

    def answer(outcome: Delivery | Rejected) -> int:
        if isinstance(outcome, Rejected):
            return 401
        again = outcome.message_id in seen
        seen.add(outcome.message_id)
        return 409 if again else 200

    with receiving(answer) as (url, _):
        assert main(["event", "verify", "--to", url]) == 1
    assert "FAIL  takes it again, with the same id          409" in capsys.readouterr().out


def test_one_that_is_slow(capsys: pytest.CaptureFixture[str]) -> None:
    with receiving() as (url, _):
        assert main(["event", "verify", "--to", url, "--within", "0"]) == 1
    (failed,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert "answers within 0 s" in failed


def test_a_receiver_that_does_not_take_the_key_gets_a_hint(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "other.pem").write_bytes(SigningKey.made().to_pem())
    with receiving() as (url, _):
        assert main(["event", "verify", "--to", url, "--key", "other.pem"]) == 1
    assert "kickcore event key" in capsys.readouterr().err


def test_what_is_to_be_refused_has_but_one_fault() -> None:
    refused = [check for check in _checks(KEY, NOW) if check.words.startswith("refuses")]
    reasons = [verify(check.delivery.headers, check.delivery.body, NOW, [KEY.public_key]) for check in refused]
    told = [outcome.refusal.value for outcome in reasons if isinstance(outcome, Rejected)]
    assert told == [
        "invalid_signature",
        "invalid_signature",
        "invalid_signature",
        "missing_header",
        "malformed_header",
        "stale_timestamp",
        "stale_timestamp",
    ]
    (cut,) = [check.delivery for check in refused if "cut" in check.words]
    headers = dict(cut.headers)
    joined = f"{headers['Kick-Event-Message-Id']}.{headers['Kick-Event-Message-Timestamp']}.".encode() + cut.body
    assert joined == cut.sent.message, "the octets that were signed"


# Listening


def listening(monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[threading.Thread, Future[int], str]:
    """`kickcore event listen` in a thread: what it gives, and its address."""
    opened: Future[str] = Future()
    ended: Future[int] = Future()

    def told(*args: Any) -> AbstractAsyncContextManager[str]:
        @asynccontextmanager
        async def opening() -> AsyncIterator[str]:
            async with serve_app(*args) as url:
                opened.set_result(url)
                yield url

        return opening()

    monkeypatch.setattr(event, "serve_app", told)
    thread = threading.Thread(target=lambda: ended.set_result(main(["event", "listen", "--port", "0", *options])))
    thread.start()
    return thread, ended, opened.result(timeout=10)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_comes_is_printed_and_what_is_refused_is_told(
    backend: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "other.pem").write_bytes(SigningKey.made().to_pem())
    thread, ended, url = listening(monkeypatch, "--count", "3", "--backend", backend)
    to = ("--to", f"{url}/any/path")
    assert main(["event", "trigger", "chat.message.sent", *to, "--content", "Hi\x1b[31m [emote:1:KEKW]"]) == 0
    assert main(["event", "retrigger", "last", *to]) == 0
    assert main(["event", "trigger", "channel.followed", *to, "--key", "other.pem"]) == 1
    assert main(["event", "trigger", "drops.claim", *to]) == 0
    assert ended.result(timeout=10) == 0
    thread.join()
    told = capsys.readouterr()
    lines = [line.split("  ") for line in told.out.splitlines() if line[2] == ":"]
    assert [line[1] for line in lines] == ["chat.message.sent", "chat.message.sent", "drops.claim"]
    assert lines[0][3] == "Streamer_456 in the chat of streamer_123: Hi [31m KEKW"
    assert lines[1][-1] == "(again)"
    assert lines[0][2] == lines[1][2] != lines[2][2]
    assert "refused: invalid_signature" in told.err
    assert f"Listening at {url}/ until Ctrl-C" in told.err


def test_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "public.pem").write_text(KEY.public_pem)
    thread, ended, url = listening(monkeypatch, "--count", "1", "--json", "--key", "public.pem")
    assert main(["event", "trigger", "channel.followed", "--to", url]) == 0
    assert ended.result(timeout=10) == 0
    thread.join()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    told = json.loads(line)
    assert (told["type"], told["duplicate"]) == ("channel.followed", False)
    assert told["body"]["follower"]["user_id"] == 456


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["event", "listen", "--port", str(taken.getsockname()[1])]) == 1
    assert "choose one: --port" in capsys.readouterr().err


def test_a_key_to_listen_with_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["event", "listen", "--key", "missing.pem"]) == 1
    assert "missing.pem cannot be read" in capsys.readouterr().err


def given(method: str = "POST", body: bytes = b"{}") -> SandboxDelivery:
    return SandboxDelivery((), body, outgoing_of("channel.followed", body, NOW), method)


async def test_what_a_listener_answers(capsys: pytest.CaptureFixture[str]) -> None:
    app = Listener([KEY.public_key], as_json=False, count=None)
    assert (await call(given("GET"), app)).status == 405
    assert (await call(given(), app)).status == 400
    assert (await call(given(body=b"x" * (LARGEST_BODY + 1)), app)).status == 413
    for check in _checks(KEY, time.time()):
        status = (await call(check.delivery, app)).status
        assert check.is_good(status), check.words
        assert (status == 401) is ("another key" in check.words or "changed" in check.words)
    assert "refused: too_large" in capsys.readouterr().err
    assert not app.done.is_set()


@pytest.mark.parametrize("name", TYPES)
async def test_every_event_is_told_in_a_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = Listener([KEY.public_key], as_json=False, count=1)
    now = time.time()
    delivery = signed(outgoing_of(name, body_of(name, {}, now), now), KEY)
    assert (await call(delivery, app)).status == 204
    line = capsys.readouterr().out
    assert f"  {name}  {delivery.message_id}  " in line
    assert "None" not in line
    assert "unknown" not in line
    assert "456" in line or "streamer_123" in line
    assert app.done.is_set()


def test_the_body_of_a_chat_message_holds_what_the_check_needs() -> None:
    assert chat_body("It is 12.30", NOW).count(b"12.30") == 1
