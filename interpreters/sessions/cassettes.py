"""Cassettes of vcrpy as sessions: what other tests have recorded, without the secrets that it holds."""

import re
import zlib
from base64 import b64decode
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from interpreters.sessions.finding import Found
from interpreters.sessions.recording import Recording
from kickcore.effects import Leaf, Now, Program, Send
from kickcore.errors import SessionError
from kickcore.http import API_LIMIT, Pairs, Request, Response
from kickcore.secret import Secret

LARGEST: Final = 16 * 1024 * 1024
"""Octets of a cassette, and of all bodies in it."""


class _Status(Struct):
    code: int
    message: Any = None


class _Question(Struct):
    method: str
    uri: str
    body: Any = None
    headers: dict[str, Any] = {}


class _Answer(Struct):
    status: _Status | None = None
    status_code: int | None = None
    headers: dict[str, Any] = {}
    body: Any = None
    content: Any = None


class _Interaction(Struct):
    request: _Question
    response: _Answer


class _Cassette(Struct):
    interactions: list[_Interaction]
    version: int = 1


def from_vcr(
    octets: bytes,
    *,
    label: str = "imported",
    secret_texts: Iterable[str | Secret] = (),
    allow: Iterable[str] = (),
    name: str = "the cassette",
) -> bytes:
    """A session of what a cassette of vcrpy holds (version 1, as YAML or as JSON): one program of the name `label`.

    The program asks for each request in the order of the cassette; a program of yours replays over it if it asks for
    the same and runs with that label. Of requests, method, address, query, bearer and body are kept, and of answers the
    headers that a recording keeps. Secrets become aliases as in a recording, those in headers too; `secret_texts` and
    `allow` are those of `Recording`. A cassette has no times: they are taken from the `date` headers of its answers.

    Raises `SessionError` for what is no such cassette, or holds more than 16 MiB; `LeakSuspected` if the session would
    hold what looks like a secret. YAML needs PyYAML: `pip install pyyaml`.
    """
    made = _imported(octets, label, tuple(secret_texts), tuple(allow), name)
    # A traceback may show local variables.
    del octets, secret_texts
    if isinstance(made, SessionError):
        raise made
    return made


def _imported(
    octets: bytes, label: str, secret_texts: tuple[str | Secret, ...], allow: tuple[str, ...], name: str
) -> bytes | SessionError:
    """The session, or why there is none: without a traceback, whose frames hold the cassette."""
    try:
        tape = _Tape(_read(octets, name), name)
        recording = Recording(secret_texts=secret_texts, allow=allow, seed="imported")
        recording.see(tape.found)
        recording.run_sync(tape.asking(), tape.answer, label=label)
        _ = recording.close()
        return recording.text()
    except SessionError as error:
        error.__context__ = error.__cause__ = None
        return error.with_traceback(None)


def _read(octets: bytes, name: str) -> list[_Interaction]:
    try:
        cassette = msgspec.convert(_decoded(octets, name), _Cassette)
    except (msgspec.ValidationError, RecursionError) as error:
        told = str(error) if isinstance(error, msgspec.ValidationError) else "it is nested too deeply"
        raise SessionError(f"{name} is no cassette of vcrpy: {told}; nothing was made of it") from None
    if cassette.version != 1:
        raise SessionError(f"{name} is a cassette of version {cassette.version}, and only version 1 is read")
    if not cassette.interactions:
        raise SessionError(f"{name} holds no interactions")
    return cassette.interactions


def _decoded(octets: bytes, name: str) -> object:
    if len(octets) > LARGEST:
        raise SessionError(f"{name} has more than {LARGEST} octets; nothing was made of it")
    if octets.lstrip()[:1] == b"{":
        try:
            return msgspec.json.decode(octets)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # What begins so may be YAML as well.
            pass
    return _from_yaml(octets, name)


def _from_yaml(octets: bytes, name: str) -> object:
    try:
        yaml: Any = import_module("yaml")
    except ImportError:
        raise SessionError(f"{name} is YAML, which needs PyYAML: pip install pyyaml; JSON needs nothing") from None
    # Both make plain values only. The one in C is some thirty times as fast.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return cast("object", yaml.load(octets, loader))
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, AttributeError, TypeError) as error:
        where = getattr(error, "problem_mark", None)
        told = f"line {where.line + 1}" if where is not None else type(error).__name__
        raise SessionError(f"{name} is neither JSON nor YAML ({told}); nothing was made of it") from None


