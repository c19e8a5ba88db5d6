"""Answers to a refresh that are not what they should be, and answers that do not arrive."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from orders import SCOPE, Answer, Fault
from rows import Row
from stage import Stage

VECTORS: Final = Path(__file__).parents[1] / "vectors"
GOOD: Final[dict[str, Any]] = {
    "access_token": "AT",
    "token_type": "Bearer",
    "refresh_token": "RT2",
    "expires_in": 7200,
    "scope": SCOPE,
}
JSON: Final = "application/json"
NUMBER: Final = "9" * 400
"""Stands for itself, unquoted: Python does not write such a number."""


class Bad(Struct, frozen=True):
    """An answer. `gives`: whether the new refresh token is in it, for whoever reads it.

    `works`: whether a call must get through with it; `acts`: whether Kick has spent the old refresh token.
    """

    name: str
    answer: Answer
    gives: bool
    works: bool = False
    acts: bool = True


def bad_answers(stage: Stage) -> Iterator[Row]:
    """Kick rotates the refresh token and says something odd about it. Nothing may be lost that the answer holds.

    Rotation is strict where the answer holds the new refresh token. Where it does not, nobody could go on but by the
    old one, which is therefore taken again.
    """
    refreshes = lost = 0
    failed: list[str] = []
    cases = stage.some([*written(), *generated()], None, 50)
    for bad in cases:
        stage.begin(strict=bad.gives)
        stage.control.tell(Fault(acts=bad.acts, answer=bad.answer))
        before = len(stage.told())
        stage.run(lambda client: twice(stage, client))
        stage.run(stage.attempt)
        first, *later = stage.told()[before:]
        refreshes += stage.state().refreshes
        lost += not stage.is_kept()
        judged = [first, *later] if bad.works else later
        failed += [bad.name for outcome in judged if outcome.error]
    yield stage.row(
        "odd answers to a refresh",
        "bad answers",
        len(cases),
        refreshes=refreshes,
        lost=lost,
        failed=len(failed),
        note=f"failed: {', '.join(dict.fromkeys(failed))}"[:120] if failed else "",
    )


async def twice(stage: Stage, client: object) -> None:
    await stage.attempt(client)
    await stage.attempt(client)


def written() -> Iterator[Bad]:
    """The cases of `token_responses.json`."""
    for case in json.loads((VECTORS / "token_responses.json").read_text("utf-8"))["cases"]:
        body = base64.b64decode(case["body_b64"]) if "body_b64" in case else case["body"].encode()
        # The user has granted one scope here, and it must not be narrowed away.
        body = body.replace(b"user:read chat:write", b"kicks:read").replace(b'"user:read"', b'"kicks:read"')
        answer = Answer(case["status"], case["content_type"], body)
        yield Bad(
            case["name"],
            answer,
            gives=b'"RT2"' in body and is_json(body),
            works=case["expect"].startswith("ok"),
            acts=case["status"] < 300,
        )


def is_json(body: bytes) -> bool:
    try:
        json.loads(body.decode("utf-8-sig"))
    except ValueError:
        return False
    return True


def odd_values() -> list[Any]:
    texts = ["", " ", "\x00", "é", "a\r\nb: c", "AT\n", "x" * 9_000]
    numbers = [0, -1, 1.5, 10**18, float("nan"), NUMBER]
    return [None, True, False, *texts, *numbers, [], ["AT"], {}, {"AT": "AT"}, [[[[[[]]]]]]]


def generated() -> Iterator[Bad]:
    """Each member left out, of each odd value, or there twice; members nobody knows; bodies cut at each octet."""
    for name in GOOD:
        rest = {key: value for key, value in GOOD.items() if key != name}
        odd = {f"{name} is {str(value)[:20]!r}": {**rest, name: odd_for(name, value)} for value in odd_values()}
        for told, members in {f"{name} missing": rest, **odd}.items():
            yield made(told, dumped(members), name)
        yield made(f"{name} twice", dumped(GOOD)[:-1] + f', "{name}": null}}'.encode(), name)
    for value in odd_values():
        yield made(f"unknown member {str(value)[:20]!r}", dumped({**GOOD, "new": value}))
    yield made("many members", dumped({**GOOD, **{f"m{number}": number for number in range(2_000)}}))
    yield from bodies()


def odd_for(name: str, value: Any) -> Any:
    """Another scope than the one that was granted is not odd, and the call would rightly be refused."""
    return f"{SCOPE} {value}" if name == "scope" and isinstance(value, str) and value not in {"", NUMBER} else value


def made(told: str, body: bytes, odd: str = "") -> Bad:
    """An answer of which one member is odd: without a life or a scope one can go on, without the others one cannot."""
    return Bad(told, Answer(200, JSON, body), odd != "refresh_token", odd not in {"access_token", "token_type"})


def bodies() -> Iterator[Bad]:
    good = dumped(GOOD)
    for length in range(len(good)):
        yield Bad(f"first {length} octets", Answer(200, JSON, good[:length]), gives=False)
    odd = {
        "array": b"[" + good + b"]",
        "twice": good + good,
        "rubbish behind": good + b"x",
        "in a string": json.dumps(good.decode()).encode(),
        "deep": b"[" * 50_000,
        "larger than any": b" " * 200_000 + good,
        "nul": b"\x00" * 100,
        "empty": b"",
        "utf-16": good.decode().encode("utf-16"),
    }
    for name, body in odd.items():
        yield Bad(name, Answer(200, JSON, body), gives=False)
    for kind in ("text/html", "application/x-www-form-urlencoded", "", "application/json; charset=utf-16", "nonsense"):
        yield Bad(f"as {kind}", Answer(200, kind, good), gives=True)
    for status in (201, 202, 206):
        yield Bad(f"status {status}", Answer(status, JSON, good), gives=False)
    yield Bad("status 204", Answer(204, JSON, b""), gives=False)
    for status in (301, 302, 307, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503, 504, 599):
        yield Bad(f"status {status}", Answer(status, "text/html", b"<p>No</p>"), gives=False, acts=False)


def dumped(members: dict[str, Any]) -> bytes:
    return json.dumps(members).replace(f'"{NUMBER}"', NUMBER).encode()


def lost_answers(stage: Stage) -> Iterator[Row]:
    """The answer breaks off after each of its octets, or the connection is reset. Kick has rotated, or has not."""
    stage.begin(strict=False)
    stage.run(stage.attempt)
    length = stage.state().length
    stage.told()
    faults = [Fault(keep=keep, ending="close" if keep % 4 else "reset") for keep in range(length)]
    not_acted = [Fault(acts=False, keep=0, ending=ending) for ending in ("close", "reset")]
    yield broken_off(stage, "lenient rotation", [*not_acted, *stage.some(faults, None, 18)], strict=False)
    yield broken_off(stage, "strict rotation", stage.some(faults, 60, 8), strict=True)


def broken_off(stage: Stage, rotation: str, faults: list[Fault], *, strict: bool) -> Row:
    refreshes = lost = unavoidable = failed = unclear = 0
    for fault in faults:
        grant = stage.begin(strict=strict)
        stage.control.tell(fault)
        first = len(stage.told())
        stage.run(lambda client: twice(stage, client))
        outcomes = stage.told()[first:]
        refreshes += stage.state().refreshes
        if not strict:
            failed += sum(bool(outcome.error) for outcome in outcomes)
            lost += not stage.is_kept()
        elif not stage.is_kept():
            is_whole = stage.saved() == grant.refresh_token
            unavoidable += is_whole
            lost += not is_whole
            unclear += not all(outcome.error and outcome.clear for outcome in outcomes)
    return stage.row(
        f"answers that break off, {rotation}",
        "lost answers",
        len(faults),
        refreshes=refreshes,
        lost=lost,
        unavoidable=unavoidable,
        failed=failed,
        unclear=unclear,
    )
