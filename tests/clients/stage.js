// What a page makes and looks at: marked pictures and tones of a canvas and an oscillator, and
// readers of received tracks. Used by page.js and party.js.

import { cells, frequency, hertz, mark, parse } from './marks.js';

// A canvas as small as a mark may be: two pixels and more a block.
const READ_WIDTH = 96;
const READ_HEIGHT = 54;
const RATE = 48000;

// A track with a sender's marked picture.
export function picture(sender, { width = 320, height = 180, fps = 15 } = {}) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext('2d', { alpha: false });
  const paint = () => {
    pen.fillStyle = `hsl(${(Date.now() / 20) % 360} 60% 45%)`;
    pen.fillRect(0, height / 2, width, height / 2);
    const bits = mark(sender);
    for (const cell of cells(width, height)) {
      pen.fillStyle = (bits >> cell.bit) & 1 ? '#fff' : '#000';
      pen.fillRect(cell.x, cell.y, cell.width, cell.height);
    }
  };
  paint();
  setInterval(paint, 1000 / fps);
  document.body.append(canvas);
  const [track] = canvas.captureStream(fps).getVideoTracks();
  track.contentHint = 'motion';
  return track;
}

// A track with a sender's tone.
export function tone(sender) {
  const context = new AudioContext();
  const oscillator = new OscillatorNode(context, { frequency: hertz(sender) });
  const output = new MediaStreamAudioDestinationNode(context);
  oscillator.connect(output);
  oscillator.start();
  return output.stream.getAudioTracks()[0];
}

// A track of the browser's fake microphone, for browsers that make no tone without a sound device.
export async function microphone() {
  const constraints = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: constraints });
  return stream.getAudioTracks()[0];
}

// A function that reports what a received track has brought since its last call.
export const look = (track) => (
  track.kind === 'video' ? lookAtPicture(track) : listen(track));

function element(track) {
  const made = document.createElement(track.kind);
  made.autoplay = true;
  made.playsInline = true;
  made.muted = track.kind === 'video';
  made.srcObject = new MediaStream([track]);
  document.body.append(made);
  made.play().catch(() => {});
  return made;
}

function lookAtPicture(track) {
  const video = element(track);
  const canvas = document.createElement('canvas');
  canvas.width = READ_WIDTH;
  canvas.height = READ_HEIGHT;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  let frames = 0;
  const count = () => { frames += 1; video.requestVideoFrameCallback(count); };
  video.requestVideoFrameCallback(count);
  return () => {
    const report = { kind: 'video', frames, mark: null, width: video.videoWidth };
    if (frames) {
      pen.drawImage(video, 0, 0, READ_WIDTH, READ_HEIGHT);
      report.mark = parse(readBits(pen));
    }
    frames = 0;
    return report;
  };
}

function readBits(pen) {
  let bits = 0;
  for (const cell of cells(READ_WIDTH, READ_HEIGHT)) {
    const [x, y] = [cell.x + (cell.width >> 1), cell.y + (cell.height >> 1)];
    const [red, green, blue] = pen.getImageData(x, y, 1, 1).data;
    if (red + green + blue > 384) bits |= 1 << cell.bit;
  }
  return bits;
}

// Records between the looks: needs no sound device, unlike an AudioContext.
function listen(track) {
  // Chromium decodes only what an element plays.
  element(track);
  const stream = new MediaStream([track]);
  let recorder = null;
  return async () => {
    const samples = recorder ? await stopped(recorder) : [];
    recorder = null;
    // A closed section's track has ended.
    if (track.readyState === 'live') {
      recorder = new MediaRecorder(stream);
      recorder.start();
    }
    return { kind: 'audio', hertz: frequency(samples, RATE) };
  };
}

// The last quarter of a second of a recording.
async function stopped(recorder) {
  // It stopped by itself with its track.
  if (recorder.state === 'inactive') return [];
  const data = new Promise((resolve) => { recorder.ondataavailable = resolve; });
  recorder.stop();
  const { data: blob } = await data;
  if (!blob.size) return [];
  const decoder = new OfflineAudioContext(1, 1, RATE);
  const decoded = await decoder.decodeAudioData(await blob.arrayBuffer()).catch(() => null);
  return decoded ? decoded.getChannelData(0).slice(-RATE / 4) : [];
}
