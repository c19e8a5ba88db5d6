"""Whole classes of queries that may come to the callback: what nobody has seen yet, and can be thought of."""

import string
from collections.abc import Callable
from itertools import permutations
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kickcore.oauth.callback import Denied, ForeignIssuer, Granted, Refused, read_callback
from kickcore.secret import Secret

STATE = "kO3h_2Zq-7bTgW1xYvN8sLr5JcPd0aEfUiMnQwRtKyB"
ISSUER = "https://id.kick.com"
GOOD = f"code=C&state={STATE}"


def said(query: str) -> object:
    return read_callback(query, Secret(STATE), ISSUER)


def in_any_encoding(text: str) -> st.SearchStrategy[str]:
    """A text with some of its letters percent-encoded, in upper or lower case."""
    letters = [st.sampled_from([letter, f"%{ord(letter):02X}", f"%{ord(letter):02x}"]) for letter in text]
    return st.tuples(*letters).map("".join)


# States

places = st.integers(0, len(STATE) - 1)
spoiled = st.one_of(
    places.map(lambda end: STATE[:end]),
    places.map(lambda begin: STATE[begin + 1 :]),
    st.text(min_size=1, max_size=4).map(lambda more: STATE + more),
    st.text(min_size=1, max_size=4).map(lambda more: more + STATE),
    st.tuples(places, st.characters(codec="utf-8")).map(lambda at: STATE[: at[0]] + at[1] + STATE[at[0] + 1 :]),
    st.sampled_from(
        [STATE.lower(), STATE.upper(), STATE.swapcase(), STATE * 2, STATE[::-1], f'"{STATE}"', "*", "None"]
    ),
    st.sampled_from(["\0", "\n", " ", "\t", "\ufeff", "\u200b", "="]).flatmap(
        lambda odd: st.sampled_from([STATE + odd, odd + STATE])
    ),
    st.text(),
)


@given(spoiled)
def test_no_state_but_ours_is_believed(state: str) -> None:
    assume(state != STATE)
    for rest in ("code=C", "error=access_denied", f"code=C&iss={ISSUER}"):
        assert said(f"{rest}&state={quote(state, safe='')}") == Refused.STATE


@given(in_any_encoding("code"), in_any_encoding("state"), in_any_encoding(STATE))
def test_an_encoding_that_is_not_needed_changes_nothing(code: str, name: str, state: str) -> None:
    assert said(f"{code}=C&{name}={state}") == Granted(Secret("C"))


def test_what_is_encoded_twice_is_decoded_once() -> None:
    assert said(f"code=C&state=%25{ord(STATE[0]):02X}{STATE[1:]}") == Refused.STATE
    assert said(f"code=%2541&state={STATE}") == Granted(Secret("%41"))


@pytest.mark.parametrize("octets", ["%FF", "%C3", "%C0%AF", "%ED%A0%80", "%F5%80%80%80", "%80"])
@pytest.mark.parametrize("name", ["code", "state", "error", "error_description", "iss", "x"])
def test_octets_that_are_no_utf_8_end_nothing(name: str, octets: str) -> None:
    assert said(f"{GOOD}&{name}={octets}") == Refused.SHAPE
    assert said(f"{GOOD}&{octets}={name}") == Refused.SHAPE


@pytest.mark.parametrize("escape", ["%", "%4", "%4G", "%G4", "%%41", "%u0041", "%x41", "%-1", "% 1", "%０1"])
@pytest.mark.parametrize("name", ["code", "state", "x"])
def test_half_an_escape_ends_nothing(name: str, escape: str) -> None:
    assert said(f"{GOOD}&{name}={escape}") == Refused.SHAPE


# Codes


@example("C\x1f")
@example("\x7fC")
@example(" C~")
@given(st.text(st.characters(max_codepoint=0x17F), max_size=8) | st.text(string.printable, max_size=8) | st.text())
def test_a_code_is_taken_to_the_letter_or_not_at_all(code: str) -> None:
    usable = code.isascii() and code.isprintable() and bool(code.strip())
    expected = Granted(Secret(code)) if usable else Refused.SHAPE
    assert said(f"code={quote(code, safe='', errors='surrogatepass')}&state={STATE}") == expected


@pytest.mark.parametrize("blank", ["", "+", "%20", "+%20+", "%09", "%0D%0A", "%00", "%C2%A0"])
def test_a_blank_code_is_none(blank: str) -> None:
    assert said(f"code={blank}&state={STATE}") == Refused.SHAPE
    assert said(f"code&state={STATE}") == Refused.SHAPE


def test_a_plus_is_a_space_and_only_an_ampersand_parts() -> None:
    assert said(f"code=A+B%2BC&state={STATE}") == Granted(Secret("A B+C"))
    assert said(f"code=A=B==&state={STATE}") == Granted(Secret("A=B=="))
    assert said(f"code=C;state={STATE}") == Refused.STATE
    assert said(f"code=C;x&state={STATE}") == Granted(Secret("C;x"))
    assert said(f"code=C&state={STATE};iss=https://evil.example") == Refused.STATE
    assert said(f"&&code=C&&state={STATE}&") == Granted(Secret("C"))
    assert said(f"?code=C&state={STATE}") == Refused.SHAPE


