// A call: what this member publishes, who else is in the room, and one link that is kept in
// agreement with both. Everything that changes (a camera, a member, a lost network) only changes
// what is wanted; `#step` then does what is missing. So a call that lost its link is mended by the
// same code that began it.
//
// Events: `members` (look at members() again), `state`, `chat`, `came`, `went`, `notice`,
// `speakers`, `quality`, `over`.

import { leave, random, stay } from './api.js';
import {
  CAMERA, MICROPHONE, SCREEN, SCREEN_SOUND, encodings,
} from './devices.js';
import { Link } from './link.js';
import { Meter } from './meter.js';

/** Between two requests to the presence service, in milliseconds. */
const BEAT = 1000;
/** Waits before a link is tried again: the first and the longest, in milliseconds. */
const RETRY_FIRST = 300;
const RETRY_MAX = 5000;
/** Before what could not be received is tried again, in milliseconds. */
const PULL_AGAIN = 2000;
/** Longest chat message in characters. */
export const MESSAGE_MAX = 2000;
/** Width of a tile in pixels of the screen up to which a smaller encoding is enough. */
const WIDTHS = [[300, 'q'], [620, 'h']];

/** An encoding, or what bandwidth and publisher have below it. Empty is automatic. */
const wish = (rid) => (rid
  ? { preferredRid: rid, priorityOrdering: 'asciibetical', ridNotAvailable: 'asciibetical' }
  : { preferredRid: '' });

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export class Call extends EventTarget {
  id = random(16);
  #key = random(16);
  #room;
  #name;
  #size;
  #muted;
  #local = new Map();
  #present = [];
  #link = null;
  #announced = null;
  #chats = new Map();
  #pullAfter = new Map();
  #wishes = new Map();
  #choices = new Map();
  #widths = new Map();
  #state = 'connecting';
  #dirty = false;
  #busy = false;
  #over = false;
  #failures = 0;
  #wake = () => {};
  #meter;

  /** `tracks` by source; `size` is that of the picture (devices.js). */
  constructor({ room, name, tracks, size, muted }) {
    super();
    [this.#room, this.#name, this.#size, this.#muted] = [room, name, size, muted];
    for (const [source, track] of tracks) this.#hold(source, track);
    this.#apply();
  }

  start() {
    this.#meter = new Meter({
      streams: () => ({ link: this.#link, members: this.#metered() }),
      onSpeakers: (active, speaking) => this.#tell('speakers', { active, speaking }),
      onQuality: (verdicts) => this.#tell('quality', verdicts),
    });
    this.#beats();
    this.#sync();
  }

  get state() { return this.#state; }

  get muted() { return this.#muted; }

  has(source) { return this.#local.has(source); }

  /** Everybody, this member first: {id, own, name, muted, tracks by source, connected}. */
  members() {
    const own = {
      id: this.id,
      own: true,
      name: this.#name,
      muted: this.#muted || !this.#local.has(MICROPHONE),
      shows: new Set(this.#local.keys()),
      tracks: this.#local,
    };
    return [own, ...this.#others().map((member) => this.#seen(member))];
  }

  /** Mutes or not; the microphone stays open, so that it is quick. */
  mute(muted) {
    this.#muted = muted;
    this.#apply();
    this.#wake();
    this.#tell('members');
  }

  /** Publishes a track as a source in the place of the one there is; null ends it. */
  set(source, track) {
    this.#local.get(source)?.stop();
    this.#local.delete(source);
    if (track) this.#hold(source, track);
    this.#apply();
    this.#tell('members');
    this.#sync();
  }

  /** Says how wide members' pictures are shown, in pixels of the screen: {id: width}. */
  shown(widths) {
    this.#widths = widths;
    this.#choose();
  }

  /** Chooses the encoding of a member's picture by RID; empty is automatic. */
  choose(member, rid) {
    this.#choices.set(member, rid);
    this.#choose();
  }

  choice(member) { return this.#choices.get(member) ?? ''; }

  /** Sends a message to all; false while there is no channel. */
  say(text) {
    const channel = this.#chats.get(this.#link?.id);
    if (channel?.readyState !== 'open') return false;
    channel.send(JSON.stringify({ text: text.slice(0, MESSAGE_MAX) }));
    return true;
  }

  /** Leaves: also while the page is being closed, so nothing here waits. */
  end() {
    if (this.#over) return;
    this.#over = true;
    this.#meter?.stop();
    leave(this.#room, this.id, this.#key).catch(() => {});
    this.#link?.shut();
    for (const track of this.#local.values()) track.stop();
    this.#wake();
  }

  // ---- Presence ----------------------------------------------------------------------------------

  #others() { return this.#present.filter(({ id }) => id !== this.id); }

  #seen({ id, name, muted, sessionId, tracks }) {
    const received = new Map();
    for (const { source, trackName } of tracks) {
      const pulled = this.#link?.pulled.get(`${sessionId}/${trackName}`);
      if (pulled) received.set(source, pulled.track);
    }
    const shows = new Set(tracks.map(({ source }) => source));
    return { id, own: false, name, muted: muted || !shows.has(MICROPHONE), shows, tracks: received };
  }

  async #beats() {
    while (!this.#over) {
      await this.#beat();
      await Promise.race([sleep(BEAT), new Promise((resolve) => { this.#wake = resolve; })]);
    }
  }

  async #beat() {
    const link = this.#announced === this.#link?.id ? this.#link : null;
    const published = link ? [...link.published] : [];
    try {
      const members = await stay(this.#room, this.id, {
        key: this.#key,
        name: this.#name,
        sessionId: link?.id,
        tracks: published.map(([source, { name }]) => ({ source, trackName: name })),
        muted: this.#muted,
      });
      if (this.#over) return;
      this.#meet(members);
    } catch (error) {
      if (this.#over || error.status === 0 || error.status >= 500) this.#fullOrAway(error);
      else this.#finish(error.message);
    }
  }

  #fullOrAway(error) {
    if (this.#over) return;
    if (error.code === 'temporarily_unavailable_error') this.#finish(error.message);
    else if (error.status === 0) this.#enter('reconnecting');
  }

  #finish(reason) {
    this.end();
    this.#tell('over', reason);
  }

  #meet(members) {
    const before = new Map(this.#others().map((member) => [member.id, member]));
    this.#present = members;
    for (const member of this.#others()) {
      if (!before.delete(member.id)) this.#tell('came', member.name);
    }
    for (const member of before.values()) this.#tell('went', member.name);
    if (this.#link && this.#state === 'reconnecting') this.#enter('live');
    this.#tell('members');
    this.#sync();
  }

  // ---- The link ----------------------------------------------------------------------------------

  /** Does what is missing, one step after the other, never two at a time. */
  async #sync() {
    this.#dirty = true;
    if (this.#busy) return;
    this.#busy = true;
    while (this.#dirty && !this.#over) {
      this.#dirty = false;
      try {
        await this.#step(this.#link ?? await this.#connect());
        this.#failures = 0;
        if (this.#state !== 'live') this.#enter('live');
      } catch (error) {
        if (!this.#over) await this.#pause(error);
      }
      this.#tell('members');
    }
    this.#busy = false;
  }

  async #connect() {
    const link = new Link((lost) => this.#lost(lost));
    try {
      await link.open();
      if (this.#over) throw new Error('over');
      this.#chats.set(link.id, await this.#listen(link, null));
    } catch (error) {
      link.shut();
      throw error;
    }
    this.#link = link;
    return link;
  }

  #lost(link) {
    if (this.#link !== link) return;
    this.#link = null;
    this.#chats.clear();
    this.#pullAfter.clear();
    this.#wishes.clear();
    this.#enter('reconnecting');
    this.#tell('members');
    this.#sync();
  }

  async #pause(error) {
    if (this.#state === 'connecting' && this.#failures > 0) this.#tell('notice', error.message);
    if (this.#failures > 0 && this.#state === 'live') this.#enter('reconnecting');
    const wait = Math.min(RETRY_FIRST * 1.6 ** this.#failures, RETRY_MAX);
    this.#failures += 1;
    this.#dirty = true;
    const online = new Promise((resolve) => {
      window.addEventListener('online', resolve, { once: true });
    });
    await Promise.race([sleep(wait), online]);
  }

  async #step(link) {
    const stale = [...link.published].filter(([source, { track }]) => (
      this.#local.get(source) !== track)).map(([source]) => source);
    const wanted = this.#wanted();
    const keys = [...link.pulled.keys()].filter((key) => !wanted.has(key));
    keys.forEach((key) => this.#wishes.delete(link.pulled.get(key).mid));
    if (stale.length || keys.length) await link.close({ sources: stale, keys });
    const missing = [...this.#local].filter(([source]) => !link.published.has(source));
    if (missing.length) {
      await link.publish(missing.map(([source, track]) => (
        { source, track, encodings: encodings(source, this.#size) })));
    }
    if (this.#announced !== link.id || missing.length || stale.length) {
      this.#announced = link.id;
      this.#wake();
    }
    await this.#pull(link, wanted);
    await this.#chat(link);
    this.#choose();
  }

  /** What is to be received, by the link's key. */
  #wanted() {
    const wanted = new Map();
    for (const { id, sessionId, tracks } of this.#others()) {
      if (!sessionId) continue;
      for (const { source, trackName } of tracks) {
        wanted.set(`${sessionId}/${trackName}`, { id, sessionId, source, trackName });
      }
    }
    return wanted;
  }

  async #pull(link, wanted) {
    const sessions = Map.groupBy(
      [...wanted].filter(([key]) => !link.pulled.has(key) && this.#due(key)),
      ([, { sessionId }]) => sessionId,
    );
    for (const [sessionId, tracks] of sessions) {
      await link.pull(sessionId, tracks.map(([, { id, source, trackName }]) => (
        { trackName, simulcast: source === CAMERA ? wish(this.#layer(id)) : undefined })));
      const after = performance.now() + PULL_AGAIN;
      for (const [key, { id, source }] of tracks) {
        const pulled = link.pulled.get(key);
        if (!pulled) this.#pullAfter.set(key, after);
        else if (source === CAMERA) this.#wishes.set(pulled.mid, this.#layer(id));
      }
      this.#tell('members');
    }
  }

  #due(key) { return performance.now() >= (this.#pullAfter.get(key) ?? 0); }

  // ---- Layers ------------------------------------------------------------------------------------

  /** The RID to ask for: what the user chose, else what the tile has room for. */
  #layer(id) {
    const chosen = this.#choices.get(id);
    if (chosen) return chosen;
    const width = this.#widths.get(id) ?? Infinity;
    return WIDTHS.find(([most]) => width <= most)?.[1] ?? '';
  }

  #choose() {
    const link = this.#link;
    if (!link) return;
    const changed = [];
    for (const [key, { id, source }] of this.#wanted()) {
      const mid = link.pulled.get(key)?.mid;
      if (source !== CAMERA || mid === undefined) continue;
      const rid = this.#layer(id);
      if (this.#wishes.get(mid) === rid) continue;
      this.#wishes.set(mid, rid);
      changed.push({ mid, simulcast: wish(rid) });
    }
    if (changed.length) link.choose(changed);
  }

  // ---- Chat --------------------------------------------------------------------------------------

  /** Receives every member's chat. One that is not there yet is asked for again later. */
  async #chat(link) {
    for (const { sessionId } of this.#others()) {
      const key = `chat ${sessionId}`;
      if (!sessionId || this.#chats.has(sessionId) || !this.#due(key)) continue;
      try {
        this.#chats.set(sessionId, await this.#listen(link, sessionId));
      } catch {
        this.#pullAfter.set(key, performance.now() + PULL_AGAIN);
      }
    }
    for (const [sessionId, channel] of this.#chats) {
      const there = sessionId === link.id
        || this.#others().some((member) => member.sessionId === sessionId);
      if (there && channel.readyState !== 'closed') continue;
      channel.close();
      this.#chats.delete(sessionId);
    }
  }

  async #listen(link, sessionId) {
    const channel = await link.chat(sessionId);
    channel.addEventListener('message', ({ data }) => this.#hear(sessionId, data));
    return channel;
  }

  #hear(sessionId, data) {
    const member = this.#others().find((other) => other.sessionId === sessionId);
    if (!member || typeof data !== 'string') return;
    try {
      const { text } = JSON.parse(data);
      if (typeof text === 'string' && text) {
        this.#tell('chat', { name: member.name, text: text.slice(0, MESSAGE_MAX) });
      }
    } catch {
      // Not a message of this page: nothing to show.
    }
  }

  // ---- Small things ------------------------------------------------------------------------------

  #hold(source, track) {
    this.#local.set(source, track);
    track.addEventListener('ended', () => {
      if (this.#local.get(source) !== track || this.#over) return;
      this.set(source, null);
      if (source === CAMERA || source === MICROPHONE) this.#tell('notice', `The ${source} ended.`);
    });
  }

  #apply() {
    const microphone = this.#local.get(MICROPHONE);
    if (microphone) microphone.enabled = !this.#muted;
  }

  /** Members as the meter wants them. */
  #metered() {
    const link = this.#link;
    if (!link) return [];
    const own = {
      id: this.id,
      own: true,
      muted: this.#muted,
      microphone: link.published.get(MICROPHONE)?.transceiver,
      mids: [CAMERA, MICROPHONE, SCREEN, SCREEN_SOUND]
        .map((source) => link.published.get(source)?.transceiver.mid).filter(Boolean),
    };
    return [own, ...this.#others().map(({ id, muted, sessionId, tracks }) => {
      const pulled = ({ trackName }) => link.pulled.get(`${sessionId}/${trackName}`);
      const microphone = tracks.find(({ source }) => source === MICROPHONE);
      return {
        id,
        own: false,
        muted,
        microphone: microphone && pulled(microphone)?.transceiver,
        mids: tracks.map((track) => pulled(track)?.mid).filter(Boolean),
      };
    })];
  }

  #enter(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#tell('state', state);
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
