"""aiortc: one connection that publishes a marked picture and a tone, one that watches.

Run by the test (stack.rs); control.py says how it is told what to do.
"""

import asyncio
import collections
import fractions
import threading
import uuid

import aiortc
import av
import numpy

import control
import marks
import messages

WIDTH, HEIGHT, RATE = 320, 180, 48000

loop = asyncio.new_event_loop()


class Picture(aiortc.VideoStreamTrack):
    """The marked picture, 15 a second."""

    def __init__(self, sender):
        super().__init__()
        self.sender = sender

    async def recv(self):
        # The base class counts 30 a second.
        await self.next_timestamp()
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane in frame.planes:
            data = bytearray([marks.GREY]) * plane.buffer_size
            if plane.width == WIDTH:
                marks.paint(data, WIDTH, HEIGHT, plane.line_size, self.sender)
            plane.update(bytes(data))
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(aiortc.MediaStreamTrack):
    """The sender's tone, in pieces of 20 ms."""

    kind = "audio"

    def __init__(self, sender):
        super().__init__()
        self.sender, self.sample, self.start = sender, 0, loop.time()

    async def recv(self):
        count = RATE // 50
        await asyncio.sleep(self.start + self.sample / RATE - loop.time())
        samples = numpy.array([marks.tone(self.sender, self.sample, count, RATE)], numpy.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, self.sample
        frame.time_base = fractions.Fraction(1, RATE)
        self.sample += count
        return frame


class Seen:
    """What a receiving track has brought since the last report."""

    def __init__(self, track):
        self.track = track
        self.frames, self.last = 0, None
        self.samples, self.rate = collections.deque(maxlen=RATE // 4), RATE
        self.task = loop.create_task(self.read())

    async def read(self):
        while True:
            try:
                frame = await self.track.recv()
            except aiortc.mediastreams.MediaStreamError:
                return
            if self.track.kind == "video":
                self.frames, self.last = self.frames + 1, frame
            else:
                channels = len(frame.layout.channels)
                self.samples.extend(frame.to_ndarray().flatten()[::channels].tolist())
                self.rate = frame.sample_rate

    def report(self):
        if self.track.kind == "audio":
            hertz = marks.frequency(list(self.samples), self.rate)
            self.samples.clear()
            return {"kind": "audio", "hertz": hertz}
        mark = None
        if self.last is not None:
            plane = self.last.reformat(format="yuv420p").planes[0]
            mark = marks.read(bytes(plane), plane.width, plane.height, plane.line_size)
        report = {"kind": "video", "frames": self.frames, "mark": mark}
        self.frames, self.last = 0, None
        return report


def connection():
    """The servers of a default configuration are on the internet."""
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    pc.path = control.new_session()
    return pc


async def request(method, path, body):
    return await asyncio.to_thread(control.api, method, path, body)


def description(pc):
    return {"type": pc.localDescription.type, "sdp": pc.localDescription.sdp}


async def remote(pc, reply):
    await pc.setRemoteDescription(aiortc.RTCSessionDescription(**reply["sessionDescription"]))


class Client:
    """The commands of the test."""

    def __init__(self):
        self.sending = self.receiving = None
        self.seen_of = {}
        self.speaking = self.listening = self.voice = None
        self.hearing = []

    async def version(self):
        return aiortc.__version__

    async def publish(self, sender):
        pc = self.sending = self.sending or connection()
        added = [
            pc.addTransceiver(track, direction="sendonly")
            for track in (Tone(sender), Picture(sender))
        ]
        await pc.setLocalDescription(await pc.createOffer())
        tracks = [
            {"location": "local", "mid": transceiver.mid, "trackName": str(uuid.uuid4())}
            for transceiver in added
        ]
        body = {"sessionDescription": description(pc), "tracks": tracks}
        await remote(pc, await request("POST", pc.path + "/tracks/new", body))
        return [
            {"sessionId": pc.path.split("/")[-1], "trackName": track["trackName"],
             "mid": track["mid"], "kind": transceiver.kind}
            for track, transceiver in zip(tracks, added)
        ]

    async def watch(self, locators):
        pc = self.receiving = self.receiving or connection()
        tracks = [
            {"location": "remote", "sessionId": locator["sessionId"], "trackName": locator["trackName"]}
            for locator in locators
        ]
        reply = await request("POST", pc.path + "/tracks/new", {"tracks": tracks})
        await remote(pc, reply)
        await pc.setLocalDescription(await pc.createAnswer())
        mids = [track["mid"] for track in reply["tracks"]]
        for transceiver in pc.getTransceivers():
            if transceiver.mid in mids:
                self.seen_of[transceiver.mid] = Seen(transceiver.receiver.track)
        body = {"sessionDescription": description(pc)}
        await request("PUT", pc.path + "/renegotiate", body)
        return mids

    async def seen(self):
        return {mid: seen.report() for mid, seen in self.seen_of.items()}

    async def unwatch(self, mids):
        await self.close(self.receiving, mids)

    async def unpublish(self, mids):
        await self.close(self.sending, mids)

    async def close(self, pc, mids):
        """By an offer that stops the sections."""
        for transceiver in pc.getTransceivers():
            if transceiver.mid in mids:
                await transceiver.stop()
        await pc.setLocalDescription(await pc.createOffer())
        body = {
            "tracks": [{"mid": mid} for mid in mids],
            "sessionDescription": description(pc),
            "force": False,
        }
        await remote(pc, await request("PUT", pc.path + "/tracks/close", body))

    async def speak(self, name):
        pc = self.speaking = self.speaking or await self.open_for_speaking()
        wanted = [{"location": "local", "dataChannelName": name}]
        [self.voice] = await self.channels(pc, wanted)
        return {"sessionId": pc.path.split("/")[-1], "dataChannelName": name}

    async def listen(self, locators):
        pc = self.listening = self.listening or await self.open_for_listening()
        wanted = [{"location": "remote", **locator} for locator in locators]
        for channel in await self.channels(pc, wanted):
            self.hearing.append([])
            channel.on("message", lambda data, heard=self.hearing[-1]: heard.append(messages.told(data)))

    async def say(self, said):
        for message in said:
            self.voice.send(messages.made(message))

    async def heard(self):
        return messages.taken(self.hearing)

    async def open_for_speaking(self):
        """A connection with data channels, by an offer of its own."""
        pc = connection()
        pc.createDataChannel(messages.EVENTS["dataChannelName"])
        await pc.setLocalDescription(await pc.createOffer())
        body = {"dataChannel": messages.EVENTS, "sessionDescription": description(pc)}
        await remote(pc, await request("POST", pc.path + "/datachannels/establish", body))
        return pc

    async def open_for_listening(self):
        """A connection with data channels, by an offer of the server's."""
        pc = connection()
        body = {"dataChannel": messages.EVENTS}
        await remote(pc, await request("POST", pc.path + "/datachannels/establish", body))
        await pc.setLocalDescription(await pc.createAnswer())
        body = {"sessionDescription": description(pc)}
        await request("PUT", pc.path + "/renegotiate", body)
        return pc

    async def channels(self, pc, wanted):
        """Makes channels at the server, then at this end under the ids that the server gave them."""
        body = {"dataChannels": wanted}
        reply = await request("POST", pc.path + "/datachannels/new", body)
        made = [
            pc.createDataChannel(one["dataChannelName"], negotiated=True, id=one["id"])
            for one in reply["dataChannels"]
        ]
        while any(channel.readyState != "open" for channel in made):
            await asyncio.sleep(0.02)
        return made


def main():
    threading.Thread(target=loop.run_forever, daemon=True).start()
    client = Client()

    def command(name):
        function = getattr(client, name)
        return lambda *args: asyncio.run_coroutine_threadsafe(function(*args), loop).result()

    control.serve({name: command(name) for name in control.COMMANDS})


main()
