"""GStreamer's webrtcbin: one pipeline that publishes a marked picture and a tone, one that watches.

Run by the test (stack.rs) with the system's Python, which has GStreamer's bindings; control.py says how
it is told what to do. webrtcbin cannot stop a transceiver, so sections are closed by force. It makes
itself an RSA certificate, which the server does not take (ARCHITECTURE.md, section 9), so its DTLS
element is given one of ECDSA, through the property that is there for it. Its SCTP transport says for ever
that it has no channels (max-channels is 0), after which no channel is made under an id: so they are made
before there is a transport.
"""

import hashlib
import re
import ssl
import subprocess
import tempfile
import threading
import time
import uuid

import gi

gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, GstSdp, GstWebRTC  # noqa: E402

import control  # noqa: E402
import media  # noqa: E402
import messages  # noqa: E402
from media import Gst  # noqa: E402

WEBRTC = "webrtcbin name=webrtc bundle-policy=max-bundle latency=50"

# The first ids that the server gives channels.
IDS = range(2, 6)


def certificate():
    """A fresh self-signed ECDSA certificate with its key, PEM, and its fingerprint."""
    with tempfile.NamedTemporaryFile() as key:
        make = "req -x509 -nodes -subj /CN=client -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        command = ["openssl", *make.split(), "-keyout", key.name]
        made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(made)).hexdigest().upper()
        fingerprint = ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
        return made + key.read().decode(), fingerprint


CERTIFICATE, FINGERPRINT = certificate()


def promised(element, action, *arguments):
    """The reply of an action of webrtcbin that takes a promise."""
    promise = Gst.Promise.new()
    element.emit(action, *arguments, promise)
    if promise.wait() != Gst.PromiseResult.REPLIED:
        raise RuntimeError(f"{action} of webrtcbin has no reply")
    reply = promise.get_reply()
    if reply is not None and reply.has_field("error"):
        raise RuntimeError(f"{action}: {reply.get_value('error')}")
    return reply


# webrtcbin has nothing for an empty message, and takes its two kinds for each other.
def on_text(_channel, text, heard):
    heard.append(messages.told(b"" if text is None else text))


def on_bytes(_channel, data, heard):
    heard.append(messages.told("" if data is None else data.get_data()))


class Connection:
    """A session of the API and the pipeline that plays its part. `path` is that of another session."""

    def __init__(self, description, path=None):
        self.path = path or control.new_session()
        self.pipeline = Gst.Pipeline.new()
        self.pipeline.connect("deep-element-added", self.on_element)
        self.pipeline.add(Gst.parse_bin_from_description(description, False))
        self.webrtc = self.pipeline.get_by_name("webrtc")

    def on_element(self, _pipeline, _bin, element):
        if type(element).__name__ == "GstDtlsDec":
            element.set_property("pem", CERTIFICATE)
            # Makes the connection anew, now with this certificate.
            element.set_property("connection-id", element.get_property("connection-id"))

    def local(self, kind):
        """Creates and sets an offer or an answer; what the API takes of it."""
        reply = promised(self.webrtc, f"create-{kind}", None)
        made = reply.get_value(kind)
        promised(self.webrtc, "set-local-description", made)
        # webrtcbin takes the fingerprint of a given certificate over its key too.
        sdp = re.sub(r"sha-256 \S+", "sha-256 " + FINGERPRINT, made.sdp.as_text())
        return {"sessionDescription": {"type": kind, "sdp": sdp}}

    def remote(self, reply):
        kind, text = reply["sessionDescription"]["type"], reply["sessionDescription"]["sdp"]
        _, sdp = GstSdp.SDPMessage.new_from_text(text)
        kind = GstWebRTC.WebRTCSDPType.OFFER if kind == "offer" else GstWebRTC.WebRTCSDPType.ANSWER
        description = GstWebRTC.WebRTCSessionDescription.new(kind, sdp)
        promised(self.webrtc, "set-remote-description", description)

    def transceivers(self):
        found = []
        while (one := self.webrtc.emit("get-transceiver", len(found))) is not None:
            found.append(one)
        return found

    def close(self, mids):
        body = {"tracks": [{"mid": mid} for mid in mids], "force": True}
        control.api("PUT", self.path + "/tracks/close", body)

    def prepare_channels(self):
        """Makes channels under the ids that the server will give: later webrtcbin refuses them."""
        self.channels_by_id = {stream: self.channel(stream) for stream in IDS}

    def channel(self, stream):
        options = Gst.Structure.new_empty("options")
        options.set_value("negotiated", True)
        options.set_value("id", stream)
        return self.webrtc.emit("create-data-channel", str(stream), options)

    def establish(self, offer):
        """Asks for data channels; the answer, or without an offer the server's."""
        body = {"dataChannel": messages.EVENTS, **offer}
        return control.api("POST", self.path + "/datachannels/establish", body)

    def channels(self, wanted):
        """Makes channels at the server; those of this end that are under their ids."""
        body = {"dataChannels": wanted}
        reply = control.api("POST", self.path + "/datachannels/new", body)
        made = [self.channels_by_id[one["id"]] for one in reply["dataChannels"]]
        open_state = GstWebRTC.WebRTCDataChannelState.OPEN
        while any(channel.get_property("ready-state") != open_state for channel in made):
            time.sleep(0.02)
        return made


