"""A user who clicks: what a browser would send from the consent page, in memory and over HTTP."""

from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urljoin, urlsplit

from msgspec import Struct

from kickcore.errors import LoginError
from kickcore.http import Pairs, Request, Response, Unreachable
from kickcore.secret import Secret

if TYPE_CHECKING:
    import httpx2

InMemory = Callable[[Request], Response | Unreachable]
"""`Sandbox.handle`, or anything that answers like it."""

SEE_OTHER: Final = frozenset({302, 303})


class ConsentForm(Struct, frozen=True):
    """The form of a consent page: where it goes, what it holds unseen, and what can be chosen."""

    action: str
    hidden: tuple[tuple[str, str], ...]
    users: tuple[int, ...]
    scopes: tuple[str, ...]


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.action: str | None = None
        self.hidden: list[tuple[str, str]] = []
        self.users: list[int] = []
        self.scopes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        match tag, held.get("type"):
            case "form", _:
                self.action = held.get("action", "")
            case "option", _:
                self.users.append(int(held["value"]))
            case "input", "hidden":
                self.hidden.append((held["name"], held.get("value", "")))
            case "input", "checkbox":
                self.scopes.append(held["value"])
            case _:
                pass


def read_form(page: str) -> ConsentForm:
    """The form in a consent page of the sandbox. Raises `LoginError` if there is none."""
    reader = _FormReader()
    reader.feed(page)
    reader.close()
    if reader.action is None:
        raise LoginError("the page holds no form; it is not the sandbox's consent page")
    return ConsentForm(reader.action, tuple(reader.hidden), tuple(reader.users), tuple(reader.scopes))


def click(form: ConsentForm, *, user_id: int | None = None, untick: Iterable[str] = (), deny: bool = False) -> Pairs:
    """The fields that a browser sends when the user signs in, unticks some scopes and presses a button.

    The user is the page's first unless given. Raises `LoginError` for a user or a scope that the page does not offer.
    """
    unticked = {str(scope) for scope in untick}
    if not unticked.issubset(form.scopes):
        raise LoginError(f"the page does not offer {', '.join(sorted(unticked.difference(form.scopes)))}")
    if user_id is not None and user_id not in form.users:
        raise LoginError(f"the page does not offer to sign in as {user_id}")
    user = user_id if user_id is not None else next(iter(form.users), 0)
    ticked = tuple(("granted", scope) for scope in form.scopes if scope not in unticked)
    return (*form.hidden, ("user_id", str(user)), *ticked, ("decision", "deny" if deny else "allow"))


def approve(
    authorize_url: str | Secret,
    send: InMemory,
    *,
    user_id: int | None = None,
    untick: Iterable[str] = (),
    deny: bool = False,
) -> str:
    """Go through the consent page in memory and give the address that the browser would be sent to.

    `send` is `Sandbox.handle`. `untick` are scopes that the user does not grant; with `deny` they grant none. Raises
    `LoginError` if there is no such page.
    """
    parts = urlsplit(_shown(authorize_url))
    page_url = parts._replace(query="", fragment="").geturl()
    page = send(Request("GET", page_url, query=tuple(parse_qsl(parts.query, keep_blank_values=True))))
    form = read_form(_success(page, "the consent page").body.decode())
    pairs = click(form, user_id=user_id, untick=untick, deny=deny)
    answer = send(Request("POST", urljoin(page_url, form.action), form=pairs))
    if isinstance(answer, Unreachable) or answer.status not in SEE_OTHER:
        raise LoginError(f"the decision was not taken: {answer!r}")
    return answer.header("location") or ""


def _shown(url: str | Secret) -> str:
    return url.reveal() if isinstance(url, Secret) else url


def _success(answer: Response | Unreachable, what: str) -> Response:
    if isinstance(answer, Unreachable) or answer.status != 200:
        raise LoginError(f"{what} did not come: {answer!r}")
    return answer


async def click_through(
    url: str | Secret,
    *,
    http: "httpx2.AsyncClient",
    user_id: int | None = None,
    untick: Iterable[str] = (),
    deny: bool = False,
) -> None:
    """Go through the consent page over HTTP, as a browser would, and on to the callback.

    The arguments are those of `approve`. Raises `LoginError` if the page or the decision is refused; what the callback
    answers is not looked at. No cookies and no scripts are involved.
    """
    page = await http.get(_shown(url), follow_redirects=False)
    if page.status_code != 200:
        raise LoginError(f"the consent page did not come: status {page.status_code}")
    form = read_form(page.text)
    # As a list of one value or many for each name, because that is how httpx2 takes a form.
    fields: dict[str, list[str]] = {}
    for name, value in click(form, user_id=user_id, untick=untick, deny=deny):
        fields.setdefault(name, []).append(value.reveal() if isinstance(value, Secret) else value)
    answer = await http.post(urljoin(str(page.url), form.action), data=fields, follow_redirects=False)
    if answer.status_code not in SEE_OTHER:
        raise LoginError(f"the decision was not taken: status {answer.status_code}")
    await http.get(answer.headers["location"], follow_redirects=False)
