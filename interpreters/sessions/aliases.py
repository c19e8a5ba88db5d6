"""Secrets as variables: a line of a session holds `«at:2»` where a program saw the second access token.

An alias is a role and a number, in the order of first sight. Equality survives, the text does not. A literal `«` is
doubled.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final, Literal, cast
from urllib.parse import quote, quote_plus

import msgspec

ROLES: Final[Mapping[str, str]] = {
    "at": "access token",
    "rt": "refresh token",
    "cs": "client secret",
    "code": "authorization code",
    "ver": "PKCE code verifier",
    "chal": "PKCE code challenge",
    "state": "state of a login",
    "id": "ID token",
    "email": "e-mail address",
    "key": "stream key",
    "url": "address of a stream's ingest",
    "odd": "a text in the place of a token that can be none",
    "v": "version of a stored token",
    "sec": "another secret",
    "pack": "something that holds a secret in base64 or in hexadecimal",
}
"""What the aliases of a session stand for."""

SHORTEST: Final = 6
"""Characters; a secret that is shorter is replaced only where it is a whole text."""
WORD: Final = 12
"""Characters; the same for a secret that is shorter than this and has no letters, or no digits."""

OPEN: Final = "«"
_OPEN: Final = OPEN.encode()
ALIAS: Final = re.compile(rb"\xc2\xab(?:\xc2\xab|([a-z]{1,5}):(\d{1,9})\xc2\xbb)")
ALIAS_TEXT: Final = re.compile("«(?:«|([a-z]{1,5}):([0-9]{1,9})»)")

_TOKENS: Final = frozenset({"at", "rt"})
_TOKEN: Final = re.compile(r"[\x21-\x7E]+")
_PACKED: Final = r"[A-Za-z0-9+/_=-]*"


def fake(alias: str, size: int) -> str:
    """What a replay uses for a secret: it says what it is, no scanner takes it for one, and it is as long."""
    role, _, number = alias.partition(":")
    if role == "email":
        return f"fake-email-{number}@example.invalid"
    if role == "url":
        return f"rtmps://fake-url-{number}.example.invalid/app"
    # What was no token for a program shall be none in a replay.
    name = f"fake {role} {number}" if role == "odd" else f"fake-{role}-{number}"
    return name if size <= len(name) else f"{name}-{'x' * (size - len(name) - 1)}"


class Disguise:
    """Finds secrets in what is to be written, and puts aliases in their place.

    `see` is told of every secret as soon as it is known. What is hidden once is hidden in every form: as it is,
    escaped for JSON, HTML, a query or a form, in base64 (whatever stands around it) and in hexadecimal.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._forms: list[tuple[str, str]] = []
        self._words: list[tuple[str, str]] = []
        self._numbers: list[tuple[str, str]] = []
        self._packed: list[str] = []
        self.sizes: dict[str, int] = {}

    def see(self, role: str, text: str) -> None:
        """Learn a secret."""
        if not text or text in self._names:
            return
        if role in _TOKENS and not _TOKEN.fullmatch(text):
            role = "odd"
        number = self._counts[role] = self._counts.get(role, 0) + 1
        alias = f"{role}:{number}"
        self._names[text] = alias
        self.sizes[alias] = len(text)
        shown = f"«{alias}»"
        if _is_like_a_word(text):
            self._words = [*self._words, (_in_json(text.replace(OPEN, OPEN * 2)), shown)]
            return
        if _NUMERIC.fullmatch(text):
            self._numbers = [*self._numbers, *((_doubled(form), shown) for form in written_forms(text))]
            self._packed = [*self._packed, *packed_forms(text)]
            return
        forms = [*self._forms, *((_doubled(form), shown) for form in written_forms(text))]
        # The longest first: one may begin with another. Put in place at once, because another thread may hide a line.
        self._forms = sorted(forms, key=lambda form: -len(form[0]))
        self._packed = [*self._packed, *packed_forms(text)]

    def hide(self, line: str) -> str:
        """A line of JSON without the secrets known so far."""
        if OPEN in line:
            line = line.replace(OPEN, "««")
        for packed in self._packed:
            if packed in line:
                line = self._without_packed(line, packed)
        for form, shown in self._forms:
            if form in line:
                line = _replaced(line, form, shown)
        for number, shown in self._numbers:
            if number in line:
                # Not where it is a number, or part of one.
                line = _STRING.sub(lambda found, n=number, s=shown: _in_value(found, n, s), line)
        for word, shown in self._words:
            if word in line:
                line = _STRING.sub(lambda found, w=word, s=shown: _as_whole(found, w, s), line)
        return line

    def _without_packed(self, line: str, packed: str) -> str:
        """Replace the whole run that a packed form is part of: to cut it in the middle would leave nonsense."""
        for found in re.findall(_PACKED + re.escape(packed) + _PACKED, line):
            name = self._names.get(found)
            if name is None:
                number = self._counts["pack"] = self._counts.get("pack", 0) + 1
                name = self._names[found] = f"pack:{number}"
                self.sizes[name] = len(found)
            line = line.replace(found, f"«{name}»")
        return line

    def leaks(self, text: str) -> list[str]:
        """The aliases of those known secrets that a finished text still holds in any form."""
        found = {shown.strip("«»") for form, shown in self._forms if form in text}
        strings = " ".join(string[0] for string in _STRING.finditer(text) if not string[1]) if self._numbers else ""
        found |= {shown.strip("«»") for number, shown in self._numbers if number in strings}
        found |= {"pack" for packed in self._packed if packed in text}
        return sorted(found)


