"""Cassettes of vcrpy as sessions, and what may not come of a cassette."""

import base64
import gzip
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from interpreters.sessions import Player, ReplayDivergence, Session, read, replayed
from interpreters.sessions.cassettes import LARGEST, from_vcr, role_of
from interpreters.sessions.lines import answered
from kickcore.effects import Now, Program, Send
from kickcore.errors import LeakSuspected, SessionError
from kickcore.http import Request, Response
from kickcore.secret import Secret

CASSETTES = Path(__file__).parents[2] / "sessions" / "vcrpy"
CLIENT_ID = "01JQ8ZK5M2TEST"


def session_of(name: str, **options: Any) -> Session:
    return read(from_vcr((CASSETTES / name).read_bytes(), **options))


def token(program_form: tuple[tuple[str, str | Secret], ...]) -> Program[dict[str, Any]]:
    """Ask for a token, as a bot of somebody's does."""
    answer = yield from Send(Request("POST", "https://id.kick.com/oauth/token", form=program_form))
    assert isinstance(answer, Response)
    return json.loads(answer.body)


def names_of_users(secret: Secret) -> Program[list[str]]:
    """A program of a user's that asks for what `app-token.yaml` holds."""
    app = (("grant_type", "client_credentials"), ("client_id", CLIENT_ID), ("client_secret", secret))
    granted = yield from token(app)
    query = (("id", "123"), ("id", "676"))
    bearer = Secret(granted["access_token"])
    answer = yield from Send(Request("GET", "https://api.kick.com/public/v1/users", query, bearer))
    assert isinstance(answer, Response)
    return [user["name"] for user in json.loads(answer.body)["data"]]


def hello(access: Secret, refresh: Secret) -> Program[tuple[str, float]]:
    """One that asks for what `chat-message.json` holds: a message, a refresh, and the message again."""
    body = b'{"broadcaster_user_id":676,"content":"Hello!","type":"user"}'
    chat = "https://api.kick.com/public/v1/chat"
    first = yield from Send(Request("POST", chat, bearer=access, body=body))
    assert isinstance(first, Response)
    assert first.status == 401
    form = (
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("client_id", CLIENT_ID),
        ("client_secret", Secret("my own")),
    )
    granted = yield from token(form)
    again = yield from Send(Request("POST", chat, bearer=Secret(granted["access_token"]), body=body))
    assert isinstance(again, Response)
    return json.loads(again.body)["data"]["message_id"], (yield from Now())


# Replaying


def test_a_program_of_yours_replays_over_a_cassette() -> None:
    player = Player(session_of("app-token.yaml"))
    assert player.run_sync(names_of_users(Secret("another secret than theirs")), label="imported") == [
        "streamer_123",
        "xQc",
    ]
    player.finish()


def test_json_base64_and_the_identity_of_tokens() -> None:
    player = Player(session_of("chat-message.json", label="bot/hello"))
    told = player.run_sync(hello(Secret("old access"), Secret("old refresh")), label="bot/hello")
    player.finish()
    assert told == ("5138d04d-68f8-4eca-aa65-93123f6f97fe", 1748942402.0)


def test_a_program_that_uses_the_old_token_again_is_told_so() -> None:
    def stubborn(access: Secret) -> Program[None]:
        body = b'{"broadcaster_user_id":676,"content":"Hello!","type":"user"}'
        chat = Request("POST", "https://api.kick.com/public/v1/chat", bearer=access, body=body)
        yield from Send(chat)
        form = (("grant_type", "refresh_token"), ("refresh_token", "r"), ("client_id", CLIENT_ID))
        yield from token((*form, ("client_secret", "s")))
        yield from Send(chat)

    with pytest.raises(ReplayDivergence) as caught:
        Player(session_of("chat-message.json")).run_sync(stubborn(Secret("old access")), label="imported")
    difference = caught.value.difference
    assert (difference.reason, difference.recorded, difference.used) == ("identity", "«at:2»", "«at:1»")


def test_octets_and_texts() -> None:
    image, none = session_of("avatar.yaml").lines
    answer, other = answered(image), answered(none)
    assert answer is not None
    assert answer.response().body.startswith(b"\x89PNG\r\n\x1a\n")
    assert answer.headers == (("content-type", "image/png"), ("etag", '"8f14e45f"'))
    assert other is not None
    assert (other.status, other.text) == (404, "not found")


