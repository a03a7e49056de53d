// One session: what stands out, two minutes of its path, and what it watches and publishes. Draws what
// the server says; asks for nothing.

import { bits, element, fill, millis, percent, Plot } from './plot.js';

/** Words for how grave a finding is. */
const WORDS = { bad: 'Bad', warning: 'Worth a look', note: 'Note' };

export class SessionView {
  #main;
  #room;
  #id = null;
  #plots = [];

  /** `room`: how many samples a plot has room for. */
  constructor(main, room) { [this.#main, this.#room] = [main, room]; }

  draw(session) {
    if (this.#id !== session.id) this.#begin(session.id);
    const { identifier, id, app, core, connected, seconds } = session;
    this.#text('#session-title', identifier || `Session ${id.slice(0, 12)}`);
    this.#text('#session-text', [
      `id ${id}`, `app ${app}`, connected ? 'connected' : 'not connected',
      core === null ? 'on no core yet' : `on core ${core}`, `${age(seconds)} old`,
    ].join(' · '));
    this.#findings(session);
    const { samples } = session;
    const of = (name) => samples.map((sample) => sample[name]);
    for (const [plot, names] of this.#plots) plot.draw(names.map(of), this.#room);
    const list = (encodings) => encodings
      .map(({ rid, rate }) => `${rid ? `${rid} ` : ''}${rate ? bits(rate) : 'not sent'}`).join(', ');
    fill(this.#find('#watched'), session.watched, ({ mid }) => mid, (it) => [
      it.track, it.kind, it.shown === null ? ['nothing', 'bad'] : it.shown || 'all of it',
      bits(it.rate), list(it.encodings), link(it.session),
    ]);
    fill(this.#find('#published'), session.published, ({ name }) => name, (it) => [
      it.name, it.kind, it.sends ? ['sends', 'fine'] : ['nothing arrives', 'warning'],
      list(it.encodings) + (it.level === null ? '' : `, ${it.level} dB`),
    ]);
  }

  #begin(id) {
    this.#id = id;
    const host = this.#find('#session-plots');
    host.replaceChildren();
    const share = (value) => percent(value ?? 0);
    this.#plots = [
      [new Plot(host, 'Bandwidth', ['to it', 'from it', 'estimate'], bits, 1e5), ['sent', 'received', 'estimate']],
      [new Plot(host, 'Loss', ['to it', 'from it'], share, 50), ['lostDown', 'lostUp']],
      [new Plot(host, 'Delay', ['round trip', 'queue'], millis, 50), ['roundTripMs', 'queueMs']],
      [new Plot(host, 'Asked for again', ['packets', 'key frames'], (v) => String(Math.round(v ?? 0)), 5), ['nacked', 'keyFrames']],
    ];
  }

  #findings({ findings, samples }) {
    const quiet = samples.length ? 'Nothing: its path carries what it asks for.'
      : 'Nothing yet: the first figures come after some seconds of media.';
    const made = findings.map(({ severity, text }) => {
      const item = element('li', '', severity);
      item.append(element('b', WORDS[severity]), element('span', text));
      return item;
    });
    if (!made.length) {
      const item = element('li', '', 'fine');
      item.append(element('span', quiet));
      made.push(item);
    }
    const list = this.#find('#findings');
    const same = list.children.length === made.length
      && made.every((item, place) => item.isEqualNode(list.children[place]));
    if (!same) list.replaceChildren(...made);
  }

  #find(selector) { return this.#main.querySelector(selector); }

  #text(selector, text) {
    const place = this.#find(selector);
    if (place.textContent !== text) place.textContent = text;
  }
}

function link(id) {
  const made = element('a', id.slice(0, 12), 'id');
  made.href = `#${id}`;
  return made;
}

function age(seconds) {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