_NUMERIC: Final = re.compile(r"[0-9.,:eE+-]+")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"(:?)')
"""A text in a line of JSON, and whether it is the name of a member."""


def _is_like_a_word(text: str) -> bool:
    """Whether it is too much like a word or a small number to be taken out of the middle of a text."""
    kinds = any(letter.isdigit() for letter in text) + any(letter.isalpha() for letter in text)
    return len(text) < SHORTEST or (len(text) < WORD and kinds < 2)


def _in_value(found: "re.Match[str]", form: str, shown: str) -> str:
    return found[0] if found[1] else _replaced(found[0], form, shown)


def _as_whole(found: "re.Match[str]", word: str, shown: str) -> str:
    """A text in a line with `shown` for a word that is all of it, or all of a value where it is JSON itself."""
    if found[1]:
        return found[0]
    inner = found[0][1:-1]
    if inner == word:
        return f'"{shown}"'
    if "\\" not in inner:
        return found[0]
    escaped = re.escape(word.replace("\\", "\\\\").replace('"', '\\"'))
    return re.sub(rf'([:\[,]\s*\\"){escaped}(?=\\"(?!\s*:))', lambda value: value[1] + shown, found[0])


def _replaced(line: str, form: str, shown: str) -> str:
    """`line` with `shown` for each `form`, but for one that begins inside of an escape: that is other text."""
    if "\\" not in line:
        return line.replace(form, shown)
    parts, done, at = list[str](), 0, line.find(form)
    while at >= 0:
        if _is_in_an_escape(line, at):
            at = line.find(form, at + 1)
        else:
            parts += [line[done:at], shown]
            done = at + len(form)
            at = line.find(form, done)
    return "".join([*parts, line[done:]])


def _is_in_an_escape(line: str, at: int) -> bool:
    before = line[max(at - 40, 0) : at]
    unicode = re.search(r"(\\+)u[0-9a-fA-F]{0,3}\Z", before)
    backslashes = unicode[1] if unicode else before[len(before.rstrip("\\")) :]
    return len(backslashes) % 2 == 1


def _doubled(form: str) -> str:
    """A form as a line has it, in which each `«` is doubled."""
    return form.replace(OPEN, OPEN * 2)


def _in_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


def written_forms(text: str) -> list[str]:
    """How a text may be written where texts are: each form once."""
    quoted = quote(text, safe="", errors="surrogatepass")
    plus = quote_plus(text, errors="surrogatepass")
    forms = [text, _in_json(text), text.replace("/", "\\/"), quoted, plus, quote(text, errors="surrogatepass")]
    forms += [re.sub("%..", lambda octet: octet[0].lower(), form) for form in (quoted, plus)]
    forms += [quote(quoted, safe=""), escape(text), _go_escaped(text)]
    return list(dict.fromkeys(form for form in forms if form))


