// The tiles: one for each member's camera and one for each shared screen, with name, sound, signs
// of speech and quality. Finds the arrangement in which they are largest. Elements are kept from
// one look to the next, so that pictures never flicker.

import {
  CAMERA, MICROPHONE, SCREEN, SCREEN_SOUND, isMirror,
} from './devices.js';

const $ = (id) => document.getElementById(id);
/** Width by height of a tile. */
const RATIO = 16 / 9;
/** Space between tiles in pixels, as in the style sheet. */
const GAP = 8;
/** Width of a tile below a shared screen in pixels: the least and the most. */
const STRIP_LEAST = 104;
const STRIP_MOST = 200;
/** Hues of the circles that stand for members without a picture. */
const HUES = 360;

const QUALITIES = [['', 'Automatic'], ['f', 'High'], ['h', 'Medium'], ['q', 'Low']];

const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
};

const icon = (name) => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  svg.setAttribute('aria-hidden', 'true');
  return svg;
};

/** Gives a media element a track, and only when it has another. */
function play(element, track) {
  if ((element.srcObject?.getTracks()[0] ?? null) === track) return;
  element.srcObject = track ? new MediaStream([track]) : null;
  if (track) element.play().catch(() => element.dispatchEvent(new Event('blocked')));
}

const initials = (name) => name.split(/\s+/).slice(0, 2).map((word) => [...word][0]).join('');

const hue = (id) => [...id].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % HUES, 7);

/** One tile. */
class Tile {
  element = make('li', 'tile');
  video = make('video');
  #audio = make('audio');
  #circle = make('span', 'circle');
  #name = make('span', 'name');
  #muted = make('span', 'muted');
  #bars = make('button', 'bars');
  #detail = make('div', 'detail');
  #figures = make('ul');
  #select = make('select');

