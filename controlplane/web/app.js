// The page: publishes a camera or a test picture, watches by locator, shows live numbers.
//
// It talks to /page/api, a same-origin door to the server's first app; the page knows no secret.
// A locator is `sessionId/trackName,trackName`; `/#watch=LOCATOR` watches at once.
//
// Stable for browser tests:
//   #publish-test #publish-camera   start publishing
//   #simulcast                      publish video as three encodings: f, h, q
//   #locator #locator-link #copy    the locator, the link made of it
//   #watch-input #watch             watch a locator
//   #layer                          encoding to watch by RID; empty is automatic
//   #repull                         close the subscriptions, pull the same tracks again
//   #stop                           end what this window publishes and watches
//   #publish-state #watch-state     phase: idle, starting, live, failed
//   #publish-stats #watch-stats     rows of live numbers
//   #notice                         the last error
//   video[data-role=local|remote]   pictures
//   window.fanfall.state            { publish, watch }: phase, sessionId, trackNames, mids, core
//   window.fanfall.stats            { publish, watch }: arrays, one entry per RTP stream
//   window.fanfall.publishTest(), .watch(locator), .choose(rid), .repull(), .stop()   the same
//   without clicks
'use strict';

const $ = (id) => document.getElementById(id);
const video = (role) => document.querySelector(`video[data-role=${role}]`);

const idle = () => ({ phase: 'idle', sessionId: null, trackNames: [], mids: [], core: null,
                      error: null });
const state = { publish: idle(), watch: idle() };
const stats = { publish: [], watch: [] };
/** Open connections and what must be released with them, by side. */
const open = { publish: null, watch: null };

// ---- API ----------------------------------------------------------------------------------------

async function api(method, path, body) {
  const reply = await fetch('/page/api' + path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const json = await reply.json();
  if (json.errorCode) throw new Error(`${json.errorCode}: ${json.errorDescription}`);
  return json;
}

const tracksNew = (id, body) => api('POST', `/sessions/${id}/tracks/new`, body);
const closeTracks = (id, mids) =>
  api('PUT', `/sessions/${id}/tracks/close`, { tracks: mids.map((mid) => ({ mid })), force: true });

function itemError(tracks) {
  const failed = tracks.find((track) => track.errorCode);
  return failed && new Error(`${failed.trackName}: ${failed.errorDescription}`);
}

// ---- State and view -----------------------------------------------------------------------------

function enter(side, phase, more = {}) {
  Object.assign(state[side], { phase }, more);
  const badge = $(`${side}-state`);
  badge.textContent = phase;
  badge.className = `phase ${phase}`;
  const locator = state.publish.phase === 'live'
    ? `${state.publish.sessionId}/${state.publish.trackNames.join(',')}` : '';
  $('locator').value = locator;
  $('copy').disabled = !locator;
  $('locator-link').hidden = !locator;
  $('locator-link').href = link(locator);
  $('stop').disabled = !open.publish && !open.watch;
  $('repull').disabled = state.watch.phase !== 'live';
}

const link = (locator) => `${location.origin}/#watch=${encodeURIComponent(locator)}`;

function notice(text) {
  $('notice').textContent = text || '';
  $('notice').hidden = !text;
}

/** Runs an action of a side; a failure ends the side and is shown. */
async function guarded(side, action) {
  notice('');
  try {
    await action();
  } catch (error) {
    const text = error && error.message ? error.message : String(error);
    release(side);
    enter(side, 'failed', { error: text });
    notice(text);
  }
}

function release(side) {
  const held = open[side];
  open[side] = null;
  stats[side] = [];
  $(`${side}-stats`).replaceChildren();
  if (side === 'watch') $('layer').disabled = true;
  if (!held) return;
  held.pc.close();
  held.release();
}

function connection(side, releaseMore) {
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  open[side] = { pc, release: releaseMore, before: new Map() };
  pc.onconnectionstatechange = () => {
    if (open[side]?.pc === pc && pc.connectionState === 'failed') {
      guarded(side, async () => { throw new Error('the connection failed'); });
    }
  };
  return pc;
}

function connected(pc) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('not connected after 10 s')), 10000);
    const check = () => {
      if (pc.connectionState === 'connected') { clearTimeout(timer); resolve(); }
    };
    pc.addEventListener('connectionstatechange', check);
    check();
  });
}

// ---- Publish ------------------------------------------------------------------------------------

/** The encodings of simulcast, the best first. Bit rates are for a picture of 960x540 or more. */
const ENCODINGS = [
  { rid: 'f', maxBitrate: 1500000 },
  { rid: 'h', maxBitrate: 500000, scaleResolutionDownBy: 2 },
  { rid: 'q', maxBitrate: 150000, scaleResolutionDownBy: 4 },
];

