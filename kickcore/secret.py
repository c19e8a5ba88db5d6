"""Text that must not be seen: tokens, client secrets, authorization codes, PKCE verifiers, state."""

import re
from base64 import b64encode
from collections.abc import Iterable
from hmac import compare_digest
from typing import Final, NoReturn, Self, final
from urllib.parse import quote

SHORTEST_SECRET: Final = 4
"""Characters. What is shorter is no secret, and would only take letters out of words."""
LONG_SECRET: Final = 16
"""Characters of a secret whose beginning alone, of eight characters, tells it from all else."""

_URL_SAFE: Final = str.maketrans("+/", "-_")


@final
class Secret:
    """A secret text. It never shows itself: not in `repr`, `str`, `format`, JSON, pickles or tracebacks.

    `reveal()` is the only way to the text, so a search for that word finds every place that sees one.
    Two secrets are equal when their texts are (compared in constant time); a secret is never equal to a `str`.
    """

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> Self:
        made = object.__new__(cls)
        object.__setattr__(made, "_text", text)
        return made

    def reveal(self) -> str:
        """The text itself. Send it or store it; do not log it or put it in an exception."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass"))

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "Secret('…')" if self._text else "Secret('')"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled; reveal() it where it must be stored")

    def __reduce__(self) -> NoReturn:
        self.__reduce_ex__(0)

    def __getstate__(self) -> NoReturn:
        # What pickles by other means looks for it, and what every object has would show the text.
        self.__reduce_ex__(0)


NO_SECRET: Final = Secret("")


def without_secrets(text: str, secrets: Iterable[Secret]) -> str:
    """A text from outside with "…" for each of `secrets`, also where it is percent-encoded, in base64, or cut short.

    A server may repeat what it was sent, and error texts are for logs.
    """
    texts = {secret.reveal() for secret in secrets}
    # The longest first: one may begin with another.
    longest_first = sorted((secret for secret in texts if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)
    small = text.lower()
    patterns = [
        re.escape(beginning) + more
        for secret in longest_first
        for beginning, more in _disguises(secret)
        if beginning in text or beginning.lower() in small
    ]
    return re.sub("|".join(patterns), "…", text, flags=re.IGNORECASE) if patterns else text


def _disguises(secret: str) -> list[tuple[str, str]]:
    """How a secret may begin in a text, each with a pattern for what may follow."""
    whole = [(secret, ""), (quote(secret, safe="", errors="surrogatepass"), "")]
    if len(secret) < LONG_SECRET:
        return whole
    octets = secret.encode("utf-8", "surrogatepass")
    # What was before it in the packed text decides where its own letters begin.
    packed = {b64encode(bytes(before) + octets).decode()[-(-before * 8 // 6) :][:10] for before in range(3)}
    packed |= {shown.translate(_URL_SAFE) for shown in packed}
    return [*whole, (secret[:8], r"[\w.~+/=%-]*"), *((shown, r"[\w+/=-]*") for shown in packed)]
