"""Notices that are warnings, too."""

import warnings

import pytest

from interpreters.warned import warn_of
from kickcore.errors import ClockWrong, GrantOld, KickWarning, ScopesNotGranted
from kickcore.notices import ClockSkewed, GrantAging, Notice, RenewalFailed, Retrying, ScopesNarrowed

DAY = 86400.0


@pytest.mark.parametrize(
    ("notice", "kind", "text"),
    [
        (ClockSkewed(420.4), ClockWrong, "Kick's clock is 420 seconds ahead of this machine's"),
        (ClockSkewed(-61.0), ClockWrong, "Kick's clock is 61 seconds behind this machine's"),
        (ScopesNarrowed("", ("a", "b:c")), ScopesNotGranted, "the renewed user token lacks a, b:c, which"),
        (ScopesNarrowed("anna", ("a",)), ScopesNotGranted, "the renewed user token of account 'anna' lacks a,"),
        (GrantAging("", 26 * DAY, None), GrantOld, "the user's grant is 26 days old"),
        (GrantAging("anna", 3 * DAY, 27 * DAY), GrantOld, "the user's grant of account 'anna' is 27 days old"),
    ],
    ids=repr,
)
def test_a_notice_that_matters_is_a_warning_once(notice: Notice, kind: type[KickWarning], text: str) -> None:
    warned: set[type[Warning]] = set()
    with pytest.warns(kind, match=text):
        warn_of(notice, warned)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of(notice, warned)
    assert warned == {kind}


@pytest.mark.parametrize("notice", [RenewalFailed("user", "", "no"), Retrying("GET /", "busy", 1, 0.1)], ids=repr)
def test_other_notices_are_for_those_who_listen(notice: Notice) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of(notice, set())
