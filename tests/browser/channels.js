// Data channels as a page of the API's users makes them: establishes the transport by either side's
// offer, publishes and pulls channels by their ids, remembers what arrived. Injected behind
// client.js; sessions are those of `fan` or its own. Messages are told by kind, length and hash, so
// that large ones need not travel to the test.
window.data = (() => {
  const peers = [];
  const channels = [];

  const HASH_START = 2166136261;
  const hash = (bytes) => bytes.reduce((sum, byte) => Math.imul(sum ^ byte, 16777619), HASH_START)
    >>> 0;
  const pattern = (length, seed) => Uint8Array.from({ length }, (_, at) => (at * 31 + seed) & 255);

  function told(message) {
    if (typeof message === 'string') {
      const bytes = new TextEncoder().encode(message);
      const text = message.length < 100 ? message : null;
      return { kind: 'text', text, length: bytes.length, hash: hash(bytes) };
    }
    const bytes = new Uint8Array(message);
    return { kind: 'binary', text: null, length: bytes.length, hash: hash(bytes) };
  }

  async function until(what, check, limit = 10000) {
    const start = performance.now();
    for (;;) {
      const value = await check();
      if (value) return value;
      if (performance.now() - start > limit) throw new Error(`${what}: not within ${limit} ms`);
      await fan.sleep(10);
    }
  }

  // A channel's handle; everything it receives is kept.
  function keep(channel) {
    channel.binaryType = 'arraybuffer';
    const kept = { channel, got: [], closed: false };
    channel.addEventListener('message', ({ data }) => kept.got.push(told(data)));
    channel.addEventListener('close', () => { kept.closed = true; });
    channels.push(kept);
    return channels.length - 1;
  }

  const SERVER_EVENTS = { location: 'remote', dataChannelName: 'server-events' };

  // Gives a session data channels. Options {by: `client` (channel in band), `negotiated` (channel
  // on stream 0) or `server`, media: index of a session of `fan`, relay: port of a relay}.
  async function join({ by = 'client', media, relay } = {}) {
    const session = media === undefined
      ? { pc: new RTCPeerConnection({ bundlePolicy: 'max-bundle' }), relay }
      : fan.session(media);
    const { pc } = session;
    session.id ||= (await fan.api('POST', '/sessions/new')).sessionId;
    const path = `/sessions/${session.id}/datachannels/establish`;
    let events;
    if (by === 'server') {
      const came = new Promise((resolve) => {
        pc.addEventListener('datachannel', ({ channel }) => resolve(channel), { once: true });
      });
      const reply = await fan.api('POST', path, { dataChannel: SERVER_EVENTS });
      await fan.remote(session, reply.sessionDescription);
      await pc.setLocalDescription(await pc.createAnswer());
      await fan.api('PUT', `/sessions/${session.id}/renegotiate`, {
        sessionDescription: { type: 'answer', sdp: pc.localDescription.sdp },
      });
      events = await Promise.race([came, fan.sleep(10000)]);
      if (!events) throw new Error('no datachannel event');
    } else {
      events = pc.createDataChannel(
        'server-events', by === 'negotiated' ? { negotiated: true, id: 0 } : {});
      await pc.setLocalDescription(await pc.createOffer());
      const reply = await fan.api('POST', path, {
        dataChannel: SERVER_EVENTS,
        sessionDescription: { type: 'offer', sdp: pc.localDescription.sdp },
      });
      await fan.remote(session, reply.sessionDescription);
    }
    await until('server-events is open', () => events.readyState === 'open');
    peers.push({ ...session, events: keep(events) });
    return {
      session: peers.length - 1,
      sessionId: session.id,
      label: events.label,
      stream: events.id,
      messageMax: pc.sctp.maxMessageSize,
    };
  }

  // Opens channels {name, from: the publisher's session or absent, wish: further fields of the
  // API's object, own: options of createDataChannel}; their handles.
  async function open(index, wanted) {
    const { pc, id } = peers[index];
    const reply = await fan.api('POST', `/sessions/${id}/datachannels/new`, {
      dataChannels: wanted.map(({ name, from, wish }) => (
        { location: from ? 'remote' : 'local', sessionId: from, dataChannelName: name, ...wish })),
    });
    const handles = reply.dataChannels.map((made, at) => {
      if (made.errorCode) throw new Error(JSON.stringify(made));
      const options = { negotiated: true, id: made.id, ordered: made.ordered ?? true };
      if (made.maxRetransmits !== undefined) options.maxRetransmits = made.maxRetransmits;
      return keep(pc.createDataChannel(wanted[at].name, options));
    });
    await until('channels are open', () => (
      handles.every((handle) => channels[handle].channel.readyState === 'open')));
    return handles.map((handle) => ({ handle, id: channels[handle].channel.id }));
  }

  // Sends one message {text} or {length, seed}.
  function send(handle, { text, length, seed }) {
    channels[handle].channel.send(text === undefined ? pattern(length, seed) : text);
    return told(text === undefined ? pattern(length, seed) : text);
  }

  // Sends so many binary messages of one length, so many milliseconds apart.
  async function stream(handle, count, length, pause) {
    for (let number = 0; number < count; number += 1) {
      send(handle, { length, seed: number });
      await fan.sleep(pause);
    }
  }

  const got = (handle) => channels[handle].got;
  const seen = (handle) => ({
    messages: channels[handle].got.length,
    state: channels[handle].channel.readyState,
    closed: channels[handle].closed,
  });
  const allClosed = (handles) => until(
    'all are closed', () => handles.every((handle) => channels[handle].closed));
  const shut = (handle) => channels[handle].channel.close();
  const leave = (index) => peers[index].pc.close();

  return { join, open, send, stream, got, seen, allClosed, shut, leave };
})();
