"""The small values as they are drawn."""

import json
from typing import Any

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from kickcore.oauth.grants import bearer
from kickcore.oauth.scopes import Needs, Scope, checked_scopes
from kickcore.oauth.tokens import App, Slot, TokenKind, checked_app
from kickcore.secret import Secret
from kickcore.testing import (
    NOW,
    apps,
    bearer_secrets,
    bearer_texts,
    few_secrets,
    instants,
    json_values,
    needs,
    scope_texts,
    scope_tuples,
    slots,
)

from .reach import FIRST, SOME


@SOME
@given(bearer_texts(), bearer_secrets())
def test_what_is_drawn_for_a_bearer_can_be_one(text: str, secret: Secret) -> None:
    assert bearer(text) == Secret(text)
    assert bearer(secret.reveal()) == secret


@SOME
@given(few_secrets(), few_secrets())
def test_few_secrets_are_three(one: Secret, other: Secret) -> None:
    assert {one, other} <= {Secret("A"), Secret("B"), Secret("C")}


@SOME
@given(instants(), instants(around=5.0, within=1.0))
def test_instants_are_near_to_what_was_asked_for(usual: float, own: float) -> None:
    assert NOW - 100_000 <= usual <= NOW + 100_000
    assert 4.0 <= own <= 6.0


@SOME
@given(scope_tuples())
def test_scopes_are_such_that_they_can_be_asked_for(scopes: tuple[str, ...]) -> None:
    assert not scopes or checked_scopes(scopes, known_only=False) == scopes


@pytest.mark.parametrize("scope", [Scope.USER_READ, Scope.STREAMKEY_READ, Scope.ADS_WRITE])
def test_scopes_of_kick_come(scope: Scope) -> None:
    assert find(scope_texts(), lambda text: text == scope, settings=FIRST)


def test_scopes_come_that_kick_does_not_have() -> None:
    assert find(scope_texts(), lambda text: text not in set(Scope), settings=FIRST)


@SOME
@given(needs())
def test_needs_are_groups_of_which_each_can_be_met(wanted: Needs) -> None:
    assert len(wanted) <= 3
    assert all(group and group <= set(Scope) for group in wanted)


@pytest.mark.parametrize("count", range(4))
def test_needs_of_every_size_come(count: int) -> None:
    assert len(find(needs(), lambda wanted: len(wanted) == count, settings=FIRST)) == count


@pytest.mark.parametrize("kind", TokenKind)
@pytest.mark.parametrize("account", ["", "anna", "Ünal"])
def test_slots_of_every_kind_and_account_come(kind: TokenKind, account: str) -> None:
    slot = find(slots(), lambda slot: slot.kind is kind and slot.account == account, settings=FIRST)
    assert isinstance(slot, Slot)


@SOME
@given(apps())
def test_an_app_is_one_that_can_be_used(app: App) -> None:
    assert checked_app(app) == app


@SOME
@given(json_values())
def test_json_values_can_be_written(value: Any) -> None:
    assert json.dumps(value)


@pytest.mark.parametrize("kind", [type(None), bool, int, float, str, list, dict])
def test_json_values_of_every_kind_come(kind: type) -> None:
    assert type(find(json_values(), lambda value: type(value) is kind, settings=FIRST)) is kind


@SOME
@given(st.data())
def test_secrets_do_not_show_in_what_is_drawn(data: st.DataObject) -> None:
    secret = data.draw(bearer_secrets())
    assert repr(secret) == "Secret('…')"