def test_it_is_nobodys_own_program_and_begins_where_the_first_answer_was_made() -> None:
    session = session_of("app-token.yaml")
    assert session.programs == ("imported",)
    assert session.header.t0 == "2025-06-03T09:14:07.000000Z"
    assert [(line.t, line.d) for line in session.lines] == [(0, 0), (1_000_000, 1_000_000)]
    assert session.footer is not None
    with pytest.raises(SessionError, match="imported is none of kickcore's own programs"):
        replayed(session)


def test_the_same_cassette_gives_the_same_session() -> None:
    octets = (CASSETTES / "app-token.yaml").read_bytes()
    assert from_vcr(octets) == from_vcr(octets)
    as_json = json.dumps(yaml.safe_load(octets)).encode()
    assert from_vcr(as_json) == from_vcr(octets)


# Secrets


@pytest.mark.parametrize("path", sorted(CASSETTES.iterdir()), ids=lambda path: path.name)
def test_no_secret_of_a_cassette_is_in_the_session(path: Path) -> None:
    octets, session = path.read_bytes(), from_vcr(path.read_bytes())
    secrets = [
        b"f3b1c09d7ae84b52960c2d11e8a7f4650b9d3e7c",
        b"MJK2ZTRJN2UTNZU0NI0ZMMFHLWFJYTGTNTQ3ODY4MZC5MDGX",
        b"NDBHYZLMYWUTZTBIYS0ZOTC3LTK4MMYTOGE1ZDLJNWZLMJC2",
        b"ZTK1MZVKNGETMDLJOC0ZNTKXLTHKZMYTYTC0NJVHYZM5NZK2",
        b"OWE2MTQ0YJETYZQ3NY0ZZJE2LWJIYWITNTRJYJVHNJM4ZGU5",
        b"YZQ2NJAWNZKTMTMZMC0ZYTE2LWI5MZYTZDGZMTYXNMFMYZEW",
        b"pX0v8sQe1tYwLr5uHn3kJd7bGm2cZa9f",
        b"eyJhbGciOiJIUzI1NiJ9",
    ]
    there = [secret for secret in secrets if secret in octets]
    assert there
    assert not [secret for secret in secrets if secret in session or base64.b64encode(secret)[:20] in session]