  constructor({ key, member, source, choose, onBlocked }) {
    Object.assign(this.element.dataset, { key, source, member: member.id });
    Object.assign(this.video, { autoplay: true, playsInline: true, muted: true });
    this.video.setAttribute('aria-hidden', 'true');
    this.video.disablePictureInPicture = true;
    this.#audio.autoplay = true;
    this.#audio.addEventListener('blocked', onBlocked);
    this.#circle.style.setProperty('--hue', hue(member.id));
    this.#circle.setAttribute('aria-hidden', 'true');
    this.#muted.append(icon('mic-off'), make('span', 'unseen', 'muted'));
    this.#bars.type = 'button';
    this.#bars.append(make('i'), make('i'), make('i'));
    this.#bars.onclick = () => this.#toggle();
    this.#bars.hidden = true;
    this.#detail.hidden = true;
    this.#detail.append(this.#figures);
    if (choose) this.#offer(key, choose);
    const label = make('div', 'label');
    label.append(this.#muted, this.#name);
    this.element.append(this.#circle, this.video, this.#audio, label, this.#bars, this.#detail);
    this.element.classList.toggle('own', member.own);
    this.element.onkeydown = (event) => {
      if (event.key === 'Escape' && !this.#detail.hidden) { this.#toggle(); this.#bars.focus(); }
    };
  }

  get id() { return this.element.dataset.member; }

  get isScreen() { return this.element.dataset.source === SCREEN; }

  /** Shows a member as it is now. */
  show(member) {
    const { tracks, shows, name, own, muted } = member;
    const picture = this.isScreen ? SCREEN : CAMERA;
    play(this.video, tracks.get(picture) ?? null);
    this.element.classList.toggle('mirror', own && !this.isScreen && isMirror(tracks.get(CAMERA)));
    if (!own) play(this.#audio, tracks.get(this.isScreen ? SCREEN_SOUND : MICROPHONE) ?? null);
    this.element.classList.toggle('dark', !tracks.has(picture));
    const waits = shows.has(picture) && !tracks.has(picture);
    this.#circle.textContent = initials(name);
    this.#circle.classList.toggle('waits', waits);
    this.#muted.hidden = this.isScreen || !muted;
    const shown = own ? `${name} (you)` : name;
    this.#name.textContent = this.isScreen ? `${shown}: screen` : shown;
    this.#bars.dataset.name = this.#name.textContent;
  }

  set speaking(speaks) { this.element.classList.toggle('speaking', speaks); }

  set active(active) { this.element.classList.toggle('active', active); }

  /** Shows a verdict of quality.js. */
  judge(verdict) {
    this.#bars.hidden = !verdict;
    if (!verdict) { this.#detail.hidden = true; return; }
    this.#bars.dataset.grade = verdict.grade;
    const label = `Connection of ${this.#bars.dataset.name}: ${verdict.word}`;
    if (this.#bars.getAttribute('aria-label') !== label) {
      this.#bars.setAttribute('aria-label', label);
      this.#bars.title = verdict.word;
    }
    if (this.#detail.hidden) return;
    this.#figures.replaceChildren(...verdict.lines.map((line) => make('li', '', line)));
  }

  #offer(key, choose) {
    const label = make('label', '', 'Quality ');
    this.#select.append(...QUALITIES.map(([value, text]) => new Option(text, value)));
    this.#select.onchange = () => choose(this.#select.value);
    label.append(this.#select);
    this.#detail.append(label);
  }

  #toggle() {
    this.#detail.hidden = !this.#detail.hidden;
    this.#bars.setAttribute('aria-expanded', String(!this.#detail.hidden));
  }
}

export class Grid {
  #tiles = new Map();
  #list = $('tiles');
  #call;
  #onBlocked;
  #observer = new ResizeObserver(() => this.arrange());

  constructor(call, onBlocked) {
    this.#call = call;
    this.#onBlocked = onBlocked;
    this.#list.replaceChildren();
    this.#observer.observe($('stage'));
  }

  stop() {
    this.#observer.disconnect();
    this.#list.replaceChildren();
    this.#tiles.clear();
  }

  /** Makes the tiles those of the call's members. */
  update() {
    const members = this.#call.members();
    const gone = new Set(this.#tiles.keys());
    for (const member of members) {
      for (const source of [CAMERA, SCREEN]) {
        if (source === SCREEN && !member.shows.has(SCREEN)) continue;
        const key = `${member.id}/${source}`;
        gone.delete(key);
        if (!this.#tiles.has(key)) this.#add(key, member, source);
        this.#tiles.get(key).show(member);
      }
    }
    for (const key of gone) {
      this.#tiles.get(key).element.remove();
      this.#tiles.delete(key);
    }
    $('alone').hidden = members.length > 1;
    this.arrange();
  }

  speakers({ active, speaking }) {
    for (const tile of this.#tiles.values()) {
      tile.speaking = !tile.isScreen && speaking.has(tile.id);
      tile.active = !tile.isScreen && tile.id === active;
    }
  }

  judge(verdicts) {
    for (const tile of this.#tiles.values()) {
      if (!tile.isScreen) tile.judge(verdicts.get(tile.id) ?? null);
    }
  }

  /** Gives each tile the size that fits. A shared screen gets the most of it. */
  arrange() {
    const tiles = [...this.#tiles.values()];
    const screen = tiles.find((tile) => tile.isScreen);
    const { width, height } = room();
    $('stage').classList.toggle('presents', Boolean(screen));
    for (const tile of tiles) tile.element.classList.toggle('main', tile === screen);
    const tile = screen ? strip(tiles.length - 1, width) : columns(tiles.length, width, height);
    this.#list.style.setProperty('--tile', `${Math.floor(tile)}px`);
    this.#report(tiles);
  }

  #report(tiles) {
    const widths = new Map();
    for (const tile of tiles) {
      if (!tile.isScreen) widths.set(tile.id, tile.element.clientWidth * devicePixelRatio);
    }
    this.#call.shown(widths);
  }

  #add(key, member, source) {
    const choose = member.own || source === SCREEN
      ? null : (rid) => this.#call.choose(member.id, rid);
    const tile = new Tile({ key, member, source, choose, onBlocked: this.#onBlocked });
    this.#tiles.set(key, tile);
    if (source === SCREEN) this.#list.prepend(tile.element); else this.#list.append(tile.element);
  }
}

/** The space for tiles in pixels. */
function room() {
  const stage = $('stage');
  const style = getComputedStyle(stage);
  const alone = $('alone').hidden ? 0 : $('alone').offsetHeight + GAP;
  return {
    width: stage.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight),
    height: stage.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom) - alone,
  };
}

/** The width of so many tiles below a screen that is shared: one row, as long as that is legible. */
function strip(count, width) {
  const even = (width - GAP * (count - 1)) / count;
  return Math.max(STRIP_LEAST, Math.min(STRIP_MOST, even));
}

/** The greatest width of so many tiles in a room of this size; when it would be less than half of
 * a narrow room, they are two in a row and scroll. */
function columns(count, width, height) {
  let best = 0;
  for (let across = 1; across <= count; across += 1) {
    const down = Math.ceil(count / across);
    const byWidth = (width - GAP * (across - 1)) / across;
    const byHeight = ((height - GAP * (down - 1)) / down) * RATIO;
    best = Math.max(best, Math.min(byWidth, byHeight));
  }
  return Math.max(best, Math.min((width - GAP) / 2, 240));
}
