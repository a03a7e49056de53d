"""The HTTP side of WHIP, for encoders that leave it to their application; see control.py."""

import os
import urllib.parse
import urllib.request


def request(method, url, token, body=None):
    """One request; status, headers and text of the reply. Errors are exceptions."""
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/sdp"}
    data = None if body is None else body.encode()
    asked = urllib.request.Request(url, method=method, data=data, headers=headers)
    with urllib.request.urlopen(asked, timeout=20) as reply:
        return reply.status, reply.headers, reply.read().decode()


def endpoint(stream):
    return f"{os.environ['FANFALL_API']}/whip/{stream}"


def publish(stream, token, offer):
    """The answer to an offer, and the URL of the session."""
    status, headers, answer = request("POST", endpoint(stream), token, offer)
    if status != 201 or headers["Content-Type"] != "application/sdp":
        raise RuntimeError(f"POST: {status} {headers['Content-Type']}")
    return answer, urllib.parse.urljoin(endpoint(stream), headers["Location"])
