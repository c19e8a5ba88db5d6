"""Every answer with one member spoilt: a value, or a `BadResponse` that names the member, and nothing else."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import pytest
from contract import ANSWERED, Row, answering, carried_out, listed, sample
from worlds import json_response

from kickcore.api.call import error_for
from kickcore.errors import BadResponse, HTTPError, KickError
from kickcore.oauth.grants import read_grant
from kickcore.oauth.tokens import Token
from kickcore.policy import Drift, Policy
from kickcore.secret import Secret
from kickcore.testing import NOW

# With drift, which looks at every answer before it is read.
TELL = Policy(drift=Drift.TELL)
BEFORE = Token(Secret("AT0"), NOW, NOW - 7200, Secret("RT0"), ("user:read",))
OTHERS: tuple[Any, ...] = ("x", "", 7, -1, 1.5, 2**80, True, False, {}, {"a": 1}, [], [1], [{}], [None])


class Spoilt(NamedTuple):
    """A body, what was done to it, and what an error about that must say."""

    body: Any
    how: str
    named: str


def _places(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The ways to all members and items of a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*way, key)
        yield from _places(member, (*way, key))


def _path(way: tuple[str | int, ...]) -> str:
    """As msgspec writes it."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in way)


def _at(body: Any, way: tuple[str | int, ...]) -> Any:
    for key in way:
        body = body[key]
    return body


def _with(body: Any, way: tuple[str | int, ...], value: Any) -> Any:
    changed = deepcopy(body)
    _at(changed, way[:-1])[way[-1]] = value
    return changed


def _without(body: Any, way: tuple[str | int, ...]) -> Any:
    changed = deepcopy(body)
    del _at(changed, way[:-1])[way[-1]]
    return changed


def spoilt(body: Any) -> Iterator[Spoilt]:
    """`body` with each member, at every depth, removed, null, of another type; and with one more beside it."""
    for way in _places(body):
        path, value = _path(way), _at(body, way)
        if isinstance(way[-1], str):
            yield Spoilt(_without(body, way), f"without {path}", f"required field `{way[-1]}`")
            yield Spoilt(_with(body, (*way[:-1], f"{way[-1]}_"), value), f"more than {path}", "")
        yield Spoilt(_with(body, way, None), f"null at {path}", f"`{path}`")
        for other in OTHERS:
            if type(other) is not type(value):
                # A list of wrong items is named by its items.
                yield Spoilt(_with(body, way, other), f"{other!r} at {path}", f"`{path}")


def test_what_is_spoilt() -> None:
    found = {each.how: each for each in spoilt({"data": [{"id": 5}]})}
    assert found["without $.data[0].id"].body == {"data": [{}]}
    assert found["more than $.data[0].id"].body == {"data": [{"id": 5, "id_": 5}]}
    assert found["null at $.data[0].id"].body == {"data": [{"id": None}]}
    assert found["'x' at $.data[0]"].body == {"data": ["x"]}
    assert found["'x' at $.data[0].id"].body == {"data": [{"id": "x"}]}
    assert found["True at $.data"].body == {"data": True}
    assert found["1.5 at $.data[0].id"].body == {"data": [{"id": 1.5}]}
    assert "7 at $.data[0].id" not in found


@pytest.mark.parametrize(("row", "name"), ANSWERED, ids=lambda value: str(value) if isinstance(value, Row) else None)
def test_a_spoilt_answer_gives_a_value_or_names_the_member(row: Row, name: str) -> None:
    wrong: list[str] = []
    outcomes: set[str] = set()
    for each in spoilt(sample(name)):
        try:
            value = carried_out(row, answering(each.body, TELL))
            outcomes.add("value")
            # What is made of it can be shown, too.
            assert repr(value)
        except BadResponse as error:
            outcomes.add("refusal")
            if not each.named or each.named not in str(error) or len(str(error)) > 500:
                wrong.append(f"{each.how}: {error}")
        except Exception as error:  # noqa: BLE001 - that there is none is what is tested
            wrong.append(f"{each.how}: {error!r}")
    assert wrong == []
    assert outcomes == ({"value"} if sample(name)["data"] == {} else {"value", "refusal"})


