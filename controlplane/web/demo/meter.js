// Looks at a link again and again: who speaks, five times a second, and how well it goes, once a
// second. Reads only what the browser counts; tells through two callbacks.

import { judge, judgeOwn, read } from './quality.js';

/** Between two looks at the levels, in milliseconds. */
const LEVEL_PERIOD = 200;
/** Looks at the levels for one at the statistics. */
const STATS_EVERY = 5;
/** Level (0 to 1) from which somebody speaks. Chosen: quiet speech is about 0.03. */
const SPEAKS = 0.015;
/** How long the last speaker stays the active one, in looks. */
const HOLD = 6;

export class Meter {
  #levels = new Map();
  #before = new Map();
  #held = 0;
  #active = null;
  #looks = 0;
  #timer;

  /** `streams()` gives the link and [{member, own, microphone, mids}]; `onSpeakers(active, all)`
   * gets member ids; `onQuality(map)` gets a verdict by member. */
  constructor({ streams, onSpeakers, onQuality }) {
    this.#timer = setInterval(() => this.#look(streams, onSpeakers, onQuality), LEVEL_PERIOD);
  }

  stop() { clearInterval(this.#timer); }

  async #look(streams, onSpeakers, onQuality) {
    const { link, members } = streams();
    if (!link || link.pc.connectionState !== 'connected') return;
    const speaking = new Set();
    for (const member of members) {
      const level = await this.#level(link, member);
      if (level > SPEAKS) speaking.add(member.id);
    }
    this.#choose(members, speaking);
    onSpeakers(this.#active, speaking);
    this.#looks += 1;
    if (this.#looks % STATS_EVERY) return;
    const { roundTripMs, incoming, outgoing } = read(await link.pc.getStats(), this.#before);
    onQuality(new Map(members.map(({ id, own, mids }) => {
      const of = (side) => mids.flatMap((mid) => side.get(mid) ?? []);
      return [id, own ? judgeOwn(of(outgoing), roundTripMs) : judge(of(incoming), roundTripMs)];
    })));
  }

  /** Smoothed level of a member's microphone. */
  async #level(link, { id, own, muted, microphone }) {
    let level = 0;
    if (microphone && !muted) {
      level = own ? await sentLevel(microphone.sender) : receivedLevel(microphone.receiver);
    }
    const smooth = Math.max(level, (this.#levels.get(id) ?? 0) * 0.6);
    this.#levels.set(id, smooth);
    return smooth;
  }

  /** The active speaker: the loudest, who keeps the part for a moment when it is quiet. */
  #choose(members, speaking) {
    const level = ({ id }) => this.#levels.get(id) ?? 0;
    const loudest = members.filter(({ id }) => speaking.has(id))
      .sort((a, b) => level(b) - level(a))[0];
    if (speaking.has(this.#active)) this.#held = 0; else this.#held += 1;
    if (loudest && (this.#held > HOLD || this.#active === null)) {
      this.#active = loudest.id;
      this.#held = 0;
    }
    if (!members.some(({ id }) => id === this.#active)) this.#active = null;
  }
}

/** The level that the sender wrote into its packets (RFC 6464), else 0. */
function receivedLevel(receiver) {
  const [source] = receiver.getSynchronizationSources();
  return source?.audioLevel ?? 0;
}

async function sentLevel(sender) {
  for (const entry of (await sender.getStats()).values()) {
    if (entry.type === 'media-source') return entry.audioLevel ?? 0;
  }
  return 0;
}