def cassette(**members: Any) -> bytes:
    """A cassette with one interaction, as JSON."""
    request = {"method": "GET", "uri": "https://api.kick.com/x", "body": None, "headers": {}}
    response = {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": ""}}
    for name, value in members.items():
        part, _, member = name.partition("_")
        (request if part == "request" else response)[member] = value
    return json.dumps({"interactions": [{"request": request, "response": response}], "version": 1}).encode()


def only(octets: bytes) -> Any:
    (line,) = read(octets).lines
    return line


def test_what_headers_and_addresses_hold_is_hidden_where_it_is_echoed() -> None:
    credentials = base64.b64encode(b"bot:hunter2-hunter2-hunter2").decode()
    given = cassette(
        request_uri="https://me:pass-word-12@api.kick.com/x?token=abc123abc123abc123",
        request_headers={
            "Authorization": [f"Basic {credentials}"],
            "Cookie": "lang=en; kick_session=s3ss10n-s3ss10n-s3ss10n",
            "X-Api-Key": ["k3y-k3y-k3y-k3y"],
        },
        response_body="hunter2-hunter2-hunter2 s3ss10n-s3ss10n-s3ss10n k3y-k3y-k3y-k3y pass-word-12 abc123abc123abc123",
    )
    text = only(from_vcr(given)).answer.decode()
    assert text.count("«") == 5
    assert not [word for word in ("hunter2", "s3ss10n", "k3y", "pass-word", "abc123") if word in text]
    assert b"me:" not in from_vcr(given)
    assert b'"url":"https://api.kick.com/x"' in from_vcr(given)


def test_basic_credentials_that_cannot_be_read_are_hidden_as_they_are() -> None:
    given = cassette(
        request_headers={"Authorization": ["Basic ***12345-abcde***"]}, response_body="it was ***12345-abcde***"
    )
    assert only(from_vcr(given)).answer.decode() == '{"status":200,"text":"it was «sec:1»"}'


def test_the_secrets_of_a_login_are_secrets_and_a_code_elsewhere_is_none() -> None:
    form = {"request_method": "POST", "request_headers": {"Content-Type": ["application/x-www-form-urlencoded"]}}
    login = cassette(
        request_uri="https://id.kick.com/oauth/token",
        request_body="code=NWJ-code-NWJ-code&code_verifier=v3r-v3r-v3r-v3r&grant_type=authorization_code",
        **form,
    )
    assert b'["code","\xc2\xabcode:1\xc2\xbb"]' in from_vcr(login)
    assert b'["code_verifier","\xc2\xabver:1\xc2\xbb"],["grant_type","authorization_code"]' in from_vcr(login)
    coupon = cassette(request_uri="https://api.kick.com/x?code=SUMMER-2025-SALE&state=open")
    assert b'["code","SUMMER-2025-SALE"],["state","open"]' in from_vcr(coupon)


def test_what_looks_like_a_secret_is_told_unless_you_know_better() -> None:
    text = "Zk3qT7w9xVbR2mN8pL4sD6fG1hJ5kQ0y"
    given = cassette(response_body={"string": json.dumps({"hash": text})})
    with pytest.raises(LeakSuspected, match="hash"):
        from_vcr(given)
    assert text.encode() in from_vcr(given, allow=["hash"])
    assert text.encode() not in from_vcr(given, secret_texts=[text])
    assert text.encode() not in from_vcr(given, secret_texts=[Secret(text)])


@pytest.mark.parametrize(
    ("name", "value", "role"),
    [
        ("access_token", "x", "at"),
        ("Client_Secret", "x", "cs"),
        ("token_type_hint", "access_token", ""),
        ("token_type", "Bearer---", ""),
        ("x-session-id", "12345678", "sec"),
        ("x-session-id", "1234567", ""),
        ("grant_type", "refresh_token", ""),
        ("content-type", "application/json", ""),
    ],
)
def test_roles(name: str, value: str, role: str) -> None:
    assert role_of(name, value) == role


def test_whoever_keeps_an_error_keeps_nothing_of_the_cassette() -> None:
    given = cassette(response_body={"string": json.dumps({"hash": "Zk3qT7w9xVbR2mN8pL4sD6fG1hJ5kQ0y"})})
    with pytest.raises(LeakSuspected) as caught:
        from_vcr(given)
    assert [frame.name for frame in caught.traceback][1:] == ["from_vcr"]
    assert "octets" not in caught.traceback[1].frame.f_locals
    assert caught.value.__context__ is None


# What cassettes look like


@pytest.mark.parametrize(
    ("body", "octets"),
    [
        ({"string": "text"}, b"text"),
        ({"string": None}, b""),
        ({"base64_string": "gIE="}, b"\x80\x81"),
        ({"base64_string": "gIE=", "string": "gone"}, b"\x80\x81"),
        ("text", b"text"),
        (None, b""),
    ],
)
def test_bodies(body: object, octets: bytes) -> None:
    answer = answered(only(from_vcr(cassette(response_body=body))))
    assert answer is not None
    assert answer.response().body == octets


def test_answers_as_an_older_vcrpy_wrote_them_for_httpx() -> None:
    older = {"request": {"method": "GET", "uri": "https://api.kick.com/x", "body": "", "headers": {}}}
    older["response"] = {"status_code": 204, "headers": {}, "content": "gone"}
    answer = answered(only(from_vcr(json.dumps({"interactions": [older]}).encode())))
    assert answer is not None
    assert (answer.status, answer.text) == (204, "gone")


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bytes])
def test_what_was_packed_is_unpacked(pack: Any) -> None:
    packed = base64.b64encode(pack(b'{"data":[]}')).decode()
    encoding = ["deflate" if pack is zlib.compress else "gzip"]
    given = cassette(response_headers={"Content-Encoding": encoding}, response_body={"base64_string": packed})
    assert only(from_vcr(given)).answer == b'{"status":200,"json":{"data":[]}}'