def _go_escaped(text: str) -> str:
    """As Go's encoder writes it: Kick's servers are written in Go."""
    return "".join(f"\\u{ord(letter):04x}" if letter in "<>&" else letter for letter in text)


def packed_forms(text: str) -> list[str]:
    """What of a text is sure to stand in base64 (both alphabets) or hexadecimal, whatever stands around it."""
    octets = text.encode("utf-8", "surrogatepass")
    forms: list[str] = []
    for before in range(3):
        # The letters at either end also depend on what stands beside.
        whole = b64encode(bytes(before) + octets).decode().rstrip("=")
        start = -(-before * 8 // 6)
        whole = whole[start : len(whole) - (1 if (len(octets) + before) % 3 else 0)]
        forms += [whole, whole.translate(_URL_SAFE)]
    if len(octets) >= SHORTEST:
        forms += [octets.hex(), octets.hex().upper()]
    return [form for form in dict.fromkeys(forms) if len(form) >= SHORTEST]


_URL_SAFE: Final = str.maketrans("+/", "-_")


# What looks like a secret though nobody has named it.

_RUN: Final = re.compile(r"[A-Za-z0-9+/_=.~-]{32,}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z", re.IGNORECASE)
OPEN_MEMBERS: Final = frozenset({"next_cursor", "cursor", "public_key", "etag", "seed"})
"""Members of Kick's answers that are long, look like chance, and are public."""


def suspicious(value: object, pointer: str = "", member: str = "") -> Iterable[str]:
    """The JSON pointers of texts in a decoded line that look like secrets: long, and as if by chance."""
    if isinstance(value, str):
        if member not in OPEN_MEMBERS and _looks_secret(value):
            yield pointer
    elif isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from suspicious(item, f"{pointer}/{key}", key)
    elif isinstance(value, list):
        items = cast("list[object]", value)
        # A member of a query, a form or a header is a pair.
        name = items[0] if len(items) == 2 and isinstance(items[0], str) else member
        for number, item in enumerate(items):
            yield from suspicious(item, f"{pointer}/{number}", name if number == 1 else member)


def _looks_secret(text: str) -> bool:
    if len(text) < 32 or "-----BEGIN PUBLIC KEY" in text:
        return False
    address, _, query = text.partition("?")
    # The path of an address is public; what stands in its query may not be.
    looked_at = query if "://" in address else text
    return any(_is_by_chance(run) for run in _RUN.findall(ALIAS_TEXT.sub(" ", looked_at)))


def _is_by_chance(run: str) -> bool:
    if _UUID.match(run):
        return False
    kinds = any(letter.isdigit() for letter in run) + any(letter.isalpha() for letter in run)
    # Words in a row have a hyphen, an underscore, a dot or a slash every few letters.
    longest = max(len(part) for part in re.split(r"[-_./]", run))
    return kinds == 2 and longest >= 16 and len(set(run)) >= 14


# Replay


class Clash(Exception):
    """A text and an alias do not fit together. `recorded` and `used` are aliases, or a text that is no secret."""

    def __init__(self, recorded: str, used: str) -> None:
        super().__init__(f"recorded {recorded}, this run used {used}")
        self.recorded = recorded
        self.used = used


class Bindings:
    """What each alias stands for in one replay, one to one: bound by the program, or a fake that the replay makes."""

    def __init__(self, sizes: Mapping[str, int] | None = None) -> None:
        self.sizes: dict[str, int] = dict(sizes or {})
        self._texts: dict[str, str] = {}
        self._octets: dict[bytes, bytes] = {}
        self._names: dict[str, str] = {}
        self.version: int = 0
        """Grows with each alias that is bound."""

    def bind(self, alias: str, text: str) -> None:
        """Let `alias` stand for `text`. Raises `Clash` if either stands for something else."""
        bound, name = self._texts.get(alias), self._names.get(text)
        if bound == text:
            return
        if bound is not None or name is not None:
            raise Clash(alias, name or "a text that is no secret of the recording")
        self._texts[alias] = text
        role, _, number = alias.partition(":")
        self._octets[f"{role}:{number}".encode()] = _in_json(text).encode()
        self._names[text] = alias
        self.version += 1

    def name_of(self, text: str) -> str | None:
        """The alias that stands for a text, if one does."""
        return self._names.get(text)

    def text_of(self, alias: str) -> str | None:
        """What an alias stands for, if anything yet."""
        return self._texts.get(alias)

    def made_up(self, alias: str) -> str:
        """What an alias stands for; a fake if it stands for nothing yet."""
        text = self._texts.get(alias)
        if text is None:
            text = fake(alias, self.sizes.get(alias, 0))
            self.bind(alias, text)
        return text

    def shown(self, raw: bytes) -> bytes:
        """JSON with texts in place of its aliases: an answer, on its way to the program."""
        if _OPEN not in raw:
            return raw
        return ALIAS.sub(self._put_in, raw)

    def _put_in(self, found: "re.Match[bytes]") -> bytes:
        name = found[0][2:-2]
        known = self._octets.get(name)
        if known is not None:
            return known
        if found[1] is None:
            return _OPEN
        alias = name.decode()
        return _in_json(self.made_up(alias)).encode()

    def known(self, raw: bytes) -> bytes | None:
        """JSON with texts in place of its aliases, or None if one of them stands for nothing yet."""
        if _OPEN not in raw:
            return raw
        octets = self._octets
        parts = raw.split(_OPEN)
        if len(parts) == 2:
            # By far the most frequent: one secret, the bearer.
            name, _, rest = parts[1].partition(b"\xc2\xbb")
            text = octets.get(name)
            return None if text is None else parts[0] + text + rest
        for found in ALIAS.finditer(raw):
            if found[1] is not None and found[0][2:-2] not in octets:
                return None
        return ALIAS.sub(self._put_in, raw)

    def hidden(self, text: str) -> str:
        """A text for people, with aliases in place of what they stand for."""
        text = text.replace(OPEN, OPEN * 2)
        for known, alias in sorted(self._names.items(), key=lambda item: -len(item[0])):
            if known and known in text:
                text = text.replace(known, f"«{alias}»")
        return text

    def unify(self, recorded: str, used: str) -> None:
        """Let a text with aliases and one of this run be the same. Raises `Clash` if they cannot be."""
        if OPEN not in recorded:
            if recorded != used:
                raise Clash(recorded, used)
            return
        self._unify_parts(recorded, used)

    def _unify_parts(self, recorded: str, used: str) -> None:
        pattern, free, last = "", list[str](), 0
        whole: Literal[True] | None = True if _whole_alias(recorded) else None
        for found in ALIAS_TEXT.finditer(recorded):
            pattern += re.escape(recorded[last : found.start()])
            last = found.end()
            if found[1] is None:
                pattern += OPEN
                continue
            alias = found[0][1:-1]
            text = self._texts.get(alias)
            if text is not None and whole:
                if text != used:
                    raise Clash(alias, self._names.get(used) or "another text")
                return
            if text is not None:
                pattern += re.escape(text)
            else:
                free.append(alias)
                pattern += "(.+)" if whole else "([^&?#\"'\\s]+?)"
        pattern += re.escape(recorded[last:])
        matched = re.fullmatch(pattern, used, re.DOTALL)
        if matched is None:
            raise Clash(self._first_clash(recorded, used), self._name_inside(used))
        for alias, text in zip(free, matched.groups(), strict=True):
            self.bind(alias, text)

    def _first_clash(self, recorded: str, used: str) -> str:
        for found in ALIAS_TEXT.finditer(recorded):
            text = self._texts.get(found[0][1:-1])
            if found[1] is not None and text is not None and text not in used:
                return found[0][1:-1]
        return recorded

    def _name_inside(self, used: str) -> str:
        inside = [alias for text, alias in self._names.items() if text in used]
        return inside[0] if len(inside) == 1 else self.hidden(used)


def _whole_alias(text: str) -> bool:
    found = ALIAS_TEXT.fullmatch(text)
    return found is not None and found[1] is not None
