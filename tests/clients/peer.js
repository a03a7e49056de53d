// One connection that publishes and one that watches, for every client with the API of the W3C: pages
// (page.js), wrtc and werift. What differs between them is given: how a connection is made, what is
// sent, how a received track is looked at. The calls follow the public echo examples of the API.

import * as messages from './messages.js';

// The channel that brings the transport; it carries nothing.
const EVENTS = { location: 'remote', dataChannelName: 'server-events' };

export class Peer {
  // `place` is {api: URL down to the app's id, secret}; `connect` makes an RTCPeerConnection; `media`
  // makes the tracks of a sender, as arguments for addTransceiver; `look` makes of a receiving
  // transceiver a function that reports what came since its last call.
  constructor({ place, connect, media, look }) {
    Object.assign(this, { place, connect, media, look });
    this.seenOf = new Map();
    this.hearing = [];
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
    const items = [value, ...(value.tracks || []), ...(value.dataChannels || [])];
    const wrong = items.find((item) => item.errorCode);
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

  // ---- data channels, after the public echo-datachannels example ----

  // Publishes a channel of this name; an offer of the client's brings the transport for it.
  async speak(dataChannelName) {
    this.speaking ||= await this.openForSpeaking();
    [this.voice] = await this.channels(this.speaking, [{ location: 'local', dataChannelName }]);
    return { sessionId: this.speaking.sessionId, dataChannelName };
  }

  // Pulls channels: [{sessionId, dataChannelName}]; an offer of the server's brings the transport.
  async listen(locators) {
    this.listening ||= await this.openForListening();
    const wanted = locators.map((locator) => ({ location: 'remote', ...locator }));
    for (const channel of await this.channels(this.listening, wanted)) {
      const heard = [];
      channel.onmessage = ({ data }) => heard.push(messages.told(data));
      this.hearing.push(heard);
    }
  }

  // Sends messages on the published channel, one after the other.
  async say(said) {
    said.forEach((message) => this.voice.send(messages.made(message)));
  }

  // What each pulled channel has brought since the last call.
  async heard() {
    return this.hearing.map((heard) => heard.splice(0));
  }

  async openForSpeaking() {
    const opened = await this.open();
    const { pc, path } = opened;
    pc.createDataChannel(EVENTS.dataChannelName);
    await pc.setLocalDescription(await pc.createOffer());
    const reply = await this.request(
      'POST', `${path}/datachannels/establish`, { dataChannel: EVENTS, ...described(pc) });
    await pc.setRemoteDescription(reply.sessionDescription);
    return opened;
  }

  async openForListening() {
    const opened = await this.open();
    const { pc, path } = opened;
    const reply = await this.request('POST', `${path}/datachannels/establish`, { dataChannel: EVENTS });
    await pc.setRemoteDescription(reply.sessionDescription);
    await pc.setLocalDescription(await pc.createAnswer());
    await this.request('PUT', `${path}/renegotiate`, described(pc));
    return opened;
  }

  // Makes channels at the server, then at this end under the ids that the server gave them.
  async channels({ pc, path }, wanted) {
    const reply = await this.request('POST', `${path}/datachannels/new`, { dataChannels: wanted });
    const made = reply.dataChannels.map(({ id, dataChannelName }) => (
      pc.createDataChannel(dataChannelName, { negotiated: true, id })));
    made.forEach((channel) => { channel.binaryType = 'arraybuffer'; });
    await until('the channels are open', () => (
      made.every(({ readyState }) => readyState === 'open')));
    return made;
  }
}

// Waits for a condition, 10 s at most.
async function until(what, holds) {
  for (let waited = 0; !holds(); waited += 20) {
    if (waited > 10000) throw new Error(`not within 10 s: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

// The local description as the API takes it.
function described({ localDescription: { type, sdp } }) {
  return { sessionDescription: { type, sdp } };
}
