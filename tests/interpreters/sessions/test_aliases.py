"""Secrets in a line are replaced in every form, and come back as variables."""

import html
import json
import string
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreters.sessions.aliases import ALIAS_TEXT, ROLES, WORD, Bindings, Clash, Disguise, fake, suspicious

SECRET = "Zk3-q_T7+w/9x=Vb«R"
TOKENS = st.text(string.ascii_letters + string.digits + "-_.~+/=", min_size=6, max_size=60).filter(
    lambda text: len(text) >= WORD or (any(map(str.isdigit, text)) and any(map(str.isalpha, text)))
)


def written(secret: str) -> list[str]:
    """How a server, a proxy or a program may write a secret."""
    octets = secret.encode()
    return [
        secret,
        json.dumps(secret)[1:-1],
        secret.replace("/", "\\/"),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        quote(secret, safe="").lower() if secret.islower() else quote(secret, safe=""),
        quote(quote(secret, safe=""), safe=""),
        html.escape(secret),
        b64encode(octets).decode(),
        b64encode(b"id:" + octets).decode(),
        b64encode(b"someone:" + octets + b"!").decode(),
        urlsafe_b64encode(b"x" + octets).decode().rstrip("="),
        octets.hex(),
        octets.hex().upper(),
    ]


@given(TOKENS, TOKENS)
def test_a_secret_is_hidden_in_every_form_and_wherever_it_stands(secret: str, other: str) -> None:
    disguise = Disguise()
    disguise.see("rt", secret)
    disguise.see("at", other)
    for form in written(secret):
        text = form if "\\" in form else json.dumps(form)[1:-1]
        line = disguise.hide(f'{{"a":"before {text} after","b":"{text}"}}')
        assert not disguise.leaks(line)
        assert secret not in line.replace(other, "") or secret in other
        json.loads(line)


@given(st.text(max_size=40), TOKENS)
def test_what_was_hidden_comes_back_with_another_text_in_its_place(around: str, secret: str) -> None:
    disguise = Disguise()
    disguise.see("at", secret)
    line = json.dumps({"t": around.replace(secret, "") + secret + "|"}, ensure_ascii=False)
    hidden = disguise.hide(line)
    back = json.loads(Bindings(disguise.sizes).shown(hidden.encode()))["t"]
    assert back == json.loads(line)["t"].replace(secret, fake("at:1", len(secret)))


def test_a_literal_quotation_mark_is_doubled_and_is_no_alias() -> None:
    line = Disguise().hide('{"t":"«at:1» and «you»"}')
    assert line == '{"t":"««at:1» and ««you»"}'
    assert Bindings().shown(line.encode()).decode() == '{"t":"«at:1» and «you»"}'


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        (r'{"t":"\u00000000ab"}', r'{"t":"\u0000«at:1»"}'),
        (r'{"t":"\u000000ab"}', r'{"t":"\u000000ab"}'),
        (r'{"t":"\u00a10000ab"}', r'{"t":"\u00a1«at:1»"}'),
        (r'{"t":"\n0000ab"}', r'{"t":"\n«at:1»"}'),
        (r'{"t":"\\u0000ab"}', r'{"t":"\\u«at:1»"}'),
        (r'{"t":"\\0000ab"}', r'{"t":"\\«at:1»"}'),
    ],
)
def test_an_escape_is_not_torn(line: str, hidden: str) -> None:
    disguise = Disguise()
    disguise.see("at", "0000ab")
    assert disguise.hide(line) == hidden


@pytest.mark.parametrize("secret", ["123456789012", "1795591915.431121"])
def test_a_secret_of_digits_is_hidden_in_texts_and_numbers_stay_numbers(secret: str) -> None:
    disguise = Disguise()
    disguise.see("at", secret)
    line = disguise.hide(f'{{"t":123456789012,"d":[123456789012],"{secret}":1,"x":"so {secret}!"}}')
    assert line == f'{{"t":123456789012,"d":[123456789012],"{secret}":1,"x":"so «at:1»!"}}'
    assert not disguise.leaks('{"t":123456789012}')
    assert disguise.leaks(f'{{"x":"{secret}"}}') == ["at:1"]


def test_a_longer_secret_goes_before_one_that_it_begins_with() -> None:
    disguise = Disguise()
    disguise.see("at", "token-one-1")
    disguise.see("rt", "token-one-1-and-more")
    assert disguise.hide('{"a":"token-one-1-and-more","b":"token-one-1"}') == '{"a":"«rt:1»","b":"«at:1»"}'


