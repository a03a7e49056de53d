"""What every client written in Python shares: commands from the test, and the server's HTTP API.

The test writes one JSON object a line to standard input, `{"call": name, "arguments": [...]}`, and reads
one line for each, `{"value": ...}` or `{"error": text}`. The server's place and secret are in the
environment: FANFALL_API (down to the app's id) and FANFALL_SECRET. A refusal of the API is an exception.
"""

import json
import os
import sys
import traceback
import urllib.error
import urllib.request

# The commands that every client has.
COMMANDS = (
    *("version", "publish", "watch", "seen", "unwatch", "unpublish"),
    *("speak", "listen", "say", "heard"),
)


def serve(functions):
    """Calls functions by name until standard input ends."""
    # Libraries print; the replies have a stream of their own.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = {"value": functions[command["call"]](*command["arguments"])}
        except Exception:  # Whatever went wrong is the test's to judge.
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def api(method, path, body=None):
    """One request; the reply's body. Errors of the call and of single tracks are exceptions."""
    request = urllib.request.Request(
        os.environ["FANFALL_API"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": "Bearer " + os.environ["FANFALL_SECRET"],
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            reply = json.load(response)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from None
    for item in [reply, *reply.get("tracks", []), *reply.get("dataChannels", [])]:
        if item.get("errorCode"):
            raise RuntimeError(f"{method} {path}: {item}")
    return reply


def new_session():
    return "/sessions/" + api("POST", "/sessions/new")["sessionId"]
