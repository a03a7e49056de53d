"""What schemathesis is told about the API beyond its document; loaded by it, started by schema.rs.

Its requests are made up, so hardly one of them would name a session that exists or carry a
description that parses. Here they get both, now and then."""

import itertools
import json
import os
import urllib.request
from pathlib import Path

import schemathesis

API = os.environ["FANFALL_API"]
SERVER, APP = API.split("/v1/apps/")
ACCOUNT = f"{SERVER}/client/v4/accounts/own/calls"
SDP = Path(os.environ["FANFALL_SDP"])

# Recorded descriptions of browsers, one after the other, and between them what was made up.
offers = itertools.cycle(
    [(SDP / f"{name}.sdp").read_bytes().decode() for name in (
        "chromium-publish-audio-video",
        "firefox-recvonly-audio-video",
        "chromium-publish-and-datachannel",
        "obs-publish",
    )]
)
turn = itertools.count()

# Requests that would wait 5 seconds for the transport of their session: one does.
waits = itertools.repeat(None, 1)


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def sdp(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Fills in what exists, before the request is sent."""
    parameters = case.path_parameters or {}
    if "app" in parameters:
        account = case.path.startswith("/client/")
        parameters["app"] = post(f"{ACCOUNT}/apps")["result"]["uid"] if account else APP
        if "webhook" in parameters and next(turn) % 2:
            parameters["webhook"] = webhook(parameters["app"])
        if case.path.endswith("/webhooks") and body(case) and next(turn) % 2:
            case.body = {**case.body, "url": "https://example.com/"}
    if case.method == "POST" and "/whip/" in case.path or "sessionDescription" in body(case):
        if next(turn) % 2:
            describe(case)
    if "session" not in parameters:
        return
    if "/sessions/" in case.path:
        waiting = case.path.endswith("datachannels/new")
        if not waiting or next(waits, True) is None:
            parameters["session"] = post(f"{API}/sessions/new")["sessionId"]
    elif "/whip/" in case.path and next(turn) % 2:
        stream = f"s{next(turn)}"
        parameters |= {"stream": stream, "session": published(stream)}


def body(case):
    return case.body if isinstance(case.body, dict) else {}


def describe(case):
    """Puts a recorded offer where the request has a description."""
    if isinstance(case.body, dict):
        case.body = {**case.body, "sessionDescription": {"type": "offer", "sdp": next(offers)}}
        if case.path.endswith("establish"):
            case.body["dataChannel"] = {"location": "remote", "dataChannelName": "server-events"}
    else:
        case.body = next(offers)


def post(url, data=b"", kind="application/json"):
    secret = os.environ["FANFALL_ACCOUNT_TOKEN" if url.startswith(ACCOUNT) else "FANFALL_SECRET"]
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": kind}
    request = urllib.request.Request(url, data, headers, method="POST")
    with urllib.request.urlopen(request) as reply:
        text = reply.read()
        return json.loads(text) if kind == "application/json" else reply.headers


def webhook(app):
    """The id of a webhook of an app in which nothing happens."""
    url = f"{ACCOUNT}/apps/{app}/webhooks"
    return post(url, b'{"url": "https://example.com/"}')["result"]["id"]


def published(stream):
    """The id of a session that publishes a stream, as far as descriptions go."""
    offer = (SDP / "obs-publish.sdp").read_bytes()
    return post(f"{API}/whip/{stream}", offer, "application/sdp")["Location"].rsplit("/", 1)[1]