/** A moving picture with a clock, and a tone where the browser lets sound start. */
async function testSource() {
  const canvas = document.createElement('canvas');
  // Browsers send three encodings of pictures from 960x540 on.
  const scale = $('simulcast').checked ? 1.5 : 1;
  canvas.width = 640 * scale;
  canvas.height = 360 * scale;
  const context = canvas.getContext('2d');
  context.scale(scale, scale);
  let frame = 0;
  const draw = () => {
    frame += 1;
    const hue = (frame * 2) % 360;
    context.fillStyle = `hsl(${hue} 60% 30%)`;
    context.fillRect(0, 0, 640, 360);
    for (let bar = 0; bar < 8; bar += 1) {
      context.fillStyle = `hsl(${bar * 45} 80% 55%)`;
      context.fillRect((bar * 80 + frame * 3) % 640, 250, 60, 80);
    }
    context.fillStyle = '#fff';
    context.beginPath();
    context.arc(320 + 240 * Math.cos(frame / 20), 90 + 40 * Math.sin(frame / 11), 22, 0, 7);
    context.fill();
    context.font = 'bold 64px monospace';
    context.textAlign = 'center';
    context.fillText(new Date().toISOString().slice(11, 23), 320, 205);
    context.font = '22px monospace';
    context.fillText(`frame ${frame}`, 320, 40);
  };
  draw();
  const timer = setInterval(draw, 33);
  const stream = canvas.captureStream(30);
  const audio = new AudioContext();
  // Without a gesture of the user the browser keeps sound suspended: then the picture goes alone.
  await Promise.race([audio.resume(), new Promise((resolve) => setTimeout(resolve, 500))]);
  if (audio.state === 'running') {
    const tone = new OscillatorNode(audio, { frequency: 440 });
    const beat = new OscillatorNode(audio, { frequency: 1.5 });
    const gain = new GainNode(audio, { gain: 0.05 });
    const destination = audio.createMediaStreamDestination();
    beat.connect(new GainNode(audio, { gain: 0.05 })).connect(gain.gain);
    tone.connect(gain).connect(destination);
    tone.start();
    beat.start();
    destination.stream.getAudioTracks().forEach((track) => stream.addTrack(track));
  }
  const release = () => {
    clearInterval(timer);
    stream.getTracks().forEach((track) => track.stop());
    audio.close();
  };
  return { stream, release };
}

async function cameraSource() {
  if (!navigator.mediaDevices) {
    throw new Error('the browser gives cameras only to pages on https or localhost');
  }
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: true,
    video: { width: { ideal: 1280 }, height: { ideal: 720 } },
  });
  return { stream, release: () => stream.getTracks().forEach((track) => track.stop()) };
}

