// werift, a WebRTC stack in TypeScript without codecs: it sends on the RTP that codec.py makes, and
// gives codec.py the RTP that it receives. Run by the test (stack.rs); control.js says how it is told
// what to do. `FANFALL_PYTHON` is the Python that has GStreamer's bindings.

import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { MediaStreamTrack, RTCPeerConnection, useOPUS, useVP8 } from 'werift';

import { serve } from './control.js';
import { Peer } from './peer.js';

const codec = spawn(
  process.env.FANFALL_PYTHON, [new URL('codec.py', import.meta.url).pathname],
  { stdio: ['pipe', 'pipe', 'inherit'] });
const replies = createInterface({ input: codec.stdout })[Symbol.asyncIterator]();
let last = Promise.resolve();

// Commands of codec.py, one after the other.
function code(call, ...values) {
  const reply = last.then(async () => {
    codec.stdin.write(`${JSON.stringify({ call, arguments: values })}\n`);
    const { value: line, done } = await replies.next();
    if (done) throw new Error('codec.py ended');
    const { value, error } = JSON.parse(line);
    if (error) throw new Error(error);
    return value;
  });
  last = reply.catch(() => {});
  return reply;
}

// A track that sends on what arrives at a port.
async function track(kind) {
  const made = new MediaStreamTrack({ kind });
  const socket = createSocket('udp4', (packet) => made.writeRtp(packet));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { made, port: socket.address().port };
}

async function media(sender) {
  const [audio, video] = [await track('audio'), await track('video')];
  await code('encode', sender, audio.port, video.port);
  return [audio, video].map(({ made }) => [made, { direction: 'sendonly' }]);
}

function look({ receiver, kind }) {
  const socket = createSocket('udp4');
  const port = code('decode', kind);
  receiver.tracks.forEach((received) => received.onReceiveRtp.subscribe(async (packet) => {
    socket.send(packet.serialize(), await port, '127.0.0.1');
  }));
  return async () => code('report', await port);
}

const peer = new Peer({
  place: { api: process.env.FANFALL_API, secret: process.env.FANFALL_SECRET },
  connect: () => new RTCPeerConnection({
    bundlePolicy: 'max-bundle',
    iceServers: [],
    codecs: { audio: [useOPUS()], video: [useVP8()] },
  }),
  media,
  look,
});
peer.version = async () => {
  const manifest = new URL('node_modules/werift/package.json', import.meta.url);
  return JSON.parse(readFileSync(manifest)).version;
};
await serve(peer);
