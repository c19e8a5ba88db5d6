"""A simulated Kick: a pure state machine, the same in memory as an object, and over real HTTP.

    sandbox = Sandbox(small_world(rotation=Rotation.GRACE))
    async with serve(sandbox) as url:
        ...  # a client whose api_url and id_url are both `url`

Nothing here is Kick's: texts, tokens and people are made up, and behaviour that Kick does not document is a choice
(`Rules` says where). Simulated are the identity host, every operation of the API, and webhooks: what happens to a
channel is told to whoever has subscribed, and `deliver`, or `Sandbox.take_deliveries`, takes it to a receiver.
"""

from interpreters.sandbox.asgi import SandboxApp
from interpreters.sandbox.building import (
    Settings,
    banning,
    claiming,
    decided,
    following,
    gifting_kicks,
    gifting_subscriptions,
    going_live,
    going_offline,
    redeemed,
    renewing,
    subscribing,
    with_access_expired,
    with_ads,
    with_app,
    with_category,
    with_channel,
    with_claim,
    with_nothing_issued,
    with_reward,
    with_rules,
    with_subscriptions,
    with_user,
    without_subscriptions,
)
from interpreters.sandbox.deliveries import Fault, Outgoing
from interpreters.sandbox.delivering import Answered, deliver
from interpreters.sandbox.hosting import serve, serve_app
from interpreters.sandbox.machine import respond
from interpreters.sandbox.records import AdBreak, Ads, Ban, Claim, KicksGift, Redemption, Reward, Subscription
from interpreters.sandbox.rules import DeliveryFaults, Rotation, Rules
from interpreters.sandbox.shell import Before, Entry, Sandbox
from interpreters.sandbox.signing import Delivery, SigningKey
from interpreters.sandbox.simulated import Simulated
from interpreters.sandbox.small import OWNER, small_world
from interpreters.sandbox.visitor import ConsentForm, approve, click, click_through, read_form
from interpreters.sandbox.wire import Step
from interpreters.sandbox.world import Category, Channel, Due, Message, RegisteredApp, Stream, User, World

__all__ = [
    "OWNER",
    "AdBreak",
    "Ads",
    "Answered",
    "Ban",
    "Before",
    "Category",
    "Channel",
    "Claim",
    "ConsentForm",
    "Delivery",
    "DeliveryFaults",
    "Due",
    "Entry",
    "Fault",
    "KicksGift",
    "Message",
    "Outgoing",
    "Redemption",
    "RegisteredApp",
    "Reward",
    "Rotation",
    "Rules",
    "Sandbox",
    "SandboxApp",
    "Settings",
    "SigningKey",
    "Simulated",
    "Step",
    "Stream",
    "Subscription",
    "User",
    "World",
    "approve",
    "banning",
    "claiming",
    "click",
    "click_through",
    "decided",
    "deliver",
    "following",
    "gifting_kicks",
    "gifting_subscriptions",
    "going_live",
    "going_offline",
    "read_form",
    "redeemed",
    "renewing",
    "respond",
    "serve",
    "serve_app",
    "small_world",
    "subscribing",
    "with_access_expired",
    "with_ads",
    "with_app",
    "with_category",
    "with_channel",
    "with_claim",
    "with_nothing_issued",
    "with_reward",
    "with_rules",
    "with_subscriptions",
    "with_user",
    "without_subscriptions",
]