const randomName = (kind) => {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return `${kind}-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
};

const publish = (makeSource) => guarded('publish', async () => {
  await end('publish');
  enter('publish', 'starting', { ...idle(), phase: 'starting' });
  const source = await makeSource();
  video('local').srcObject = source.stream;
  const pc = connection('publish', () => {
    source.release();
    video('local').srcObject = null;
  });
  const senders = source.stream.getTracks().map((track) => {
    const simulcast = track.kind === 'video' && $('simulcast').checked;
    const sendEncodings = simulcast ? ENCODINGS : undefined;
    const transceiver = pc.addTransceiver(track, { direction: 'sendonly', sendEncodings });
    return { transceiver, name: randomName(track.kind) };
  });
  const { sessionId } = await api('POST', '/sessions/new');
  await pc.setLocalDescription(await pc.createOffer());
  const tracks = senders.map(({ transceiver, name }) => (
    { location: 'local', mid: transceiver.mid, trackName: name }));
  const { type, sdp } = pc.localDescription;
  const reply = await tracksNew(sessionId, { sessionDescription: { type, sdp }, tracks });
  const error = itemError(reply.tracks);
  if (error) throw error;
  await pc.setRemoteDescription(reply.sessionDescription);
  await connected(pc);
  enter('publish', 'live', {
    sessionId,
    trackNames: senders.map(({ name }) => name),
    mids: tracks.map(({ mid }) => mid),
  });
});

// ---- Watch --------------------------------------------------------------------------------------

function parseLocator(text) {
  const inHash = text.match(/#watch=(.*)$/);
  const locator = inHash ? decodeURIComponent(inHash[1]) : text.trim();
  const slash = locator.indexOf('/');
  if (slash < 1) throw new Error('a locator looks like sessionId/trackName,trackName');
  const trackNames = locator.slice(slash + 1).split(',').filter(Boolean);
  return { publisher: locator.slice(0, slash), trackNames };
}

/** What to ask for: a RID, and the next one while that sends nothing. Empty is automatic. */
const wish = (preferredRid) => ({ preferredRid, ridNotAvailable: 'asciibetical' });

/** Pulls tracks into a session: the server offers, we answer. Returns the mids. */
async function pull(pc, sessionId, { publisher, trackNames }) {
  const simulcast = wish($('layer').value);
  const tracks = trackNames.map((trackName) => (
    { location: 'remote', sessionId: publisher, trackName, simulcast }));
  const reply = await tracksNew(sessionId, { tracks });
  if (reply.requiresImmediateRenegotiation) {
    await pc.setRemoteDescription(reply.sessionDescription);
    await pc.setLocalDescription(await pc.createAnswer());
    const { type, sdp } = pc.localDescription;
    await api('PUT', `/sessions/${sessionId}/renegotiate`, { sessionDescription: { type, sdp } });
  }
  const error = itemError(reply.tracks);
  if (error) throw error;
  return reply.tracks.map((track) => track.mid);
}

/** Shows the receivers of the given mids. */
async function show(pc, mids) {
  const receivers = pc.getTransceivers().filter(({ mid }) => mids.includes(mid));
  const element = video('remote');
  element.srcObject = new MediaStream(receivers.map(({ receiver }) => receiver.track));
  try {
    await element.play();
  } catch {
    // Without a gesture the browser plays only without sound; the controls turn it on.
    element.muted = true;
    await element.play().catch(() => {});
  }
}

/** Offers the RIDs of the watched tracks for choice; keeps the one that is chosen. */
async function listLayers({ publisher, trackNames }) {
  const session = await api('GET', `/sessions/${publisher}`).catch(() => ({ tracks: [] }));
  const layered = session.tracks.filter(({ trackName, rids }) => (
    rids && trackNames.includes(trackName)));
  const rids = [...new Set(layered.flatMap((track) => track.rids))];
  const select = $('layer');
  const chosen = select.value;
  select.replaceChildren(new Option('automatic', ''), ...rids.map((rid) => new Option(rid)));
  select.value = rids.includes(chosen) ? chosen : '';
  select.disabled = rids.length === 0;
  return layered.map(({ trackName }) => trackName);
}

/** Watches another encoding, without any SDP; a refusal leaves the picture as it is. */
async function choose(rid) {
  notice('');
  const { sessionId, mids, trackNames } = state.watch;
  $('layer').value = rid;
  const tracks = mids
    .filter((_, index) => open.watch.layered.includes(trackNames[index]))
    .map((mid) => ({ mid, simulcast: wish(rid) }));
  await api('PUT', `/sessions/${sessionId}/tracks/update`, { tracks })
    .then((reply) => notice(itemError(reply.tracks)?.message))
    .catch((error) => notice(error.message));
}

const watch = (text) => guarded('watch', async () => {
  const locator = parseLocator(text);
  await end('watch');
  enter('watch', 'starting', { ...idle(), phase: 'starting' });
  const pc = connection('watch', () => { video('remote').srcObject = null; });
  $('layer').value = '';
  const { sessionId } = await api('POST', '/sessions/new');
  const mids = await pull(pc, sessionId, locator);
  Object.assign(state.watch, { sessionId, mids, trackNames: locator.trackNames });
  Object.assign(open.watch, { locator, layered: await listLayers(locator) });
  await connected(pc);
  show(pc, mids);
  enter('watch', 'live');
});

const repull = () => guarded('watch', async () => {
  const { pc, locator } = open.watch;
  const { sessionId, mids } = state.watch;
  enter('watch', 'starting');
  await closeTracks(sessionId, mids);
  open.watch.before.clear();
  const fresh = await pull(pc, sessionId, locator);
  show(pc, fresh);
  enter('watch', 'live', { mids: fresh });
});

/** Ends a side: its tracks by the API, then the connection. */
async function end(side) {
  if (!open[side]) return;
  const { sessionId, mids } = state[side];
  if (sessionId && mids.length) await closeTracks(sessionId, mids).catch(() => {});
  release(side);
  enter(side, 'idle', idle());
}

const stop = async () => {
  notice('');
  await Promise.all([end('publish'), end('watch')]);
  enter('publish', 'idle');
};

// ---- Numbers ------------------------------------------------------------------------------------

/** One entry per RTP stream, from the statistics of a connection. */
function streams(report, before, sending) {
  const entries = [];
  const get = (id) => (id ? report.get(id) : undefined);
  let pair;
  let transport;
  report.forEach((entry) => {
    if (entry.type === 'transport') transport = entry;
  });
  pair = get(transport?.selectedCandidatePairId);
  report.forEach((rtp) => {
    if (rtp.type !== (sending ? 'outbound-rtp' : 'inbound-rtp')) return;
    const remote = get(rtp.remoteId);
    const bytes = sending ? rtp.bytesSent : rtp.bytesReceived;
    const last = before.get(rtp.id);
    const seconds = last ? (rtp.timestamp - last.timestamp) / 1000 : 0;
    before.set(rtp.id, { timestamp: rtp.timestamp, bytes });
    const lost = sending ? remote?.packetsLost : rtp.packetsLost;
    const packets = sending ? rtp.packetsSent : rtp.packetsReceived;
    entries.push({
      kind: rtp.kind,
      mid: rtp.mid,
      rid: rtp.rid ?? null,
      ssrc: rtp.ssrc,
      codec: get(rtp.codecId)?.mimeType ?? null,
      kbps: seconds > 0 ? Math.round((bytes - last.bytes) * 8 / seconds / 1000) : 0,
      bytes,
      packets,
      lost: lost ?? 0,
      lossPercent: lost > 0 ? 100 * lost / (packets + lost) : 0,
      roundTripMs: 1000 * (remote?.roundTripTime ?? pair?.currentRoundTripTime ?? 0),
      width: rtp.frameWidth ?? 0,
      height: rtp.frameHeight ?? 0,
      fps: rtp.framesPerSecond ?? 0,
      frames: (sending ? rtp.framesEncoded : rtp.framesDecoded) ?? 0,
      freezes: rtp.freezeCount ?? 0,
      energy: rtp.totalAudioEnergy ?? 0,
      srtp: transport?.srtpCipher ?? null,
      dtls: transport?.tlsVersion ?? null,
    });
  });
  return entries;
}

function rows(side) {
  const lines = [];
  for (const entry of stats[side]) {
    const codec = entry.codec ? entry.codec.split('/')[1] : 'no codec yet';
    const name = entry.rid ? `${entry.kind} ${entry.rid}` : entry.kind;
    lines.push([name, `${codec}, ${entry.kbps} kbit/s`]);
    lines.push(['loss', `${entry.lost} packets, ${entry.lossPercent.toFixed(1)} %`]);
    if (entry.kind === 'video') {
      const verb = side === 'publish' ? 'encoded' : 'decoded';
      lines.push(['picture', `${entry.width}×${entry.height}, ${Math.round(entry.fps)} fps`]);
      lines.push(['frames', `${entry.frames} ${verb}`]);
    }
  }
  const first = stats[side][0];
  if (first) {
    lines.push(['round trip', `${first.roundTripMs.toFixed(1)} ms`]);
    lines.push(['encryption', first.srtp ?? 'unknown']);
    lines.push(['core', state[side].core ?? 'unknown']);
  }
  return lines;
}

function table(side) {
  $(`${side}-stats`).replaceChildren(...rows(side).map((cells) => {
    const row = document.createElement('tr');
    row.append(...cells.map((text) => {
      const cell = document.createElement('td');
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
}

let ticks = 0;
async function tick() {
  for (const side of ['publish', 'watch']) {
    const held = open[side];
    if (!held || state[side].phase !== 'live') continue;
    const report = await held.pc.getStats();
    if (open[side] !== held) continue;
    stats[side] = streams(report, held.before, side === 'publish');
    if (ticks % 3 === 0) {
      const session = await api('GET', `/sessions/${state[side].sessionId}`).catch(() => ({}));
      if (open[side] === held) state[side].core = session.core ?? null;
    }
    table(side);
  }
  ticks += 1;
}

async function run() {
  for (;;) {
    await tick().catch((error) => notice(String(error)));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

// ---- Wiring -------------------------------------------------------------------------------------

$('publish-test').onclick = () => publish(testSource);
$('publish-camera').onclick = () => publish(cameraSource);
$('watch').onclick = () => watch($('watch-input').value);
$('watch-input').onkeydown = (event) => {
  if (event.key === 'Enter') watch($('watch-input').value);
};
$('layer').onchange = () => choose($('layer').value);
$('repull').onclick = repull;
$('stop').onclick = stop;
$('copy').onclick = async () => {
  $('locator').select();
  await navigator.clipboard?.writeText(link($('locator').value)).catch(() => {});
};

function watchHash() {
  if (!location.hash.startsWith('#watch=')) return;
  $('watch-input').value = decodeURIComponent(location.hash.slice('#watch='.length));
  watch(location.hash);
}
window.addEventListener('hashchange', watchHash);

window.fanfall = {
  state, stats, watch, choose, repull, stop, publishTest: () => publish(testSource),
};
run();
watchHash();
