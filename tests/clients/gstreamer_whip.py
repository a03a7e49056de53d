"""GStreamer's webrtcbin as an encoder: publishes a marked picture and a tone by WHIP.

Run by the test (stack.rs) with the system's Python, as gstreamer_client.py, whose pipeline it is.
"""

import threading

from gi.repository import GLib

import control
import gstreamer_client
import whip


class Encoder(gstreamer_client.Client):
    """The commands of the test."""

    def broadcast(self, stream, token, sender):
        self.token = token
        # The session comes with the answer.
        self.begin(sender, whip.endpoint(stream))
        offer = self.sending.local("offer")["sessionDescription"]["sdp"]
        answer, self.sending.path = whip.publish(stream, token, offer)
        self.sending.remote({"sessionDescription": {"type": "answer", "sdp": answer}})


def main():
    threading.Thread(target=GLib.MainLoop().run, daemon=True).start()
    control.serve({"broadcast": Encoder().broadcast})


main()
