"""FFmpeg's WHIP muxer as an encoder: publishes a marked picture (H.264) and a tone (Opus).

Run by the test (stack.rs) with the Python that has aiortc, which brings FFmpeg as the module `av`; control.py
says how it is told what to do. The muxer does all of WHIP, HTTP included. Built with GnuTLS, as here, it makes
itself a certificate of P-224, which the server does not take (ARCHITECTURE.md, section 9), so it is given one.
"""

import array
import fractions
import subprocess
import tempfile
import threading
import time

import av

import control
import marks
import whip

WIDTH, HEIGHT, FPS, RATE = 320, 180, 15, 48000

# As FFmpeg's documentation of the muxer wants it; a key frame a second, for it answers no request for one.
PICTURE = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "bf": "0", "g": str(FPS)}


class Encoder:
    """The commands of the test."""

    def __init__(self):
        self.stopped = threading.Event()
        self.thread = None

    def broadcast(self, stream, token, sender):
        with tempfile.TemporaryDirectory() as folder:
            options = {"authorization": token, **certificate(folder)}
            output = av.open(whip.endpoint(stream), "w", format="whip", options=options)
            self.begin(output, sender)

    def begin(self, output, sender):
        """Connects, and encodes from then on."""
        picture = output.add_stream("libx264", rate=FPS, options=PICTURE)
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = output.add_stream("libopus", rate=RATE)
        sound.layout = "stereo"
        output.start_encoding()
        self.thread = threading.Thread(target=self.send, args=(output, picture, sound, sender))
        self.thread.start()

    def send(self, output, picture, sound, sender):
        """Encodes pictures and sound at the pace of the clock until told to stop."""
        count = RATE // FPS
        start = time.monotonic()
        index = 0
        while not self.stopped.is_set():
            output.mux(picture.encode(painted(sender, index)))
            output.mux(sound.encode(sung(sender, index * count, count)))
            index += 1
            time.sleep(max(0, start + index / FPS - time.monotonic()))
        output.close()

    def end(self):
        """Stops; the muxer ends its session."""
        self.stopped.set()
        self.thread.join()


def certificate(folder):
    """Options of the muxer that name a fresh certificate of P-256 and its key."""
    files = {"cert_file": f"{folder}/certificate.pem", "key_file": f"{folder}/key.pem"}
    make = "req -x509 -nodes -subj /CN=client -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
    command = ["openssl", *make.split(), "-keyout", files["key_file"], "-out", files["cert_file"]]
    subprocess.run(command, check=True, capture_output=True)
    return files


def painted(sender, index):
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    for plane in frame.planes:
        data = bytearray([marks.GREY]) * plane.buffer_size
        if plane.width == WIDTH:
            marks.paint(data, WIDTH, HEIGHT, plane.line_size, sender)
        plane.update(bytes(data))
    frame.pts, frame.time_base = index, fractions.Fraction(1, FPS)
    return frame


def sung(sender, start, count):
    samples = array.array("h")
    for sample in marks.tone(sender, start, count, RATE):
        samples.extend((sample, sample))
    frame = av.AudioFrame(format="s16", layout="stereo", samples=count)
    frame.planes[0].update(samples.tobytes())
    frame.pts, frame.sample_rate = start, RATE
    frame.time_base = fractions.Fraction(1, RATE)
    return frame


def main():
    encoder = Encoder()
    control.serve({"broadcast": encoder.broadcast, "end": encoder.end})


main()
