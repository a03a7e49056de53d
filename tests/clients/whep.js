// A player of WHEP in a page, beside the plain API: by its own offer or the server's, with candidates
// and ICE restarts in PATCH requests, as the draft has them. The API is another origin, so it sees only
// the headers that CORS shows it.

import { Peer } from './peer.js';

export class Viewer extends Peer {
  players = [];

  // A token for a stream, as the application's server makes it.
  async token(stream, role) {
    return (await this.request('POST', `/streams/${stream}/tokens`, { role })).token;
  }

  stream(stream) {
    return this.request('GET', `/streams/${stream}`);
  }

  // Watches a stream by an offer of this page, with its candidates later; names of its sections.
  async play(stream, token) {
    const pc = await this.connect();
    const found = [];
    pc.onicecandidate = ({ candidate }) => found.push(candidate);
    ['audio', 'video'].forEach((kind) => pc.addTransceiver(kind, { direction: 'recvonly' }));
    await pc.setLocalDescription(await pc.createOffer());
    const reply = await exchange('POST', `${this.place.api}/whep/${stream}`, token, {
      'content-type': 'application/sdp' }, pc.localDescription.sdp);
    const player = this.take(pc, reply, token);
    await pc.setRemoteDescription({ type: 'answer', sdp: reply.text });
    while (found.at(-1) !== null) await new Promise((done) => { setTimeout(done, 10); });
    const lines = found.filter(Boolean).map(({ candidate }) => `a=${candidate}\r\n`);
    const section = 'm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n';
    const trickled = await this.patch(player, player.tag, credentials(pc) + section + lines.join(''));
    if (trickled.status !== 204) throw new Error(`trickle: ${trickled.status}`);
    return this.show(player);
  }

  // Watches a stream by an offer of the server.
  async playOffered(stream, token) {
    const pc = await this.connect();
    const reply = await exchange('POST', `${this.place.api}/whep/${stream}`, token, {});
    const player = this.take(pc, reply, token);
    await pc.setRemoteDescription({ type: 'offer', sdp: reply.text });
    await pc.setLocalDescription(await pc.createAnswer());
    await exchange('PATCH', player.place, token, { 'content-type': 'application/sdp' },
      pc.localDescription.sdp);
    return this.show(player);
  }

  // Restarts ICE of the first player: the answer is the first one with the server's new credentials.
  async restart() {
    const [player] = this.players;
    await player.pc.setLocalDescription(await player.pc.createOffer({ iceRestart: true }));
    const { status, text, headers } = await this.patch(player, '*', credentials(player.pc));
    if (status !== 200) throw new Error(`restart: ${status}`);
    player.tag = headers.get('etag');
    let { sdp } = player.pc.remoteDescription;
    for (const name of ['ufrag', 'pwd']) {
      const [line] = new RegExp(`a=ice-${name}:.*`).exec(text);
      sdp = sdp.replaceAll(new RegExp(`a=ice-${name}:.*`, 'g'), line);
    }
    await player.pc.setRemoteDescription({ type: 'answer', sdp });
  }

  // States of the players' connections.
  states() {
    return this.players.map(({ pc }) => pc.connectionState);
  }

  take(pc, { headers }, token) {
    const place = new URL(headers.get('location'), this.place.api).href;
    const player = { pc, place, token, tag: headers.get('etag'), name: this.players.length };
    this.players.push(player);
    return player;
  }

  patch({ place, token }, tag, body) {
    return exchange('PATCH', place, token, {
      'content-type': 'application/trickle-ice-sdpfrag', 'if-match': tag }, body);
  }

  show({ pc, name }) {
    return pc.getTransceivers().map((transceiver) => {
      const key = `player ${name} ${transceiver.mid}`;
      this.seenOf.set(key, this.look(transceiver));
      return key;
    });
  }
}

// The ICE credentials of a local description.
function credentials({ localDescription: { sdp } }) {
  const lines = ['ufrag', 'pwd'].map((name) => new RegExp(`a=ice-${name}:.*`).exec(sdp)[0].trim());
  return `${lines.join('\r\n')}\r\n`;
}

async function exchange(method, url, token, headers, body) {
  const authorization = `Bearer ${token}`;
  const reply = await fetch(url, { method, headers: { authorization, ...headers }, body });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${method} ${url}: ${reply.status} ${text}`);
  return { status: reply.status, headers: reply.headers, text };
}
