"""News in Kick's answers: members and values that kickcore does not know yet."""

from collections.abc import Mapping
from enum import StrEnum
from types import UnionType
from typing import Any, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from kickcore.effects import Notify, Program
from kickcore.errors import BadResponse, cleaned
from kickcore.http import Response
from kickcore.notices import DriftNoticed
from kickcore.policy import Drift, Policy


def tell_drift(policy: Policy, response: Response, answer: Any, operation: str) -> Program[None]:
    """Look for news in a success, if the policy asks for it, and tell of it or raise `BadResponse`."""
    if policy.drift is Drift.IGNORE or answer is type(None):
        return
    for notice in drift_in(response.body, answer, operation):
        if policy.drift is Drift.REFUSE:
            what = f"the value {notice.value!r}" if notice.value else "a member"
            text = f"{operation} succeeded, but its answer has {what} that kickcore does not know at {notice.member}"
            raise BadResponse(text, status=response.status, operation=operation)
        yield from Notify(notice)


def drift_in(body: bytes, answer: Any, operation: str) -> list[DriftNoticed]:
    """What is new in the `data` of an answer that is read as `answer`: each once, by its path."""
    try:
        read: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    data = cast("dict[str, Any]", read).get("data") if isinstance(read, dict) else None
    found = (DriftNoticed(operation, member, value) for member, value in _news(data, answer, "data"))
    return list(dict.fromkeys(found))


News: TypeAlias = list[tuple[str, str]]
"""Paths, and the unknown values that stand there ("" for unknown members)."""


def _news(value: Any, kind: Any, path: str) -> News:
    origin = get_origin(kind)
    if origin in {Union, UnionType}:
        return [news for option in get_args(kind) for news in _news(value, option, path)]
    if origin in {list, tuple} and isinstance(value, list):
        inner = get_args(kind)[0]
        return [news for item in cast("list[Any]", value) for news in _news(item, inner, f"{path}[]")]
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
        return _news_of_struct(cast("dict[str, Any]", value), kind, path)
    return []


def _news_of_struct(value: Mapping[str, Any], kind: type[Struct], path: str) -> News:
    hints = get_type_hints(kind)
    fields = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}
    known = cast("Mapping[str, type[StrEnum]]", getattr(kind, "known", {}))
    found: News = []
    for name, member in value.items():
        if name not in fields:
            found.append((f"{path}.{cleaned(name, 80)}", ""))
        elif (values := known.get(fields[name])) is not None and isinstance(member, str):
            if member and member not in {item.value for item in values}:
                found.append((f"{path}.{name}", cleaned(member, 80)))
        else:
            found += _news(member, hints[fields[name]], f"{path}.{name}")
    return found
