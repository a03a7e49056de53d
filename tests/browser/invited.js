// Publishing in sections that the server offers, and sections used both ways. Injected behind
// client.js; sessions are those of `fan`.
window.invited = (() => {
  // Answers the server's open offer and waits for the connection. Options {serves: true to answer
  // as DTLS server}.
  async function answer({ id, pc }, description, { serves } = {}) {
    await pc.setRemoteDescription(description);
    return async () => {
      const made = await pc.createAnswer();
      const sdp = serves ? made.sdp.replaceAll('a=setup:active', 'a=setup:passive') : made.sdp;
      await pc.setLocalDescription({ type: 'answer', sdp });
      await fan.api('PUT', `/sessions/${id}/renegotiate`, {
        sessionDescription: { type: 'answer', sdp: pc.localDescription.sdp },
      });
      return fan.connected({ pc });
    };
  }

  // Publishes a picture and a tone in sections of the server's offer. Options {bothWays, serves}.
  async function publish({ bothWays = false, serves } = {}) {
    const session = await fan.openSession({});
    const tracks = ['audio', 'video'].map((kind) => ({
      location: 'local', trackName: `my-${kind}`, kind, bidirectionalMediaStream: bothWays,
    }));
    const reply = await fan.api('POST', `/sessions/${session.id}/tracks/new`, { tracks });
    const finish = await answer(session, reply.sessionDescription, { serves });
    const mids = reply.tracks.map(({ mid }) => mid);
    const source = fan.picture();
    session.generated.push(source);
    const sent = [fan.tone(), source.track];
    for (const [at, mid] of mids.entries()) {
      const transceiver = session.pc.getTransceivers().find((one) => one.mid === mid);
      transceiver.direction = bothWays ? 'sendrecv' : 'sendonly';
      await transceiver.sender.replaceTrack(sent[at]);
    }
    const connectMs = await finish();
    const published = tracks.map(({ trackName, kind }, at) => ({ trackName, kind, mid: mids[at] }));
    return { session: session.index, sessionId: session.id, connectMs, tracks: published };
  }

  // Pulls [[sessionId, trackName], ...] onto the session's own tracks of the same kinds, without
  // a description; returns the reply.
  async function pullOnto(index, locators) {
    const { id } = fan.session(index);
    const names = ['#my-audio', '#my-video'];
    return fan.api('POST', `/sessions/${id}/tracks/new`, {
      tracks: locators.map(([sessionId, trackName], at) => (
        { location: 'remote', sessionId, trackName, mid: names[at] })),
    });
  }

  // Pulls one track into a section that was closed; waits for new pictures there.
  async function pullAgain(index, mid, [sessionId, trackName]) {
    const session = fan.session(index);
    const reply = await fan.api('POST', `/sessions/${session.id}/tracks/new`, {
      tracks: [{ location: 'remote', sessionId, trackName, mid }],
    });
    await (await answer(session, reply.sessionDescription))();
    return reply.tracks[0];
  }

  // Pulls one track and answers as DTLS server; returns the session and the mid.
  async function watchServing([sessionId, trackName]) {
    const session = await fan.openSession({});
    const reply = await fan.api('POST', `/sessions/${session.id}/tracks/new`, {
      tracks: [{ location: 'remote', sessionId, trackName }],
    });
    const finish = await answer(session, reply.sessionDescription, { serves: true });
    const connectMs = await finish();
    return { session: session.index, sessionId: session.id, connectMs, mid: reply.tracks[0].mid };
  }

  return { publish, pullOnto, pullAgain, watchServing };
})();