@pytest.mark.parametrize("pairs", list(permutations(["code=C", f"state={STATE}", f"iss={ISSUER}", "scope=a+b"])))
def test_the_order_of_parameters_does_not_matter(pairs: tuple[str, ...]) -> None:
    assert said("&".join(pairs)) == Granted(Secret("C"))


# What is given twice


@given(
    st.sampled_from(["code", "state", "error", "iss"]).flatmap(
        lambda name: st.tuples(
            st.just({"code": "C", "state": STATE, "error": "access_denied", "iss": ISSUER}[name]),
            in_any_encoding(name),
            in_any_encoding(name),
        )
    ),
    st.sampled_from(["", "other", None]),
    st.booleans(),
)
def test_a_parameter_given_twice_is_refused_however_it_is_spelt(
    given_twice: tuple[str, str, str], second: str | None, swapped: bool
) -> None:
    value, one, other = given_twice
    twice = [f"{one}={value}", f"{other}={value if second is None else second}"]
    rest = [pair for pair in ("code=C", f"state={STATE}") if value not in pair.split("=")]
    query = "&".join([*rest, *(reversed(twice) if swapped else twice)])
    assert isinstance(said(query), Refused), query


@pytest.mark.parametrize(
    "spelt",
    [str.upper, str.title, *[odd.format for odd in ("{}[]", "{}%00", "+{}", "{}+", "%EF%BB%BF{}", "{}%CC%81", "x{}")]],
)
def test_a_name_that_only_looks_like_ours_says_nothing(spelt: Callable[[str], str]) -> None:
    assert said(f"{spelt('code')}=EVIL&state={STATE}") == Refused.SHAPE
    assert said(f"{spelt('code')}=EVIL&{GOOD}") == Granted(Secret("C"))
    assert said(f"code=C&{spelt('state')}={STATE}") == Refused.STATE
    assert said(f"{GOOD}&{spelt('iss')}=https://evil.example&{spelt('error')}=x") == Granted(Secret("C"))


@pytest.mark.parametrize("count", [64, 65, 5000])
def test_only_so_many_parameters_are_looked_at(count: int) -> None:
    query = "&".join([GOOD, *["x"] * (count - 2)])
    assert said(query) == (Granted(Secret("C")) if count == 64 else Refused.SHAPE)


# Issuers and errors


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "https://id.kick.com/",
        "https://ID.kick.com",
        "HTTPS://id.kick.com",
        "http://id.kick.com",
        "https://id.kick.com:443",
        "https://id.kick.com.",
        "https://id.kick.com.evil.example",
        "https://kick.com",
        "https://evil.example/https://id.kick.com",
        "https://id.kick.com@evil.example",
        "https://id.kick.com?x",
        "https://id.kick.com#",
        " https://id.kick.com",
        "https://id.kick.com\n",
        "https://id.kick.com\0",
        "https%3A%2F%2Fid.kick.com",
        "id.kick.com",
        "https://іd.kick.com",
    ],
)
@pytest.mark.parametrize("rest", ["code=C", "error=access_denied"])
def test_an_issuer_is_the_same_to_the_letter_or_another(issuer: str, rest: str) -> None:
    end = said(f"{rest}&state={STATE}&iss={quote(issuer, safe='')}")
    assert isinstance(end, ForeignIssuer)
    assert end.issuer.isprintable()


def test_our_issuer_may_be_encoded_and_an_unread_one_is_cut() -> None:
    assert said(f"{GOOD}&iss={quote(ISSUER, safe='')}") == Granted(Secret("C"))
    end = said(f"{GOOD}&iss={'x' * 5000}%1B[2J")
    assert isinstance(end, ForeignIssuer)
    assert len(end.issuer) == 300


@pytest.mark.parametrize(
    ("query", "end"),
    [
        ("error=", Refused.SHAPE),
        ("error", Refused.SHAPE),
        ("error=&code=C", Granted(Secret("C"))),
        ("error=&error_description=x", Refused.SHAPE),
        ("error=access_denied", Denied("access_denied")),
        ("error=access_denied&error_description=", Denied("access_denied")),
        ("error=access_denied&error_description=No%0D%0Athanks", Denied("access_denied", "No thanks")),
        ("error=access_denied&error_description=%E2%80%AEevil", Denied("access_denied", "evil")),
        ("error=%7B0%7D+%25s&error_description=%25n%7Bx%7D", Denied("{0} %s", "%n{x}")),
        ("error=%00", Denied("")),
        ("error=access_denied&code=C", Denied("access_denied")),
        ("error=access_denied&code=", Denied("access_denied")),
        ("error_description=x", Refused.SHAPE),
        ("Error=access_denied", Refused.SHAPE),
    ],
)
def test_errors(query: str, end: object) -> None:
    assert said(f"{query}&state={STATE}") == end
    assert said(query) == Refused.STATE


@given(st.text(min_size=1), st.text())
def test_the_words_of_an_error_never_carry_more_than_one_short_line(error: str, description: str) -> None:
    end = said(
        f"error={quote(error, errors='replace')}&error_description={quote(description, errors='replace')}&state={STATE}"
    )
    assert isinstance(end, Denied)
    for words in (end.error, end.description):
        assert words.isprintable()
        assert len(words) <= 300
