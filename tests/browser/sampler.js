// Looks at a watching session ten times a second and keeps what it saw, for tests that ask how
// long the picture stood still; changes which layer the session shows and what a publisher sends.
// Adds to client.js.
Object.assign(window.fan, (() => {
  const INTERVAL_MS = 100;

  const pick = (report) => ({
    frames: report.framesDecoded || 0,
    width: report.frameWidth || 0,
    dropped: report.framesDropped || 0,
    freezes: report.freezeCount || 0,
    freezeSeconds: report.totalFreezesDuration || 0,
    lost: report.packetsLost || 0,
    nacks: report.nackCount || 0,
    packets: report.packetsReceived || 0,
    bytes: report.bytesReceived || 0,
    energy: report.totalAudioEnergy || 0,
    samples: report.totalSamplesReceived || 0,
    concealed: (report.concealedSamples || 0) - (report.silentConcealedSamples || 0),
    // When what plays now was captured, on the publisher's clock, in milliseconds.
    playout: report.estimatedPlayoutTimestamp || null,
  });

  // One row {at, audio, video} of a session that receives at most one track of each kind.
  async function look({ pc }) {
    const row = { at: performance.now() };
    for (const report of (await pc.getStats()).values()) {
      if (report.type === 'inbound-rtp') row[report.kind] = pick(report);
    }
    return row;
  }

  // Begins to keep rows.
  function sample(index) {
    const session = fan.session(index);
    session.rows = [];
    const run = async () => {
      while (session.rows && session.pc.connectionState !== 'closed') {
        session.rows.push(await look(session));
        await fan.sleep(INTERVAL_MS);
      }
    };
    run();
  }

  // The rows kept since the last call.
  const samples = (index) => fan.session(index).rows.splice(0);

  // Wishes a layer for the session's picture, and waits for the width that shows it.
  async function choose(index, simulcast, width) {
    const session = fan.session(index);
    const { mid } = session.pc.getTransceivers().find((transceiver) => (
      transceiver.receiver.track.kind === 'video' && session.locators.has(transceiver.mid)));
    const [sessionId, trackName] = session.locators.get(mid);
    const start = performance.now();
    await fan.api('PUT', `/sessions/${session.id}/tracks/update`, {
      tracks: [{ location: 'remote', mid, sessionId, trackName, simulcast }],
    });
    const answerMs = performance.now() - start;
    for (;;) {
      const { video } = await look(session);
      const shownMs = performance.now() - start;
      if (video.width === width) return { answerMs, shownMs };
      if (shownMs > 5000) throw new Error(`width is ${video.width}, not ${width}, after 5 s`);
      await fan.sleep(20);
    }
  }

  // For a while: [number of the frame shown, its RTP timestamp, when it came up, when the statistics
  // were taken, when the frame was captured as they say by the publisher's sender reports].
  async function clockRows(index, ms) {
    const session = fan.session(index);
    const video = [...session.elements.values()].find((element) => element.localName === 'video');
    const rows = [];
    const end = fan.wallClock() + ms;
    let shown = null;
    const next = (at, { rtpTimestamp }) => {
      shown = [fan.frameNumber(video), rtpTimestamp, performance.timeOrigin + at];
      if (fan.wallClock() < end) video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
    while (fan.wallClock() < end) {
      for (const report of (await session.pc.getStats()).values()) {
        const playout = report.kind === 'video' && report.estimatedPlayoutTimestamp;
        if (playout && shown) rows.push([...shown, report.timestamp, playout]);
      }
      await fan.sleep(60);
    }
    return rows;
  }

  // Stops or starts what a session publishes of video, without a word to the server.
  async function pause(index, paused) {
    for (const { sender } of fan.session(index).pc.getTransceivers()) {
      if (!sender.track || sender.track.kind !== 'video') continue;
      const parameters = sender.getParameters();
      for (const encoding of parameters.encodings) encoding.active = !paused;
      await sender.setParameters(parameters);
    }
  }

  return { sample, samples, choose, clockRows, pause };
})());
