"""A simulated Kick: a pure state machine, the same in memory as an object, and over real HTTP.

    sandbox = Sandbox(small_world(rotation=Rotation.GRACE))
    async with serve(sandbox) as url:
        ...  # a client whose api_url and id_url are both `url`

Nothing here is Kick's: texts, tokens and people are made up, and behaviour that Kick does not document is a choice
(`Rules` says where). Simulated so far: the identity host, users, channels, livestreams, categories and chat.
"""

from interpreters.sandbox.asgi import SandboxApp
from interpreters.sandbox.building import (
    Settings,
    going_live,
    going_offline,
    with_access_expired,
    with_app,
    with_category,
    with_channel,
    with_nothing_issued,
    with_rules,
    with_user,
)
from interpreters.sandbox.hosting import serve
from interpreters.sandbox.machine import respond
from interpreters.sandbox.shell import Before, Entry, Sandbox
from interpreters.sandbox.simulated import Simulated
from interpreters.sandbox.small import OWNER, small_world
from interpreters.sandbox.visitor import ConsentForm, approve, click, click_through, read_form
from interpreters.sandbox.wire import Step
from interpreters.sandbox.world import (
    Category,
    Channel,
    Message,
    RegisteredApp,
    Rotation,
    Rules,
    Stream,
    User,
    World,
)

__all__ = [
    "OWNER",
    "Before",
    "Category",
    "Channel",
    "ConsentForm",
    "Entry",
    "Message",
    "RegisteredApp",
    "Rotation",
    "Rules",
    "Sandbox",
    "SandboxApp",
    "Settings",
    "Simulated",
    "Step",
    "Stream",
    "User",
    "World",
    "approve",
    "click",
    "click_through",
    "going_live",
    "going_offline",
    "read_form",
    "respond",
    "serve",
    "small_world",
    "with_access_expired",
    "with_app",
    "with_category",
    "with_channel",
    "with_nothing_issued",
    "with_rules",
    "with_user",
]
