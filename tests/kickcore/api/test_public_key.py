"""The key that Kick signs webhooks with."""

import json
from typing import Any

import pytest
from worlds import World, json_response, user_world

from kickcore.api.public_key import fetch_public_key
from kickcore.effects import LoadToken
from kickcore.errors import BadResponse, Unauthorized
from kickcore.http import Request, Response

URL = "https://api.kick.com/public/v1/public-key"


def _exchange(answer: Response, world: World | None = None) -> tuple[str, Request, World]:
    """Fetch it from a Kick that asks for no token."""
    world = World() if world is None else world
    world.kick.living.add("")
    world.kick.api = lambda _: answer
    value = world.run(fetch_public_key())
    (request,) = world.sent
    return value, request, world


def test_the_key_is_the_text_that_kick_gives(payload: Any) -> None:
    body = payload("responses/get-public-v1-public-key.json")
    key, request, _ = _exchange(Response(200, (), body))
    assert key == json.loads(body)["data"]["public_key"]
    assert key.startswith(
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAq/+l1WnlRrGSolDMA+A8\n"
    )
    assert key.endswith("\n-----END PUBLIC KEY-----")
    assert len(key) == 450
    assert (request.method, request.url, request.query, request.form, request.body) == ("GET", URL, (), (), b"")


@pytest.mark.parametrize("make", [World, user_world], ids=["nobody", "somebody"])
def test_no_token_is_needed_and_none_is_sent(make: Any) -> None:
    key, request, world = _exchange(json_response({"data": {"public_key": "PEM"}, "message": "OK"}), make())
    assert key == "PEM"
    assert request.bearer is None
    assert not [effect for effect in world.log if isinstance(effect, LoadToken)]


def test_a_refusal_is_not_answered_with_a_token() -> None:
    world = user_world()
    with pytest.raises(Unauthorized):
        world.run(fetch_public_key())
    assert [request.bearer for request in world.sent] == [None]


def test_members_that_are_new_change_nothing() -> None:
    body = {"data": {"public_key": "PEM", "algorithm": ["RS256"]}, "message": "OK", "new": {}}
    assert _exchange(json_response(body))[0] == "PEM"


@pytest.mark.parametrize("data", [{}, {"public_key": None}, {"public_key": 5}, {"public_key": ["PEM"]}], ids=repr)
def test_an_answer_without_a_key_is_a_bad_response(data: Any) -> None:
    with pytest.raises(BadResponse, match="public_key"):
        _exchange(json_response({"data": data, "message": "OK"}))


@pytest.mark.parametrize("data", [None, [], "PEM", 5], ids=repr)
def test_an_answer_of_another_kind_is_a_bad_response(data: Any) -> None:
    with pytest.raises(BadResponse, match="data"):
        _exchange(json_response({"data": data, "message": "OK"}))
