// One connection that publishes and one that watches, for every client with the API of the W3C: pages
// (page.js), wrtc and werift. What differs between them is given: how a connection is made, what is
// sent, how a received track is looked at. The calls follow the public echo examples of the API.

export class Peer {
  // `place` is {api: URL down to the app's id, secret}; `connect` makes an RTCPeerConnection; `media`
  // makes the tracks of a sender, as arguments for addTransceiver; `look` makes of a receiving
  // transceiver a function that reports what came since its last call.
  constructor({ place, connect, media, look }) {
    Object.assign(this, { place, connect, media, look });
    this.seenOf = new Map();
  }

  async request(method, path, body) {
    const reply = await fetch(this.place.api + path, {
      method,
      headers: {
        authorization: `Bearer ${this.place.secret}`,
        ...(body && { 'content-type': 'application/json' }),
      },
      body: body && JSON.stringify(body),
    });
    const value = await reply.json();
    const wrong = [value, ...(value.tracks || [])].find((item) => item.errorCode);
    if (wrong) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(wrong)}`);
    return value;
  }

  async open() {
    const pc = await this.connect();
    const { sessionId } = await this.request('POST', '/sessions/new');
    return { pc, sessionId, path: `/sessions/${sessionId}` };
  }

  // Offers the tracks of a sender and publishes them.
  async publish(sender, options) {
    this.sending ||= await this.open();
    const { pc, path, sessionId } = this.sending;
    const added = (await this.media(sender, options)).map((section) => (
      pc.addTransceiver(...section)));
    await pc.setLocalDescription(await pc.createOffer());
    const tracks = added.map(({ mid }) => (
      { location: 'local', mid: String(mid), trackName: crypto.randomUUID() }));
    const reply = await this.request('POST', `${path}/tracks/new`, { ...described(pc), tracks });
    await pc.setRemoteDescription(reply.sessionDescription);
    return tracks.map(({ mid, trackName }, i) => (
      { sessionId, trackName, mid, kind: added[i].sender.track.kind }));
  }

  // Pulls tracks: [{sessionId, trackName}]; returns their mids.
  async watch(locators, simulcast) {
    this.receiving ||= await this.open();
    const { pc, path } = this.receiving;
    const tracks = locators.map(({ sessionId, trackName }) => (
      { location: 'remote', sessionId, trackName, ...(simulcast && { simulcast }) }));
    const reply = await this.request('POST', `${path}/tracks/new`, { tracks });
    const mids = reply.tracks.map(({ mid }) => mid);
    await pc.setRemoteDescription(reply.sessionDescription);
    for (const transceiver of pc.getTransceivers()) {
      const mid = String(transceiver.mid);
      if (mids.includes(mid)) this.seenOf.set(mid, this.look(transceiver));
    }
    await pc.setLocalDescription(await pc.createAnswer());
    await this.request('PUT', `${path}/renegotiate`, described(pc));
    return mids;
  }

  // Wishes for another encoding of a watched section.
  async prefer(mid, { sessionId, trackName }, simulcast) {
    const tracks = [{ location: 'remote', mid, sessionId, trackName, simulcast }];
    await this.request('PUT', `${this.receiving.path}/tracks/update`, { tracks });
  }

  // What the watched sections have brought since the last call, by mid: {kind: 'video', frames, mark} or
  // {kind: 'audio', hertz}.
  async seen() {
    const reports = {};
    for (const [mid, report] of this.seenOf) reports[mid] = await report();
    return reports;
  }

  async unwatch(mids) {
    await this.close(this.receiving, mids);
  }

  async unpublish(mids) {
    await this.close(this.sending, mids);
  }

  // By an offer that stops the sections. Where none would be left with `max-bundle` there is no such
  // offer, so the last ones are closed by force.
  async close({ pc, path }, mids) {
    const closed = (transceiver) => mids.includes(String(transceiver.mid));
    const live = pc.getTransceivers().filter(({ currentDirection: now }) => now && now !== 'stopped');
    const tracks = mids.map((mid) => ({ mid }));
    if (live.every(closed)) {
      await this.request('PUT', `${path}/tracks/close`, { tracks, force: true });
      return;
    }
    pc.getTransceivers().filter(closed).forEach((transceiver) => transceiver.stop());
    await pc.setLocalDescription(await pc.createOffer());
    const reply = await this.request(
      'PUT', `${path}/tracks/close`, { tracks, ...described(pc), force: false });
    await pc.setRemoteDescription(reply.sessionDescription);
  }
}

// The local description as the API takes it.
function described({ localDescription: { type, sdp } }) {
  return { sessionDescription: { type, sdp } };
}