@pytest.mark.parametrize("word", ["abc", "id", "secret", "r2"])
def test_what_looks_like_a_word_is_hidden_only_where_it_is_a_whole_value(word: str) -> None:
    disguise = Disguise()
    disguise.see("cs", word)
    line = disguise.hide(f'{{"{word}":["{word}","no {word} here"],"x":"{word}"}}')
    assert line == f'{{"{word}":["«cs:1»","no {word} here"],"x":"«cs:1»"}}'


def test_base64_that_holds_a_secret_goes_as_a_whole() -> None:
    disguise = Disguise()
    disguise.see("cs", SECRET)
    basic = b64encode(f"client:{SECRET}".encode()).decode()
    assert disguise.hide(f'{{"a":"Basic {basic}"}}') == '{"a":"Basic «pack:1»"}'
    assert disguise.sizes["pack:1"] == len(basic)


def test_equal_secrets_have_one_alias_and_each_role_counts_for_itself() -> None:
    disguise = Disguise()
    for role, text in (("at", "aaaa-1"), ("rt", "rrrr-1"), ("at", "aaaa-2"), ("rt", "aaaa-1"), ("at", "")):
        disguise.see(role, text)
    assert disguise.sizes == {"at:1": 6, "rt:1": 6, "at:2": 6}


def test_a_fake_says_what_it_is_and_is_as_long_as_what_it_stands_for() -> None:
    assert fake("at:12", 20) == "fake-at-12-xxxxxxxxx"
    assert fake("at:1", 3) == "fake-at-1"
    assert fake("email:2", 5).endswith("@example.invalid")
    assert fake("url:1", 5).startswith("rtmps://")
    assert all(ALIAS_TEXT.fullmatch(f"«{role}:1»") for role in ROLES)


def test_an_alias_is_bound_once_and_to_one_text() -> None:
    bindings = Bindings()
    bindings.bind("at:1", "one")
    bindings.bind("at:1", "one")
    with pytest.raises(Clash, match="recorded at:1"):
        bindings.bind("at:1", "two")
    with pytest.raises(Clash, match="recorded at:2, this run used at:1"):
        bindings.bind("at:2", "one")


def test_a_text_is_unified_with_an_alias_inside_of_it() -> None:
    bindings = Bindings()
    bindings.unify(
        "https://id/authorize?state=«state:1»&code_challenge=«chal:1»",
        "https://id/authorize?state=s1&code_challenge=c1",
    )
    assert (bindings.text_of("state:1"), bindings.text_of("chal:1")) == ("s1", "c1")
    bindings.unify("again «state:1» ««quoted»", "again s1 «quoted»")
    with pytest.raises(Clash):
        bindings.unify("again «state:1»", "again s2")


def test_the_fast_way_gives_nothing_where_an_alias_is_not_bound_yet() -> None:
    bindings = Bindings()
    assert bindings.known(b'{"a":1}') == b'{"a":1}'
    assert bindings.known('{"a":"«at:1»"}'.encode()) is None
    assert bindings.known('{"a":"«at:1»","b":"«at:2»"}'.encode()) is None
    bindings.bind("at:1", 'a"b')
    assert bindings.known('{"a":"«at:1»"}'.encode()) == b'{"a":"a\\"b"}'
    assert bindings.known('{"a":"««x»"}'.encode()) == '{"a":"«x»"}'.encode()


@pytest.mark.parametrize(
    "text",
    [
        "v1.local.Zk3qT7w9xVbR2mN8pL4sD6fG1hJ5kQ0y",
        "eyJhbGciOiJIUzI1NiJ9eyJzdWIiOiIxMjM0NTY3ODkwIn0",
        "https://hooks.example.com/in?signature=Zk3qT7w9xVbR2mN8pL4sD6fG1hJ5kQ0y",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_a_long_text_by_chance_is_suspicious(text: str) -> None:
    assert list(suspicious({"r": {"json": {"data": [{"x": text}]}}})) == ["/r/json/data/0/x"]
    assert list(suspicious({"q": {"form": [["x", text]]}})) == ["/q/form/0/1"]


@pytest.mark.parametrize(
    "text",
    [
        "213f6cc4-803c-4b0b-8d45-21f48b1dcb4d",
        "https://files.kick.com/images/user/676/profile_image/conversion/Zk3qT7w9xVbR2mN8pL4sD6fG1hJ5kQ0y.webp",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1",
        "a-long-title-of-several-words-and-the-number-2026-for-a-stream",
        "«at:1»",
        "fake-at-1-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ],
)
def test_what_is_long_and_public_is_not(text: str) -> None:
    assert not list(suspicious({"x": text}))


def test_members_that_are_public_by_name_are_not() -> None:
    text = "Zk3qT7w9xVbR2mN8pL4sD6fG1hJ5kQ0yZk3qT7w9xVbR"
    assert not list(suspicious({"pagination": {"next_cursor": text}, "headers": [["etag", text]]}))
