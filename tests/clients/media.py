"""GStreamer elements that make and read marked pictures and tones.

Used by gstreamer_client.py, which is one of the clients, and by codec.py, which codes for a client that
has no codecs. Elements run on GStreamer's threads; what they have seen is read through `Seen.report`.
"""

import array
import collections
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402, F401

import marks  # noqa: E402

Gst.init(None)

WIDTH, HEIGHT, RATE, FPS = 320, 180, 48000, 15

# A key frame a second, for receivers that nobody asks for one in time; no lookahead, all effort on speed.
VP8 = "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=15 target-bitrate=400000 error-resilient=1"

PICTURE = (
    "appsrc name=picture is-live=true format=time do-timestamp=true "
    f"caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FPS}/1 "
    f"! queue ! {VP8} ! rtpvp8pay pt=96 picture-id-mode=15-bit mtu=1200"
)


def tone(sender):
    return (
        f"audiotestsrc is-live=true wave=sine freq={marks.hertz(sender)} volume=0.3 "
        f"! audio/x-raw,rate={RATE},channels=2 ! queue ! opusenc ! rtpopuspay pt=111"
    )


PICTURE_SINK = (
    "queue ! rtpvp8depay ! vp8dec ! videoconvert ! video/x-raw,format=I420 "
    "! appsink name=sink emit-signals=true sync=false max-buffers=4 drop=true"
)

TONE_SINK = (
    "queue ! rtpopusdepay ! opusdec ! audioconvert "
    f"! audio/x-raw,format=S16LE,rate={RATE},channels=1,layout=interleaved "
    "! appsink name=sink emit-signals=true sync=false max-buffers=50 drop=true"
)


def paint_for_ever(source, sender, stopped):
    """Pushes marked pictures into an appsrc until the event `stopped` is set."""
    data = bytearray([marks.GREY]) * (WIDTH * HEIGHT * 3 // 2)
    due = time.monotonic()
    while not stopped.is_set():
        marks.paint(data, WIDTH, HEIGHT, WIDTH, sender)
        source.emit("push-buffer", Gst.Buffer.new_wrapped(bytes(data)))
        due += 1 / FPS
        time.sleep(max(0, due - time.monotonic()))


class Seen:
    """What an appsink has got since the last report."""

    def __init__(self, kind, sink):
        self.kind = kind
        self.frames, self.last = 0, None
        self.samples = collections.deque(maxlen=RATE // 4)
        sink.connect("new-sample", self.on_sample)

    def on_sample(self, sink):
        sample = sink.emit("pull-sample")
        buffer = sample.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        if self.kind == "audio":
            self.samples.extend(array.array("h", data))
        else:
            caps = sample.get_caps().get_structure(0)
            self.last = data, caps.get_value("width"), caps.get_value("height")
            self.frames += 1
        return Gst.FlowReturn.OK

    def report(self):
        if self.kind == "audio":
            hertz = marks.frequency(list(self.samples), RATE)
            self.samples.clear()
            return {"kind": "audio", "hertz": hertz}
        mark = None
        if self.last is not None:
            data, width, height = self.last
            # GStreamer pads a line of luma to four bytes.
            mark = marks.read(data, width, height, (width + 3) // 4 * 4)
        report = {"kind": "video", "frames": self.frames, "mark": mark}
        self.frames, self.last = 0, None
        return report