def test_what_is_packed_otherwise_or_too_large_is_refused() -> None:
    given = cassette(response_headers={"Content-Encoding": ["br"]}, response_body="x")
    with pytest.raises(SessionError, match="packed with 'br'; record it with decode_compressed_response=True"):
        from_vcr(given)
    bomb = base64.b64encode(gzip.compress(bytes(9 * 1024 * 1024))).decode()
    given = cassette(response_headers={"Content-Encoding": ["gzip"]}, response_body={"base64_string": bomb})
    with pytest.raises(SessionError, match="its body has more than 8388608 octets"):
        from_vcr(given)


def test_a_body_that_yaml_refers_to_again_and_again_is_counted_each_time() -> None:
    text = "x" * (LARGEST // 8)
    rows = ["- &one\n  request: {method: GET, uri: 'https://api.kick.com/x', body: null, headers: {}}"]
    rows += [f"  response: {{status: {{code: 200}}, headers: {{}}, body: {{string: {text}}}}}", *["- *one"] * 8]
    with pytest.raises(SessionError, match="bodies of more than"):
        from_vcr(("interactions:\n" + "\n".join(rows) + "\nversion: 1\n").encode())
    few = "interactions:\n" + "\n".join(rows[:-7]).replace(text, "x") + "\nversion: 1\n"
    assert len(read(from_vcr(few.encode())).lines) == 2


# What is no cassette


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", r"is no cassette of vcrpy: Expected `object`, got `null`"),
        (b"[1]", r"is no cassette of vcrpy: Expected `object`, got `array`"),
        (b"interactions: []\nversion: 1\n", "holds no interactions"),
        (b"interactions: []\nversion: 2\n", "of version 2, and only version 1 is read"),
        (b"a: [", r"is neither JSON nor YAML \(line"),
        (b"a: !!python/object/apply:os.getcwd []", "is neither JSON nor YAML"),
        (b"\xff\xfe\xff", "is neither JSON nor YAML"),
        (b"a: 2025-13-45", "is neither JSON nor YAML"),
        (b"[" * 5000, "is neither JSON nor YAML"),
        (b"- " * 30000 + b"a", "is neither JSON nor YAML"),
        (b'{"interactions":' + b"[" * 5000 + b"]" * 5000 + b"}", "neither JSON nor YAML|nested too deeply|no cassette"),
        (cassette(request_method=7), r"Expected `str`, got `int` - at `\$\.interactions\[0\]\.request\.method`"),
        (cassette(response_status=None), "interaction 0: its answer has no status"),
        (cassette(request_uri="http://["), "interaction 0: its address is none"),
        (cassette(response_body={"string": 7}), "interaction 0: its body is neither a text nor octets"),
        (cassette(response_body={"base64_string": "a"}), "interaction 0: its body is not base64"),
        (b"#" * (LARGEST + 1), "has more than 16777216 octets"),
    ],
)
def test_what_is_no_cassette_is_told(octets: bytes, told: str) -> None:
    with pytest.raises(SessionError, match=told) as caught:
        from_vcr(octets, name="old.yaml")
    assert str(caught.value).startswith("old.yaml")


def test_no_code_of_a_cassette_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for tag in ("object/apply:os.mkdir", "object/new:os.mkdir", "name:os.mkdir", "module:os"):
        with pytest.raises(SessionError):
            from_vcr(f"interactions: !!python/{tag} [{mark}]\n".encode())
    assert not mark.exists()


def test_without_pyyaml_json_is_read_and_yaml_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert len(read(from_vcr((CASSETTES / "chat-message.json").read_bytes())).lines) == 3
    with pytest.raises(SessionError, match="is YAML, which needs PyYAML: pip install pyyaml"):
        from_vcr((CASSETTES / "app-token.yaml").read_bytes())


def test_yaml_is_read_by_python_where_there_is_no_c(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = from_vcr((CASSETTES / "avatar.yaml").read_bytes())
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert from_vcr((CASSETTES / "avatar.yaml").read_bytes()) == expected
    with pytest.raises(SessionError, match="is neither JSON nor YAML"):
        from_vcr(b"[" * 400)
