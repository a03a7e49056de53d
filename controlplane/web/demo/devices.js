// Cameras, microphones, screens, and a test picture for who has none. Turns the browser's errors
// into sentences.

/** Sizes of the picture that is sent, with their simulcast encodings: the best first, named so that
 * the order of the alphabet is that of quality. */
const SIZES = {
  high: {
    width: 1280,
    height: 720,
    encodings: [
      { rid: 'f', maxBitrate: 1500000 },
      { rid: 'h', maxBitrate: 500000, scaleResolutionDownBy: 2 },
      { rid: 'q', maxBitrate: 150000, scaleResolutionDownBy: 4 },
    ],
  },
  low: {
    width: 640,
    height: 360,
    encodings: [
      { rid: 'h', maxBitrate: 500000 },
      { rid: 'q', maxBitrate: 150000, scaleResolutionDownBy: 2 },
    ],
  },
};

export const CAMERA = 'camera';
export const MICROPHONE = 'microphone';
export const SCREEN = 'screen';
export const SCREEN_SOUND = 'screenSound';

/** How a track of a source is sent. */
export function encodings(source, size) {
  if (source === CAMERA) return SIZES[size].encodings;
  if (source === SCREEN) return [{ maxBitrate: 2500000, scalabilityMode: 'L1T3' }];
  return undefined;
}

/** Why a device was not given, as a sentence. */
export function explain(error, what) {
  switch (error?.name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return `The browser does not allow this page to use the ${what}. Allow it beside the address.`;
    case 'NotFoundError':
    case 'OverconstrainedError':
      return `There is no ${what}.`;
    case 'NotReadableError':
    case 'AbortError':
      return `The ${what} cannot be opened: another program may be using it.`;
    case 'InsecureError':
      return 'The browser gives cameras and microphones only to pages on https or localhost.';
    default:
      return `The ${what} cannot be opened.`;
  }
}

function media() {
  if (navigator.mediaDevices?.getUserMedia) return navigator.mediaDevices;
  throw Object.assign(new Error('no media devices'), { name: 'InsecureError' });
}

export async function openCamera(size, deviceId) {
  const { width, height } = SIZES[size];
  const video = {
    width: { ideal: width },
    height: { ideal: height },
    frameRate: { ideal: 30, max: 30 },
    ...(deviceId ? { deviceId: { exact: deviceId } } : { facingMode: 'user' }),
  };
  const [track] = (await media().getUserMedia({ video })).getVideoTracks();
  track.contentHint = 'motion';
  return track;
}

export async function openMicrophone(deviceId) {
  const audio = {
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    ...(deviceId && { deviceId: { exact: deviceId } }),
  };
  const [track] = (await media().getUserMedia({ audio })).getAudioTracks();
  return track;
}

/** Whether this browser can share a screen; those of phones cannot. */
export const canShare = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

/** The picture of a screen and, where the user gives it, its sound. */
export async function openScreen() {
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { frameRate: { max: 15 } }, audio: true,
  });
  const [video] = stream.getVideoTracks();
  video.contentHint = 'detail';
  return { video, audio: stream.getAudioTracks()[0] };
}

/** Whether people expect to see a picture of themselves as in a mirror. */
export const isMirror = (track) => Boolean(track)
  && track.getSettings().facingMode !== 'environment'
  && !('CanvasCaptureMediaStreamTrack' in window && track instanceof CanvasCaptureMediaStreamTrack);

/** A moving picture with a clock and the member's name. */
export function testPicture(size, name) {
  const { width, height } = SIZES[size];
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext('2d', { alpha: false });
  pen.scale(width / 640, height / 360);
  pen.textAlign = 'center';
  let frame = 0;
  const hue = Math.floor(Math.random() * 360);
  const draw = () => {
    frame += 1;
    pen.fillStyle = `hsl(${hue} 45% ${22 + 6 * Math.sin(frame / 40)}%)`;
    pen.fillRect(0, 0, 640, 360);
    for (let bar = 0; bar < 8; bar += 1) {
      pen.fillStyle = `hsl(${hue + bar * 20} 60% 55%)`;
      const top = 300 - 40 * (1 + Math.sin(frame / 12 + bar));
      pen.fillRect(90 + bar * 60, top, 36, 360 - top);
    }
    pen.fillStyle = '#fff';
    pen.font = 'bold 56px system-ui, sans-serif';
    pen.fillText(new Date().toLocaleTimeString(), 320, 150);
    pen.font = '24px system-ui, sans-serif';
    pen.fillText(name, 320, 90);
  };
  draw();
  const timer = setInterval(draw, 1000 / 24);
  const [track] = canvas.captureStream(24).getVideoTracks();
  const stop = track.stop.bind(track);
  track.stop = () => { clearInterval(timer); stop(); };
  return track;
}

/** Cameras and microphones: [{kind, id, label}]. Without permission they have no names. */
export async function list() {
  const devices = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
  return devices
    .filter(({ deviceId, label }) => deviceId && label)
    .map(({ kind, deviceId, label }) => ({ kind, id: deviceId, label }));
}
