// @roamhq/wrtc, libwebrtc for Node: marked pictures through its I420 source and sink, a tone through
// its audio source and sink. Run by the test (stack.rs); control.js says how it is told what to do.

import { readFileSync } from 'node:fs';

import wrtc from '@roamhq/wrtc';

import { serve } from './control.js';
import * as marks from './marks.js';
import { Peer } from './peer.js';

const WIDTH = 320;
const HEIGHT = 180;
const RATE = 48000;
const { RTCAudioSink, RTCAudioSource, RTCVideoSink, RTCVideoSource } = wrtc.nonstandard;

function picture(sender) {
  const source = new RTCVideoSource();
  const data = new Uint8ClampedArray((WIDTH * HEIGHT * 3) / 2).fill(128);
  setInterval(() => {
    marks.paint(data, WIDTH, HEIGHT, sender);
    source.onFrame({ width: WIDTH, height: HEIGHT, data });
  }, 1000 / 15);
  return source.createTrack();
}

// In pieces of 10 ms, as many as are due.
function tone(sender) {
  const source = new RTCAudioSource();
  const size = RATE / 100;
  const start = Date.now();
  let piece = 0;
  setInterval(() => {
    for (; piece * 10 < Date.now() - start; piece += 1) {
      const step = (2 * Math.PI * marks.hertz(sender)) / RATE;
      const samples = Int16Array.from(
        { length: size }, (_, i) => 9000 * Math.sin(step * (piece * size + i)));
      source.onData({ samples, sampleRate: RATE, bitsPerSample: 16, channelCount: 1, numberOfFrames: size });
    }
  }, 10);
  return source.createTrack();
}

function watchPicture(track) {
  let frames = 0;
  let last = null;
  new RTCVideoSink(track).onframe = ({ frame }) => { frames += 1; last = frame; };
  return () => {
    const mark = last && marks.read(last.data, last.width, last.height);
    const report = { kind: 'video', frames, mark };
    [frames, last] = [0, null];
    return report;
  };
}

function watchTone(track) {
  let heard = [];
  let rate = RATE;
  new RTCAudioSink(track).ondata = ({ samples, sampleRate, channelCount }) => {
    rate = sampleRate;
    for (let i = 0; i < samples.length; i += channelCount) heard.push(samples[i] / 32768);
    heard = heard.slice(-rate / 4);
  };
  return () => {
    const report = { kind: 'audio', hertz: marks.frequency(heard, rate) };
    heard = [];
    return report;
  };
}

const look = ({ receiver: { track } }) => (
  track.kind === 'video' ? watchPicture(track) : watchTone(track));

const peer = new Peer({
  place: { api: process.env.FANFALL_API, secret: process.env.FANFALL_SECRET },
  connect: () => new wrtc.RTCPeerConnection({ bundlePolicy: 'max-bundle' }),
  media: (sender) => [tone(sender), picture(sender)].map((track) => (
    [track, { direction: 'sendonly' }])),
  look,
});
peer.version = async () => {
  const manifest = new URL('node_modules/@roamhq/wrtc/package.json', import.meta.url);
  return JSON.parse(readFileSync(manifest)).version;
};
serve(peer);
