"""The consent page. Everything that comes from a request or from the world is escaped."""

from html import escape
from typing import Final

from interpreters.sandbox.oauth.asking import Asking
from interpreters.sandbox.wire import Headers
from interpreters.sandbox.world import World
from kickcore.http import Response

# No `form-action`: browsers apply it to the redirect that follows the form, and would keep the user from the callback.
_HEADERS: Final[Headers] = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Authorize {app} (sandbox)</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem; }}
label {{ display: block; margin: .3rem 0; }}
button {{ font: inherit; padding: .4rem 1.2rem; margin: 1rem .5rem 0 0; }}
small {{ color: #666; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>{app} asks for access</h1>
<p><small>This is kickcore's sandbox, not Kick. You will be sent to {redirect_uri}</small></p>
<form method="post" action="/oauth/authorize">
{hidden}
<label>Sign in as <select name="user_id">
{users}
</select></label>
<fieldset>
<legend>It may</legend>
{scopes}
</fieldset>
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>
</body>
</html>
"""


def consent_page(world: World, ask: Asking) -> Response:
    """The page where the user chooses who they are, what they grant, and whether at all."""
    hidden = "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in ask.given
    )
    users = "\n".join(
        f'<option value="{user.user_id}">{escape(user.name)} ({user.user_id})</option>'
        for _, user in sorted(world.users.items())
    )
    scopes = "\n".join(
        f'<label><input type="checkbox" name="granted" value="{escape(scope)}" checked> {escape(scope)}</label>'
        for scope in ask.scopes
    )
    page = _PAGE.format(
        app=escape(ask.app.name),
        redirect_uri=escape(ask.redirect_uri),
        hidden=hidden,
        users=users,
        scopes=scopes,
    )
    return Response(200, _HEADERS, page.encode())
