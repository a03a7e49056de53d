// One session of the API: one RTCPeerConnection that publishes and receives. A session has one
// negotiation at a time, so what needs one waits in a queue. A link that fails is not mended:
// whoever holds it makes another (call.js).

import { ApiError, api, random } from './api.js';

/** How long a connection may be disconnected before it counts as lost, in milliseconds. */
const DISCONNECTED_MAX = 4000;
/** How long connecting may take, in milliseconds. */
const CONNECT_MAX = 12000;
/** The channel that every member publishes. */
const CHAT = 'chat';

/** What an item of a reply failed with, if it did. */
const failed = (item) => item.errorCode && new ApiError(item.errorCode, item.errorDescription, 200);

export class Link {
  #pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  #queue = Promise.resolve();
  #onLost;
  #timer;
  /** The API's id of the session. */
  id = null;
  /** What is published, by source: {name, track, transceiver}. */
  published = new Map();
  /** What is received, by `sessionId/trackName`: {mid, track, transceiver}. */
  pulled = new Map();

  constructor(onLost) {
    this.#onLost = onLost;
    this.#pc.addEventListener('connectionstatechange', () => this.#watch());
  }

  /** Makes the session and connects it, for data channels first: a member may have no tracks. */
  async open() {
    this.id = (await api('POST', '/sessions/new')).sessionId;
    this.#pc.createDataChannel('server-events', { negotiated: true, id: 0 });
    await this.#pc.setLocalDescription(await this.#pc.createOffer());
    const reply = await api('POST', this.#path('datachannels/establish'), {
      dataChannel: { location: 'remote', dataChannelName: 'server-events' },
      sessionDescription: this.#local(),
    });
    await this.#pc.setRemoteDescription(reply.sessionDescription);
    await this.#connected();
  }

  get pc() { return this.#pc; }

  /** Publishes tracks: [{source, track, encodings}]. */
  publish(sources) {
    return this.#turn(async () => {
      const added = sources.map(({ source, track, encodings }) => ({
        source,
        track,
        name: `${source}-${random(6)}`,
        transceiver: this.#pc.addTransceiver(
          track, { direction: 'sendonly', sendEncodings: encodings }),
      }));
      await this.#pc.setLocalDescription(await this.#pc.createOffer());
      const reply = await api('POST', this.#path('tracks/new'), {
        sessionDescription: this.#local(),
        tracks: added.map(({ name, transceiver }) => (
          { location: 'local', mid: transceiver.mid, trackName: name })),
      });
      await this.#pc.setRemoteDescription(reply.sessionDescription);
      const error = reply.tracks.map(failed).find(Boolean);
      if (error) throw error;
      for (const { source, ...rest } of added) this.published.set(source, rest);
    });
  }

  /** Ends what is published of some sources, and what is received under some keys. */
  close({ sources = [], keys = [] }) {
    return this.#turn(async () => {
      const ended = [
        ...sources.map((source) => this.published.get(source)),
        ...keys.map((key) => this.pulled.get(key)),
      ].filter(Boolean);
      sources.forEach((source) => this.published.delete(source));
      keys.forEach((key) => this.pulled.delete(key));
      if (!ended.length) return;
      const tracks = ended.map(({ transceiver }) => ({ mid: transceiver.mid }));
      ended.forEach(({ transceiver }) => transceiver.stop());
      await this.#pc.setLocalDescription(await this.#pc.createOffer());
      const reply = await api('PUT', this.#path('tracks/close'), {
        tracks, sessionDescription: this.#local(), force: false,
      });
      await this.#pc.setRemoteDescription(reply.sessionDescription);
    });
  }

  /** Receives tracks of one session; those that cannot be received are left out. */
  pull(sessionId, wanted) {
    return this.#turn(async () => {
      const reply = await api('POST', this.#path('tracks/new'), {
        tracks: wanted.map(({ trackName, simulcast }) => (
          { location: 'remote', sessionId, trackName, simulcast })),
      });
      if (reply.requiresImmediateRenegotiation) {
        await this.#pc.setRemoteDescription(reply.sessionDescription);
        await this.#pc.setLocalDescription(await this.#pc.createAnswer());
        await api('PUT', this.#path('renegotiate'), { sessionDescription: this.#local() });
      }
      for (const item of reply.tracks.filter((track) => !failed(track))) {
        const transceiver = this.#pc.getTransceivers().find(({ mid }) => mid === item.mid);
        const { track } = transceiver.receiver;
        this.pulled.set(`${sessionId}/${item.trackName}`, { mid: item.mid, track, transceiver });
      }
    });
  }

  /** Wishes for layers: [{mid, simulcast}]. Needs no negotiation and never fails the link. */
  choose(tracks) {
    return api('PUT', this.#path('tracks/update'), { tracks }).catch(() => {});
  }

  /** Publishes this member's chat, or receives that of another session. */
  async chat(sessionId) {
    const wanted = sessionId
      ? { location: 'remote', sessionId, dataChannelName: CHAT }
      : { location: 'local', dataChannelName: CHAT };
    const reply = await api('POST', this.#path('datachannels/new'), { dataChannels: [wanted] });
    const [made] = reply.dataChannels;
    const error = failed(made);
    if (error) throw error;
    return this.#pc.createDataChannel(CHAT, { negotiated: true, id: made.id });
  }

  /** Ends the link: its tracks at once, the session when the server hears of it. */
  shut() {
    clearTimeout(this.#timer);
    this.#onLost = () => {};
    const mids = [...this.published.values()].map(({ transceiver }) => ({ mid: transceiver.mid }));
    if (this.id && mids.length) {
      api('PUT', this.#path('tracks/close'), { tracks: mids, force: true }, { keepalive: true })
        .catch(() => {});
    }
    this.#pc.close();
  }

  #path(rest) { return `/sessions/${this.id}/${rest}`; }

  #local() {
    const { type, sdp } = this.#pc.localDescription;
    return { type, sdp };
  }

  /** Runs `action` behind those before it. One that fails leaves the negotiation undone, so the
   * link is lost with it. */
  #turn(action) {
    const run = this.#queue.then(async () => {
      if (this.#pc.signalingState === 'closed') throw new ApiError('closed', 'the link ended', 0);
      return action();
    });
    this.#queue = run.catch(() => {});
    return run.catch((error) => { this.#lose(); throw error; });
  }

  #lose() {
    const tell = this.#onLost;
    this.#onLost = () => {};
    clearTimeout(this.#timer);
    this.#pc.close();
    tell(this);
  }

  #watch() {
    clearTimeout(this.#timer);
    const { connectionState } = this.#pc;
    if (connectionState === 'failed') this.#lose();
    if (connectionState === 'disconnected') {
      this.#timer = setTimeout(() => this.#lose(), DISCONNECTED_MAX);
    }
  }

  #connected() {
    return new Promise((resolve, reject) => {
      const end = (error) => {
        clearTimeout(timer);
        this.#pc.removeEventListener('connectionstatechange', look);
        if (error) reject(error); else resolve();
      };
      const fail = () => end(new ApiError('connect', 'no path to the media port was found', 0));
      const timer = setTimeout(fail, CONNECT_MAX);
      const look = () => {
        const { connectionState } = this.#pc;
        if (connectionState === 'connected') end();
        if (connectionState === 'failed' || connectionState === 'closed') fail();
      };
      this.#pc.addEventListener('connectionstatechange', look);
      look();
    });
  }
}