class Client:
    """The commands of the test."""

    def __init__(self):
        self.sending = self.receiving = None
        self.seen_of = {}
        self.stopped = threading.Event()
        self.speaking = self.listening = self.voice = None
        self.hearing = []

    def version(self):
        return Gst.version_string().split()[-1]

    def publish(self, sender):
        self.begin(sender)
        return self.offer()

    def begin(self, sender, path=None):
        """Makes a pipeline that wants to send a sender's tone and picture."""
        sections = f"{media.tone(sender)} ! webrtc. {media.PICTURE} ! webrtc."
        self.sending = Connection(f"{WEBRTC} {sections}", path)
        for transceiver in self.sending.transceivers():
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        needed = threading.Event()
        self.sending.webrtc.connect("on-negotiation-needed", lambda _: needed.set())
        self.sending.pipeline.set_state(Gst.State.PLAYING)
        source = self.sending.pipeline.get_by_name("picture")
        painting = (source, sender, self.stopped)
        threading.Thread(target=media.paint_for_ever, args=painting, daemon=True).start()
        if not needed.wait(10):
            raise RuntimeError("webrtcbin does not ask for a negotiation")

    def offer(self):
        body = self.sending.local("offer")
        # Its transceivers learn their own mids from the answer only.
        sections = re.split("^m=", body["sessionDescription"]["sdp"], flags=re.MULTILINE)[1:]
        added = [(re.search(r"a=mid:(\S+)", one)[1], one.split()[0]) for one in sections]
        body["tracks"] = [
            {"location": "local", "mid": mid, "trackName": str(uuid.uuid4())} for mid, _ in added
        ]
        self.sending.remote(control.api("POST", self.sending.path + "/tracks/new", body))
        return [
            {"sessionId": self.sending.path.split("/")[-1], "trackName": track["trackName"],
             "mid": mid, "kind": kind}
            for track, (mid, kind) in zip(body["tracks"], added)
        ]

    def watch(self, locators):
        if self.receiving is None:
            self.receiving = Connection(WEBRTC)
            self.receiving.webrtc.connect("pad-added", self.on_pad)
            self.receiving.pipeline.set_state(Gst.State.PLAYING)
        tracks = [
            {"location": "remote", "sessionId": one["sessionId"], "trackName": one["trackName"]}
            for one in locators
        ]
        reply = control.api("POST", self.receiving.path + "/tracks/new", {"tracks": tracks})
        self.receiving.remote(reply)
        body = self.receiving.local("answer")
        control.api("PUT", self.receiving.path + "/renegotiate", body)
        return [track["mid"] for track in reply["tracks"]]

    def on_pad(self, webrtc, pad):
        """A stream has begun: its packets are decoded and looked at."""
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        mid = pad.get_property("transceiver").get_property("mid")
        kind = pad.get_current_caps().get_structure(0).get_value("media")
        sink = media.TONE_SINK if kind == "audio" else media.PICTURE_SINK
        decoder = Gst.parse_bin_from_description(sink, True)
        self.seen_of[mid] = media.Seen(kind, decoder.get_by_name("sink"))
        webrtc.get_parent().add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def seen(self):
        return {mid: seen.report() for mid, seen in list(self.seen_of.items())}

    def unwatch(self, mids):
        self.receiving.close(mids)

    def unpublish(self, mids):
        self.sending.close(mids)

    def speak(self, name):
        if self.speaking is None:
            self.speaking = self.connect_for_data()
            name_of_events = messages.EVENTS["dataChannelName"]
            self.speaking.webrtc.emit("create-data-channel", name_of_events, None)
            self.speaking.remote(self.speaking.establish(self.speaking.local("offer")))
        [self.voice] = self.speaking.channels([{"location": "local", "dataChannelName": name}])
        return {"sessionId": self.speaking.path.split("/")[-1], "dataChannelName": name}

    def connect_for_data(self):
        connection = Connection(WEBRTC)
        connection.pipeline.set_state(Gst.State.PLAYING)
        connection.prepare_channels()
        return connection

    def listen(self, locators):
        if self.listening is None:
            self.listening = self.connect_for_data()
            self.listening.remote(self.listening.establish({}))
            body = self.listening.local("answer")
            control.api("PUT", self.listening.path + "/renegotiate", body)
        wanted = [{"location": "remote", **locator} for locator in locators]
        for channel in self.listening.channels(wanted):
            heard = []
            channel.connect("on-message-string", on_text, heard)
            channel.connect("on-message-data", on_bytes, heard)
            self.hearing.append(heard)

    def say(self, said):
        for message in map(messages.made, said):
            if isinstance(message, str):
                self.voice.send_string(message)
            else:
                self.voice.send_data(GLib.Bytes.new(message))

    def heard(self):
        return messages.taken(self.hearing)


def main():
    threading.Thread(target=GLib.MainLoop().run, daemon=True).start()
    client = Client()
    control.serve({name: getattr(client, name) for name in control.COMMANDS})


if __name__ == "__main__":
    main()
