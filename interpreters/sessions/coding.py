"""Effects and answers as JSON, and back.

What a program asks is written in one way only, so that two asks are equal when their octets are. Secrets stand in it as
they are: the line that it becomes part of is what hides them (`interpreters.sessions.disguise`).
"""

import builtins
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict, astuple

from kickcore import errors
from kickcore.effects import (
    Consent,
    DropToken,
    Exclusive,
    HoldBack,
    Leaf,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    PayRetry,
    RenewAhead,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.errors import KickError
from kickcore.http import API_LIMIT, API_TIMEOUT, Pairs, Request, Response, Sent, Unreachable
from kickcore.oauth.callback import Callback
from kickcore.oauth.tokens import App, Attempt, NotSaved, Saved, Slot, Stored, Superseded, Token
from kickcore.policy import Pace
from kickcore.secret import Secret

NO_RAW: Final = Raw(b"")
"""Stands for JSON that is not there: msgspec takes no union of `Raw` and None."""

KEPT_HEADERS: Final = frozenset({"content-type", "etag", "location", "retry-after"})
"""The headers of an answer that a recording keeps, beside those whose name speaks of a rate limit; and `date` where it
is read: beside `retry-after`, and on answers of the identity host."""


class Hold(Struct, frozen=True, tag="hold"):
    """The second step of an `Exclusive`: the slot is held against other processes too, or it is known that it isn't."""

    slot: Slot


Asked: TypeAlias = Leaf | Exclusive | RenewAhead | Hold
"""What a line of a session answers."""


def _shown(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} cannot be written into a session")


def _read(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_shown)
_ANY_JSON: Final = msgspec.json.Decoder(Raw)


def encoded(value: object) -> bytes:
    """A value as JSON, secrets and all."""
    return _ENCODER.encode(value)


def decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    """What reads a value of `kind`, secrets and all."""
    return msgspec.json.Decoder(kind, dec_hook=_read)


KIND_OF: Final[Mapping[type, str]] = {
    form: str(form.__struct_config__.tag)
    for form in (
        Send,
        Sleep,
        LoadApp,
        LoadToken,
        SaveToken,
        DropToken,
        Consent,
        LoadPace,
        HoldBack,
        PayRetry,
        Notify,
        Exclusive,
        RenewAhead,
        Hold,
    )
}
"""The name of an effect in a session: that of its handler. `Now` and `Entropy` have no line."""


def kind_of(asked: Asked) -> str:
    """The name of an effect in a session."""
    return KIND_OF[type(asked)]


# Requests and answers


class _Sending(Struct, omit_defaults=True):
    method: str
    url: str
    query: Pairs = ()
    bearer: Secret | None = None
    form: Pairs = ()
    json: Raw = NO_RAW
    text: str | None = None
    octets: str | None = None
    timeout: float = API_TIMEOUT
    limit: int = API_LIMIT
    group: str = ""


class Answered(Struct, omit_defaults=True):
    """An HTTP answer as a line holds it: its body is JSON, or a text, or octets written as the characters U+0000 to
    U+00FF. `charset` is that of a text which is not UTF-8.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    json: Raw = NO_RAW
    text: str | None = None
    octets: str | None = None
    charset: str | None = None

    def response(self) -> Response:
        """The answer, with the octets of its body."""
        return Response(self.status, self.headers, body_of(self.json, self.text, self.octets, self.charset))


class Silence(Struct):
    """No usable answer, as a line holds it."""

    reason: str
    sent: Sent


def body_of(json: Raw, text: str | None, octets: str | None, charset: str | None = None) -> bytes:
    """The octets of a body from the member that holds them."""
    if body := bytes(json):
        return body
    if text is not None:
        return text.encode(charset or "utf-8")
    return (octets or "").encode("latin-1")


def written_body(body: bytes) -> dict[str, Any]:
    """The member of a line that holds these octets, in the most readable way that gives them back as they are."""
    if not body:
        return {}
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return _other_text(body) or {"octets": body.decode("latin-1")}
    if is_one_line_of_json(body, text):
        return {"json": Raw(body)}
    return (_other_text(body) if "\0" in text else None) or {"text": text}


def _other_text(body: bytes) -> dict[str, Any] | None:
    """A text in one of the charsets that put a NUL beside each ASCII letter, if it is one."""
    if b"\0" in body:
        for charset in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
            try:
                text = body.decode(charset)
            except UnicodeDecodeError:
                continue
            if (
                "\0" not in text
                and text.encode(charset) == body
                and sum(letter.isascii() for letter in text) * 2 > len(text)
            ):
                return {"text": text, "charset": charset}
    return None


def is_one_line_of_json(body: bytes, text: str) -> bool:
    """Whether it is a JSON object or list that can stand in a line as it is."""
    if body[:1] not in {b"{", b"["} or body[-1:] not in {b"}", b"]"} or "\n" in text or "\r" in text:
        return False
    try:
        _ = _ANY_JSON.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _sending(request: Request) -> bytes:
    written = _Sending(
        request.method,
        request.url,
        request.query,
        request.bearer,
        request.form,
        NO_RAW,
        None,
        None,
        request.timeout,
        request.limit,
        request.group,
    )
    if request.body:
        for member, value in written_body(request.body).items():
            setattr(written, member, value)
    return _ENCODER.encode(written)


def kept_headers(response: Response, *, with_date: bool = True) -> Response:
    """The answer with those headers only that a recording keeps."""
    with_date = with_date or any(name == "retry-after" for name, _ in response.headers)
    kept = tuple(
        header
        for header in response.headers
        if header[0] in KEPT_HEADERS or "ratelimit" in header[0] or (with_date and header[0] == "date")
    )
    return response if len(kept) == len(response.headers) else Response(response.status, kept, response.body)


def _answer_to_send(answer: Any) -> bytes:
    if isinstance(answer, Response):
        return _ENCODER.encode(Answered(answer.status, answer.headers, **written_body(answer.body)))
    return _ENCODER.encode(Silence(answer.reason, answer.sent))


_ANSWERED: Final = decoder(Answered)
_SILENCE: Final = decoder(Silence)


def _read_answer_to_send(raw: bytes) -> Response | Unreachable:
    if raw.startswith(b'{"reason"'):
        silence = _SILENCE.decode(raw)
        return Unreachable(silence.reason, silence.sent)
    return _ANSWERED.decode(raw).response()


# Tokens


class _Kept(Struct, omit_defaults=True):
    access_token: Secret | None
    expires_at: float
    issued_at: float
    refresh_token: Secret | None = None
    scope: tuple[str, ...] | None = None
    granted_at: float | None = None
    refresh_issued_at: float | None = None
    attempt: Attempt | None = None


class _Held(Struct, omit_defaults=True):
    token: _Kept
    version: str = ""
    at_least: float | None = None


_HELD: Final = decoder(_Held | None)


def _stored(answer: Any) -> bytes:
    if answer is None:
        return b"null"
    return _ENCODER.encode(_Held(_Kept(*astuple(answer.token)), answer.version, answer.at_least or None))


def _read_stored(raw: bytes) -> Stored | None:
    held = _HELD.decode(raw)
    return None if held is None else Stored(Token(*astuple(held.token)), held.version, held.at_least or 0.0)


Encode: TypeAlias = Callable[[Any], bytes]
Decode: TypeAlias = Callable[[bytes], object]


def _nothing(raw: bytes) -> None:
    _ = raw


_ANSWERS: Final[Mapping[str, tuple[Encode, Decode]]] = {
    "send": (_answer_to_send, _read_answer_to_send),
    "load_app": (encoded, decoder(App).decode),
    "load_token": (_stored, _read_stored),
    "save_token": (encoded, decoder(Saved | Superseded | NotSaved).decode),
    "drop_token": (encoded, _nothing),
    "sleep": (encoded, _nothing),
    "consent": (encoded, decoder(Callback).decode),
    "load_pace": (encoded, decoder(Pace).decode),
    "hold_back": (encoded, _nothing),
    "pay_retry": (encoded, decoder(bool).decode),
    "notify": (encoded, _nothing),
    "exclusive": (encoded, _nothing),
    "hold": (encoded, decoder(bool).decode),
    "renew_ahead": (encoded, decoder(bool).decode),
}
KINDS: Final = (*_ANSWERS, "stalled")
"""What a line may hold. `Now` and `Entropy` have no line: time stands in every line, and chance has a seed."""
FORMS: Final[Mapping[str, type]] = {kind: form for form, kind in KIND_OF.items() if form is not Send}
"""What can be read as it is written. A request in a line has a form of its own."""


def ask(asked: Asked) -> bytes:
    """What is asked, as JSON and without its kind."""
    kind = type(asked)
    if kind is Send:
        return _sending(cast("Send", asked).request)
    whole = _ENCODER.encode(asked)
    # It begins with {"type":"sleep" and there is more, or nothing.
    begins = len(KIND_OF[kind]) + 10
    return b"{" + whole[begins + 1 :] if whole[begins : begins + 1] == b"," else b"{}"


def answer_to(kind: str, answer: object) -> bytes:
    """The answer to an effect of this kind, as JSON."""
    return _ANSWERS[kind][0](answer)


def read_answer(kind: str, raw: bytes) -> object:
    """The answer to an effect of this kind. Raises `msgspec.DecodeError` (or `ValueError`) for what is none."""
    return _ANSWERS[kind][1](raw)


class _Sent(Struct):
    method: str
    url: str
    query: tuple[tuple[str, str], ...] = ()
    bearer: Secret | None = None
    form: tuple[tuple[str, str], ...] = ()
    json: Raw = NO_RAW
    text: str | None = None
    octets: str | None = None
    timeout: float = API_TIMEOUT
    limit: int = API_LIMIT
    group: str = ""


_SENT: Final = decoder(_Sent)


def read_ask(kind: str, raw: bytes) -> Asked | None:
    """What was asked, as a value again; None for a kind that is no effect."""
    if kind == "send":
        sent = _SENT.decode(raw)
        body = body_of(sent.json, sent.text, sent.octets)
        return Send(
            Request(
                sent.method, sent.url, sent.query, sent.bearer, sent.form, body, sent.timeout, sent.limit, sent.group
            )
        )
    form = FORMS.get(kind)
    if form is None:
        return None
    tagged = b'{"type":"%s"%s' % (kind.encode(), b"}" if raw == b"{}" else b"," + raw[1:])
    return cast("Asked", decoder(form).decode(tagged))


# Exceptions


class Failure(Struct, omit_defaults=True):
    """An exception as a line holds it: its kind, its text, and what an error of kickcore knows beside."""

    type: str
    text: str = ""
    more: dict[str, Any] = {}


class ReplayedError(Exception):
    """Stands in a replay for an exception of a kind that is neither kickcore's nor Python's own."""


def failure_of(error: Exception) -> Failure:
    """What a line holds of an exception."""
    more = {name: value for name, value in vars(error).items() if _is_plain(value)} if _is_ours(error) else {}
    return Failure(type(error).__name__, str(error), more)


def _is_ours(error: Exception) -> bool:
    return isinstance(error, KickError) and getattr(errors, type(error).__name__, None) is type(error)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(item, str) for item in cast("tuple[object, ...]", value))
    return value is None or isinstance(value, str | int | float | bool)


_TYPE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}\Z")


_NO_FAILURES: Final = (StopIteration, StopAsyncIteration)


def exception_of(failure: Failure) -> Exception:
    """The exception again: of kickcore's kinds and Python's own, or a `ReplayedError` that names its kind."""
    ours: object = getattr(errors, failure.type, None) if _TYPE_NAME.match(failure.type) else None
    if isinstance(ours, type) and issubclass(ours, KickError):
        made = ours.__new__(ours)
        made.args = (failure.text,)
        vars(made).update(
            {
                name: tuple(cast("list[object]", value)) if isinstance(value, list) else value
                for name, value in failure.more.items()
            }
        )
        return made
    pythons: object = getattr(builtins, failure.type, None) if _TYPE_NAME.match(failure.type) else None
    if isinstance(pythons, type) and issubclass(pythons, Exception) and not issubclass(pythons, _NO_FAILURES):
        try:
            return pythons(failure.text)
        except TypeError:
            # It is made of more than a text.
            pass
    return ReplayedError(f"{failure.type}: {failure.text}" if failure.text else failure.type)


def app_as_told(app: App) -> dict[str, Any]:
    """The app as a header holds it: without the account, which belongs to a program."""
    told = asdict(app)
    del told["account"]
    return told
