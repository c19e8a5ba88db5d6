"""A simulated Kick: a pure state machine, the same in memory as an object, and over real HTTP.

    sandbox = Sandbox(small_world(rotation=Rotation.GRACE))
    async with serve(sandbox) as url:
        ...  # a client whose api_url and id_url are both `url`

Nothing here is Kick's: texts, tokens and people are made up, and behaviour that Kick does not document is a choice
(`Rules` says where). Simulated are the identity host and every operation of the API; webhooks are not delivered yet.
"""

from interpreters.sandbox.asgi import SandboxApp
from interpreters.sandbox.building import (
    Settings,
    gifting_kicks,
    going_live,
    going_offline,
    redeemed,
    with_access_expired,
    with_ads,
    with_app,
    with_category,
    with_channel,
    with_claim,
    with_nothing_issued,
    with_reward,
    with_rules,
    with_user,
)
from interpreters.sandbox.hosting import serve
from interpreters.sandbox.machine import respond
from interpreters.sandbox.records import AdBreak, Ads, Ban, Claim, KicksGift, Redemption, Reward, Subscription
from interpreters.sandbox.rules import Rotation, Rules
from interpreters.sandbox.shell import Before, Entry, Sandbox
from interpreters.sandbox.simulated import Simulated
from interpreters.sandbox.small import OWNER, small_world
from interpreters.sandbox.visitor import ConsentForm, approve, click, click_through, read_form
from interpreters.sandbox.wire import Step
from interpreters.sandbox.world import Category, Channel, Message, RegisteredApp, Stream, User, World

__all__ = [
    "OWNER",
    "AdBreak",
    "Ads",
    "Ban",
    "Before",
    "Category",
    "Channel",
    "Claim",
    "ConsentForm",
    "Entry",
    "KicksGift",
    "Message",
    "Redemption",
    "RegisteredApp",
    "Reward",
    "Rotation",
    "Rules",
    "Sandbox",
    "SandboxApp",
    "Settings",
    "Simulated",
    "Step",
    "Stream",
    "Subscription",
    "User",
    "World",
    "approve",
    "click",
    "click_through",
    "gifting_kicks",
    "going_live",
    "going_offline",
    "read_form",
    "redeemed",
    "respond",
    "serve",
    "small_world",
    "with_access_expired",
    "with_ads",
    "with_app",
    "with_category",
    "with_channel",
    "with_claim",
    "with_nothing_issued",
    "with_reward",
    "with_rules",
    "with_user",
]