class _Tape:
    """The interactions of a cassette as what a program asks and is answered; and the secrets that only they tell."""

    def __init__(self, interactions: list[_Interaction], name: str) -> None:
        self.found: list[Found] = []
        self._name = name
        self._size = 0
        self._exchanges: list[tuple[Request, Response]] = []
        for number, one in enumerate(interactions):
            where = f"{name}, interaction {number}"
            self._exchanges.append((self._request(one.request, where), self._response(one.response, where)))
        self._time = next((instant for instant in map(_instant, self._responses()) if instant), 0.0)
        self._next = 0

    def _responses(self) -> Iterator[Response]:
        return (response for _, response in self._exchanges)

    def asking(self) -> Program[None]:
        """The program that asks for all of it."""
        for request, _ in self._exchanges:
            _ = yield from Send(request)

    def answer(self, effect: Leaf) -> object:
        """The answers, in order; and the time, as their headers tell it."""
        if isinstance(effect, Now):
            return self._time
        _, response = self._exchanges[self._next]
        self._next += 1
        self._time = max(self._time, _instant(response))
        return response

    def _request(self, asked: _Question, where: str) -> Request:
        headers = _headers(asked.headers)
        try:
            address = urlsplit(asked.uri)
            host = address.netloc.rpartition("@")[2]
            self.found += [("sec", unquote(part)) for part in (address.username, address.password) if part]
        except ValueError:
            raise SessionError(f"{where}: its address is none; nothing was made of it") from None
        url = urlunsplit((address.scheme, host, address.path, "", ""))
        body = self._body(asked.body, where)
        form: Pairs = ()
        if "x-www-form-urlencoded" in headers.get("content-type", ""):
            form, body = _with_secrets(body.decode("utf-8", "replace"), url), b""
        self._learn_headers(headers)
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        bearer = Secret(credentials.strip()) if scheme.lower() == "bearer" and credentials.strip() else None
        return Request(asked.method, url, _with_secrets(address.query, url), bearer, form, body)

    def _response(self, answer: _Answer, where: str) -> Response:
        headers = _headers(answer.headers)
        self._learn_headers(headers)
        status = answer.status.code if answer.status is not None else answer.status_code
        if status is None:
            raise SessionError(f"{where}: its answer has no status; nothing was made of it")
        body = self._body(answer.content if answer.body is None else answer.body, where)
        packed = headers.pop("content-encoding", "identity").lower()
        if body and packed != "identity":
            body = self._unpacked(body, packed, where)
        return Response(status, tuple(headers.items()), body)

    def _body(self, body: object, where: str) -> bytes:
        """The octets of a body: a text, octets, or an object that has either, in base64 too."""
        if isinstance(body, dict):
            members = cast("dict[str, object]", body)
            packed = members.get("base64_string")
            body = members.get("string")
            if isinstance(packed, str | bytes):
                try:
                    body = b64decode(packed)
                except ValueError:
                    raise SessionError(f"{where}: its body is not base64; nothing was made of it") from None
        if body is None:
            return b""
        if not isinstance(body, str | bytes):
            raise SessionError(f"{where}: its body is neither a text nor octets; nothing was made of it")
        octets = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
        self._count(len(octets))
        return octets

    def _unpacked(self, body: bytes, packed: str, where: str) -> bytes:
        if packed not in {"gzip", "x-gzip", "deflate"}:
            raise SessionError(
                f"{where}: its body is packed with {packed[:20]!r}; record it with decode_compressed_response=True"
            )
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            octets = unpacking.decompress(body, API_LIMIT)
        except zlib.error:
            # Some say so and have unpacked it.
            return body
        if unpacking.unconsumed_tail:
            raise SessionError(f"{where}: its body has more than {API_LIMIT} octets; nothing was made of it")
        self._count(len(octets))
        return octets

    def _count(self, octets: int) -> None:
        # One body may stand for many: YAML has references.
        self._size += octets
        if self._size > LARGEST:
            raise SessionError(f"{self._name} has bodies of more than {LARGEST} octets; nothing was made of it")

    def _learn_headers(self, headers: dict[str, str]) -> None:
        for name, value in headers.items():
            if name == "authorization":
                scheme, _, credentials = value.partition(" ")
                self.found.append(("at" if scheme.lower() == "bearer" else "sec", credentials.strip() or value))
                self.found += _in_basic(credentials) if scheme.lower() == "basic" else ()
            elif role_of(name, value):
                self.found.append(("sec", value))
                self.found += _in_cookies(value)


def _in_basic(credentials: str) -> Iterator[Found]:
    try:
        yield "cs", b64decode(credentials).decode().partition(":")[2]
    except ValueError:
        return


def _in_cookies(value: str) -> Iterator[Found]:
    for part in value.split(";"):
        text = part.partition("=")[2].strip()
        # What is shorter is `path=/`, or a choice of a language.
        if len(text) >= _SHORTEST_COOKIE:
            yield "sec", text


_SHORTEST_COOKIE: Final = 16


def _headers(given: dict[str, Any]) -> dict[str, str]:
    """Headers by their names in lower case. What was sent several times is one value, as HTTP has it."""
    return {
        name.lower(): ", ".join(str(item) for item in cast("list[object]", value))
        if isinstance(value, list)
        else str(value)
        for name, value in given.items()
    }


_ROLE_OF: Final = {
    "access_token": "at",
    "refresh_token": "rt",
    "id_token": "id",
    "client_secret": "cs",
    "token": "at",
}
_TELLING: Final = re.compile(r"token|secret|passw|authorization|cookie|api-?_?key|session|credential", re.IGNORECASE)


def role_of(name: str, value: str) -> str:
    """The role of a text by the name of the parameter or the header that holds it; "" if it is no secret."""
    role = _ROLE_OF.get(name.lower(), "")
    # Not how a token is to be understood, nor which kind of one is asked for.
    is_secret = len(value) >= 8 and _TELLING.search(name) and not name.lower().endswith(("_type", "_hint", "-type"))
    return role or ("sec" if is_secret else "")


_OF_A_LOGIN: Final = frozenset({"code", "code_verifier", "code_challenge", "state"})


def _with_secrets(query: str, url: str) -> Pairs:
    """The pairs of a query or a form, with `Secret`s where their names say so."""
    is_login = "/oauth/" in url
    return tuple(
        (name, Secret(value) if value and (role_of(name, value) or (is_login and name in _OF_A_LOGIN)) else value)
        for name, value in parse_qsl(query, keep_blank_values=True)
    )


def _instant(response: Response) -> float:
    """When an answer was made, in epoch seconds; 0 if it does not say."""
    try:
        return parsedate_to_datetime(response.header("date") or "").timestamp()
    except (ValueError, OverflowError, TypeError):
        return 0.0


__all__ = ["LARGEST", "from_vcr"]