CATEGORY = {"category.id", "category.name"}
LIVE = {"id", "broadcaster_user.id", "channel.slug"} | CATEGORY
REWARD = {"id", "title", "cost"}
GIVER = {"user_id", "rank", "gifted_amount"}
NEEDED: dict[str, set[str]] = {
    "getUsers": {"user_id", "name"},
    "getChannels": {"broadcaster_user_id", "slug", "stream.is_live"} | CATEGORY,
    "getLivestreamsV2": LIVE,
    "getUsersLivestreams": LIVE,
    "getLivestreamsStats": {"total_count"},
    "getCategoriesV2": {"id", "name"},
    "sendChatMessage": {"is_sent", "message_id"},
    "banUser": set(),
    "unbanUser": set(),
    "getChannelRewards": REWARD,
    "createChannelReward": REWARD,
    "updateChannelReward": REWARD,
    "getRewardRedemptions": {
        "reward",
        "reward.id",
        "reward.title",
        "redemptions.id",
        "redemptions.status",
        "redemptions.redeemer.user_id",
    },
    "acceptRewardRedemptions": {"id", "reason"},
    "rejectRewardRedemptions": set(),
    "getKicksLeaderboard": {f"{span}.{name}" for span in ("lifetime", "month", "week") for name in GIVER},
    "getAdBreakStatus": {"opted_in", "ad_breaks.id"},
    "createAdBreak": {"id"},
    "enrollInAds": set(),
    "getEventSubscriptions": {"id", "event", "broadcaster_user_id"},
    "createEventSubscriptions": {"name"},
    "getPublicKey": {"public_key"},
    "getDropsClaims": {"claims", "claims.claim_id", "claims.user_id"},
    "introspectToken": {"active"},
    "introspectTokenV1": {"active"},
    "getLivestreams": {"broadcaster_user_id", "slug"} | CATEGORY,
    "searchCategories": {"id", "name"},
    "getCategory": {"id", "name"},
}
"""All that must be there in the `data` of an answer; whatever else is missing, the rest is read."""


@pytest.mark.parametrize("operation", sorted({row.operations[0] for row, _ in ANSWERED}))
def test_no_other_member_needs_to_be_there(operation: str) -> None:
    refused: set[str] = set()
    for row, name in ANSWERED:
        body = sample(name)
        if row.operations[0] != operation or body["data"] == {}:
            continue
        for way in _places(body["data"]):
            if isinstance(way[-1], str):
                try:
                    carried_out(row, answering(_without(body, ("data", *way))))
                except BadResponse:
                    refused.add(".".join(key for key in way if isinstance(key, str)))
    assert refused == NEEDED[operation]


GRANTS = sorted(name for name in listed("responses") if name.startswith("post-oauth-token."))


@pytest.mark.parametrize("name", GRANTS)
@pytest.mark.parametrize("before", [None, BEFORE], ids=["login", "refresh"])
def test_a_spoilt_grant_gives_a_token_or_a_problem(name: str, before: Token | None) -> None:
    for each in spoilt(sample(name)):
        grant = read_grant(json_response(each.body), NOW, before)
        assert (grant.token is not None and grant.token.access_token is not None) is (grant.problem is None), each.how
        assert grant.problem is None or isinstance(grant.problem, KickError)
        usable = isinstance(each.body.get("access_token"), str) and bool(each.body["access_token"])
        named = str(each.body.get("token_type", "Bearer")) == "Bearer"
        assert (grant.problem is None) is (usable and named), each.how


@pytest.mark.parametrize("name", sorted(listed("errors")))
def test_a_spoilt_error_is_an_error_all_the_same(name: str) -> None:
    body = sample(name, "errors")
    status = int(name[:3]) if name[:3].isdigit() else 400
    for each in spoilt(body):
        error = error_for(json_response(each.body, status), "GET /somewhere")
        assert (isinstance(error, HTTPError), error.status) == (True, status), each.how
        assert len(str(error)) < 1000
        assert json.dumps([error.code, error.reference])
        problem = read_grant(json_response(each.body, status), NOW, BEFORE).problem
        assert isinstance(problem, KickError), each.how
