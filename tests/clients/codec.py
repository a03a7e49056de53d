"""Codes and decodes marked pictures and tones for a client that has no codecs: RTP over loopback UDP.

Started by werift_client.js with the system's Python; takes its commands as a client does (control.py).
"""

import threading

import control
import media
from media import Gst

RTP = {
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=111",
    "video": "application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,payload=96",
}
SINK = {"audio": media.TONE_SINK, "video": media.PICTURE_SINK}


class Codec:
    """The commands."""

    def __init__(self):
        self.encoder = None
        self.seen = {}

    def encode(self, sender, audio_port, video_port):
        """Sends a sender's RTP to two ports, until this program ends."""
        sections = ((media.tone(sender), audio_port), (media.PICTURE, video_port))
        description = " ".join(f"{one} ! udpsink host=127.0.0.1 port={port}" for one, port in sections)
        self.encoder = Gst.parse_launch(description)
        self.encoder.set_state(Gst.State.PLAYING)
        painting = (self.encoder.get_by_name("picture"), sender, threading.Event())
        threading.Thread(target=media.paint_for_ever, args=painting, daemon=True).start()

    def decode(self, kind):
        """The port on which RTP of a kind is decoded."""
        source = f'udpsrc name=source address=127.0.0.1 port=0 caps="{RTP[kind]}"'
        decoder = Gst.parse_launch(f"{source} ! rtpjitterbuffer latency=50 ! {SINK[kind]}")
        seen = media.Seen(kind, decoder.get_by_name("sink"))
        decoder.set_state(Gst.State.PLAYING)
        port = decoder.get_by_name("source").get_property("port")
        self.seen[port] = decoder, seen
        return port

    def report(self, port):
        return self.seen[port][1].report()


codec = Codec()
control.serve({name: getattr(codec, name) for name in ("encode", "decode", "report")})
