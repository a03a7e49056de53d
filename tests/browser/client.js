// The client that the browser tests inject into a page (pages.rs): publishes a generated picture
// and tone, watches, renegotiates, reads statistics; talks to the HTTP API with the app's secret,
// as a page of the API's users would. Every function returns plain values; a session is named by
// its index. It must not hide a failure: whatever is refused rejects the promise.
window.fan = (() => {
  let config = null;
  const sessions = [];

  const configure = (value) => { config = value; };
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  // Paint times that a publisher remembers.
  const PAINT_TIMES = 900;

  const wallClock = () => performance.timeOrigin + performance.now();
  const round = (ms) => Math.round(ms * 10) / 10;

  // ---- HTTP ----

  async function request(method, path, body) {
    const reply = await fetch(`/v1/apps/${config.app}${path}`, {
      method,
      headers: { authorization: `Bearer ${config.secret}` },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    return { status: reply.status, body: await reply.json() };
  }

  async function api(method, path, body) {
    const reply = await request(method, path, body);
    if (reply.status >= 300 || reply.body.errorCode) {
      throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
    }
    for (const track of reply.body.tracks || []) {
      if (track.errorCode) throw new Error(`${method} ${path}: ${JSON.stringify(track)}`);
    }
    return reply.body;
  }

  // ---- generated media ----

  // A picture that changes everywhere in every frame and carries the frame's number in 16 black
  // or white blocks along its upper edge.
  function picture({ width = 640, height = 360, fps = 30 } = {}) {
    const canvas = document.createElement('canvas');
    canvas.width = width;
    canvas.height = height;
    const pen = canvas.getContext('2d', { alpha: false });
    const block = width / 16;
    let frame = 0;
    const times = [];
    const paint = () => {
      frame = (frame + 1) % 65536;
      times.push([frame, wallClock()]);
      if (times.length > PAINT_TIMES) times.shift();
      const hue = (frame * 3) % 360;
      pen.fillStyle = `hsl(${hue} 60% 45%)`;
      pen.fillRect(0, 0, width, height);
      for (let i = 0; i < 120; i += 1) {
        pen.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
        pen.fillRect(Math.random() * width, Math.random() * height, 20, 12);
      }
      for (let bit = 0; bit < 16; bit += 1) {
        pen.fillStyle = (frame >> bit) & 1 ? '#fff' : '#000';
        pen.fillRect(bit * block, 0, block, height / 6);
      }
    };
    paint();
    setInterval(paint, 1000 / fps);
    document.body.append(canvas);
    const [track] = canvas.captureStream(fps).getVideoTracks();
    track.contentHint = 'motion';
    return { track, frame: () => frame, times: () => times };
  }

  // The browser's own fake camera, of a size that it is asked for.
  async function camera({ width = 1280, height = 720 } = {}) {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width, height } });
    const [track] = stream.getVideoTracks();
    return { track, frame: () => null };
  }

  function tone() {
    const context = new AudioContext();
    const oscillator = new OscillatorNode(context, { frequency: 440 });
    const output = new MediaStreamAudioDestinationNode(context);
    oscillator.connect(output);
    oscillator.start();
    return output.stream.getAudioTracks()[0];
  }

  // The number in the picture that a video element shows, or null.
  function frameNumber(video) {
    if (!video || !video.videoWidth) return null;
    const canvas = document.createElement('canvas');
    canvas.width = 160;
    canvas.height = 90;
    const pen = canvas.getContext('2d', { willReadFrequently: true });
    pen.drawImage(video, 0, 0, 160, 90);
    let number = 0;
    for (let bit = 0; bit < 16; bit += 1) {
      const [r, g, b] = pen.getImageData(bit * 10 + 5, 7, 1, 1).data;
      if (r + g + b > 384) number |= 1 << bit;
    }
    return number;
  }

  // ---- sessions ----

  // Options {relay: port of a relay (relay.rs) that the session's traffic takes, cipher: mode of
  // the encryption of its frames (cipher.js)}.
  function newSession(options = {}) {
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const session = {
      index: sessions.length,
      pc,
      id: null,
      elements: new Map(),
      generated: [],
      locators: new Map(),
      ...options,
    };
    sessions.push(session);
    pc.addEventListener('track', (event) => show(session, event));
    return session;
  }

  async function openSession(options) {
    const session = newSession(options);
    session.id = (await api('POST', '/sessions/new')).sessionId;
    return session;
  }

  // Takes the server's description; a relayed session knows the server by the relay's port. The
  // address stays: Firefox pairs no loopback candidate with another one.
  function remote({ pc, relay }, { type, sdp }) {
    const udp = /^a=candidate:(\S+) 1 udp (\d+) ([\d.]+) \d+ /gm;
    const rest = /^a=candidate:\S+ 1 (tcp \S+ \S+|udp \S+ \S*:\S*) .*\r\n/gm;
    const moved = sdp.replace(rest, '').replace(udp, `a=candidate:$1 1 udp $2 $3 ${relay} `);
    return pc.setRemoteDescription({ type, sdp: relay ? moved : sdp });
  }

  function show(session, { track, transceiver }) {
    const element = document.createElement(track.kind);
    element.autoplay = true;
    element.playsInline = true;
    element.muted = track.kind === 'video';
    element.srcObject = new MediaStream([track]);
    document.body.append(element);
    element.play().catch(() => {});
    session.elements.set(transceiver.mid, element);
  }

  // Time from now until the connection is up.
  async function connected(session, limit = 10000) {
    const start = performance.now();
    while (session.pc.connectionState !== 'connected') {
      if (performance.now() - start > limit || session.pc.connectionState === 'failed') {
        throw new Error(`connection is ${session.pc.connectionState} after ${limit} ms`);
      }
      await new Promise((resolve) => {
        session.pc.addEventListener('connectionstatechange', resolve, { once: true });
        setTimeout(resolve, 50);
      });
    }
    return round(performance.now() - start);
  }

  function preferCodec(transceiver, kind, name) {
    const { codecs } = RTCRtpSender.getCapabilities(kind);
    const mime = `${kind}/${name}`.toLowerCase();
    const wanted = codecs.filter((codec) => codec.mimeType.toLowerCase() === mime);
    if (!wanted.length) throw new Error(`no encoder for ${name}`);
    // RED carries Opus, the others are repaired by RTX and RED.
    const rest = codecs.filter((codec) => (
      !wanted.includes(codec) && /\/(rtx|red|opus)$/i.test(codec.mimeType)));
    transceiver.setCodecPreferences([...wanted, ...rest]);
  }

  // Offers or answers the dependency descriptor, where the browser knows it.
  function describeFrames(transceiver) {
    const extensions = transceiver.getHeaderExtensionsToNegotiate();
    const wanted = extensions.find(({ uri }) => uri.includes('dependency-descriptor'));
    wanted.direction = 'sendrecv';
    transceiver.setHeaderExtensionsToNegotiate(extensions);
  }

  const canEncode = (kind, name) => RTCRtpSender.getCapabilities(kind).codecs
    .some((codec) => codec.mimeType.toLowerCase() === `${kind}/${name}`.toLowerCase());

  // Adds sending sections: options {video: codec or null, audio: codec or null, maxBitrate,
  // rids: simulcast encodings from the largest to the smallest, scalabilityMode, width, height,
  // fps, camera: true for the browser's fake camera, describe: true for the dependency descriptor
  // also where the browser does not think of it}.
  async function addSections(session, options) {
    const { video = 'VP8', audio = 'opus', maxBitrate, scalabilityMode, rids, ...size } = options;
    const { camera: device, describe } = size;
    const added = [];
    if (audio) {
      const transceiver = session.pc.addTransceiver(tone(), { direction: 'sendonly' });
      preferCodec(transceiver, 'audio', audio);
      added.push(transceiver);
    }
    if (video) {
      const generated = device ? await camera(size) : picture(size);
      session.generated.push(generated);
      const layer = (rid, at) => ({ rid, scaleResolutionDownBy: 2 ** at });
      const single = Object.entries({ maxBitrate, scalabilityMode })
        .filter(([, value]) => value !== undefined);
      const sendEncodings = rids ? rids.map(layer) : [Object.fromEntries(single)];
      const transceiver = session.pc.addTransceiver(
        generated.track, { direction: 'sendonly', sendEncodings });
      preferCodec(transceiver, 'video', video);
      if (describe) describeFrames(transceiver);
      added.push(transceiver);
    }
    if (session.cipher) added.forEach(({ sender }) => cipher.seal(sender, session.cipher));
    return added;
  }

  // Offers the added sections and publishes them.
  async function push(session, added) {
    const { pc } = session;
    await pc.setLocalDescription(await pc.createOffer());
    const tracks = added.map((transceiver) => ({
      location: 'local',
      mid: transceiver.mid,
      trackName: crypto.randomUUID(),
    }));
    const asked = performance.now();
    const reply = await api('POST', `/sessions/${session.id}/tracks/new`, {
      sessionDescription: { type: 'offer', sdp: pc.localDescription.sdp },
      tracks,
    });
    const answerMs = round(performance.now() - asked);
    await remote(session, reply.sessionDescription);
    const connectMs = await connected(session);
    return {
      session: session.index,
      sessionId: session.id,
      answerMs,
      connectMs,
      tracks: tracks.map((track, i) => ({
        trackName: track.trackName,
        mid: track.mid,
        kind: added[i].sender.track.kind,
      })),
    };
  }

  async function publish(options = {}) {
    const { relay, cipher: mode, ...media } = options;
    const session = await openSession({ relay, cipher: mode });
    return push(session, await addSections(session, media));
  }

  async function publishMore(index, options = {}) {
    return push(sessions[index], await addSections(sessions[index], options));
  }

  // Pulls [[sessionId, trackName], ...] into a session; the server offers. Options {simulcast:
  // the wish for a layer, without: codecs (such as `red`) that the answer leaves out}.
  async function pull(session, locators, { simulcast, without = [] } = {}) {
    const { pc } = session;
    const start = performance.now();
    const reply = await api('POST', `/sessions/${session.id}/tracks/new`, {
      tracks: locators.map(([sessionId, trackName]) => (
        { location: 'remote', sessionId, trackName, ...(simulcast && { simulcast }) })),
    });
    reply.tracks.forEach(({ mid }, i) => session.locators.set(mid, locators[i]));
    await remote(session, reply.sessionDescription);
    prepareReceivers(session, without);
    await pc.setLocalDescription(await pc.createAnswer());
    const answered = performance.now();
    const up = connected(session);
    await api('PUT', `/sessions/${session.id}/renegotiate`, {
      sessionDescription: { type: 'answer', sdp: pc.localDescription.sdp },
    });
    const connectMs = await up;
    const mids = reply.tracks.map((track) => track.mid);
    const pictureMs = await firstPicture(session, mids, answered);
    return {
      session: session.index,
      sessionId: session.id,
      mids,
      connectMs,
      pictureMs,
      totalMs: round(performance.now() - start),
    };
  }

  function prepareReceivers({ pc, cipher: mode }, without) {
    for (const transceiver of pc.getTransceivers()) {
      const { receiver } = transceiver;
      if (mode && !receiver.transform) cipher.open(receiver, mode);
      if (without.length) {
        const { codecs } = RTCRtpReceiver.getCapabilities(receiver.track.kind);
        const refused = (codec) => without.includes(codec.mimeType.split('/')[1].toLowerCase());
        transceiver.setCodecPreferences(codecs.filter((codec) => !refused(codec)));
      }
    }
  }

  // Time from `since` to the first decoded picture of the sections; null without video.
  async function firstPicture(session, mids, since) {
    const videos = session.pc.getTransceivers().filter((transceiver) => (
      mids.includes(transceiver.mid) && transceiver.receiver.track.kind === 'video'));
    if (!videos.length) return null;
    for (;;) {
      let pictures = 0;
      for (const transceiver of videos) {
        for (const report of (await transceiver.receiver.getStats()).values()) {
          if (report.type === 'inbound-rtp' && report.framesDecoded > 0) pictures += 1;
        }
      }
      if (pictures === videos.length) return round(performance.now() - since);
      if (performance.now() - since > 15000) throw new Error('no picture within 15 s');
      await sleep(5);
    }
  }

  async function watch(locators, { relay, cipher: mode, ...wishes } = {}) {
    return pull(await openSession({ relay, cipher: mode }), locators, wishes);
  }

  async function watchMore(index, locators) {
    return pull(sessions[index], locators);
  }

  // Closes sections by mid: forced, or by an offer that stops them.
  async function close(index, mids, force) {
    const session = sessions[index];
    const { pc } = session;
    const body = { tracks: mids.map((mid) => ({ mid })), force };
    if (!force) {
      for (const transceiver of pc.getTransceivers()) {
        if (mids.includes(transceiver.mid)) transceiver.stop();
      }
      await pc.setLocalDescription(await pc.createOffer());
      body.sessionDescription = { type: 'offer', sdp: pc.localDescription.sdp };
    }
    const reply = await api('PUT', `/sessions/${session.id}/tracks/close`, body);
    if (!force) await remote(session, reply.sessionDescription);
    return reply.tracks;
  }

  // Restarts ICE by a new offer; returns both user names of the server and the new local one's age.
  async function restart(index) {
    const session = sessions[index];
    const { pc } = session;
    const name = (description) => (/a=ice-ufrag:(\S+)/.exec(description.sdp) || [])[1];
    const before = { local: name(pc.localDescription), remote: name(pc.remoteDescription) };
    await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
    const reply = await api('PUT', `/sessions/${session.id}/renegotiate`, {
      sessionDescription: { type: 'offer', sdp: pc.localDescription.sdp },
    });
    const start = performance.now();
    await remote(session, reply.sessionDescription);
    const after = { local: name(pc.localDescription), remote: name(pc.remoteDescription) };
    // A restarted transport has proved itself when a pair of the new generation has answers.
    const proven = async () => {
      const reports = [...(await pc.getStats()).values()];
      return reports.some((report) => {
        if (report.type !== 'candidate-pair' || report.state !== 'succeeded') return false;
        const local = reports.find((other) => other.id === report.localCandidateId);
        return local && local.usernameFragment === after.local && report.responsesReceived > 0;
      });
    };
    while (!(await proven())) {
      if (performance.now() - start > 10000) throw new Error('no new pair within 10 s');
      await sleep(10);
    }
    return { before, after, restartMs: round(performance.now() - start) };
  }

  const end = (index) => { sessions[index].pc.close(); };

  // ---- what is seen ----

  async function stats(index) {
    const { pc } = sessions[index];
    const reports = [...(await pc.getStats()).values()];
    const find = (id) => reports.find((report) => report.id === id);
    const codec = (report) => ((find(report.codecId) || {}).mimeType || '').split('/')[1] || null;
    const transport = reports.find((report) => report.type === 'transport') || {};
    const pair = find(transport.selectedCandidatePairId) || {};
    const { protocol, address } = find(pair.remoteCandidateId) || {};
    return {
      state: pc.connectionState,
      cipher: transport.srtpCipher || null,
      tls: transport.tlsVersion || null,
      roundTripMs: pair.currentRoundTripTime === undefined
        ? null : round(pair.currentRoundTripTime * 1000),
      available: pair.availableOutgoingBitrate || null,
      path: { protocol, address },
      in: reports.filter((report) => report.type === 'inbound-rtp').map((report) => ({
        kind: report.kind,
        mid: report.mid,
        codec: codec(report),
        packets: report.packetsReceived,
        bytes: report.bytesReceived,
        lost: report.packetsLost,
        frames: report.framesDecoded || 0,
        freezes: report.freezeCount || 0,
        freezeSeconds: report.totalFreezesDuration || 0,
        energy: report.totalAudioEnergy || 0,
        width: report.frameWidth || 0,
        height: report.frameHeight || 0,
        nacks: report.nackCount || 0,
        plis: report.pliCount || 0,
        keyFrames: report.keyFramesDecoded || 0,
      })),
      out: reports.filter((report) => report.type === 'outbound-rtp').map((report) => ({
        kind: report.kind,
        mid: report.mid,
        codec: codec(report),
        packets: report.packetsSent,
        bytes: report.bytesSent,
        frames: report.framesSent || 0,
        target: report.targetBitrate || 0,
        limitation: report.qualityLimitationReason || null,
        nacks: report.nackCount || 0,
        plis: report.pliCount || 0,
        width: report.frameWidth || 0,
      })),
      reports: reports.filter((report) => report.type === 'remote-inbound-rtp').length,
    };
  }

  // URIs of the header extensions that a session's descriptions agree on.
  function extensions(index) {
    const { pc } = sessions[index];
    const uris = ({ sdp }) => [...sdp.matchAll(/^a=extmap:\S+ (\S+)/gm)].map(([, uri]) => uri);
    const local = uris(pc.localDescription);
    return uris(pc.remoteDescription).filter((uri) => local.includes(uri));
  }

  // Number of the frame that was painted last, by this page's publisher.
  const painted = (index) => sessions[index].generated[0].frame();

  // Number and time of the last frames painted.
  const paintTimes = (index) => sessions[index].generated[0].times();

  // Number in the picture that a watching section shows.
  const shown = (index, mid) => frameNumber(sessions[index].elements.get(mid));

  const now = () => Date.now();

  // ---- without a server: two connections of one page, for the test of this harness ----

  async function loop({ cipher: mode, ...media }) {
    const sender = newSession({ cipher: mode });
    const receiver = newSession({ cipher: mode });
    await addSections(sender, media);
    for (const [from, to] of [[sender, receiver], [receiver, sender]]) {
      from.pc.addEventListener('icecandidate', ({ candidate }) => {
        if (candidate) to.pc.addIceCandidate(candidate);
      });
    }
    await sender.pc.setLocalDescription(await sender.pc.createOffer());
    await receiver.pc.setRemoteDescription(sender.pc.localDescription);
    prepareReceivers(receiver, []);
    await receiver.pc.setLocalDescription(await receiver.pc.createAnswer());
    await sender.pc.setRemoteDescription(receiver.pc.localDescription);
    const connectMs = await connected(sender);
    const mids = receiver.pc.getTransceivers().map((transceiver) => transceiver.mid);
    const pictureMs = await firstPicture(receiver, mids, performance.now());
    return { sender: sender.index, receiver: receiver.index, mids, connectMs, pictureMs };
  }

  return {
    configure, request, publish, publishMore, watch, watchMore, close, restart, end, stats, extensions,
    painted, paintTimes, shown, now, canEncode, loop, api, sleep, wallClock, frameNumber,
    session: (index) => sessions[index], openSession, remote, connected, picture, tone,
  };
})();
