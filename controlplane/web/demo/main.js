// The page of the demo call: lobby, call, good-bye; and the bar of buttons. The room's name is in
// the address, `/demo/NAME` or `/demo#NAME`, and the address is all that others need.
//
// Stable for browser tests: #name #join #mic #cam #chat-open #message #chat-form #leave; tiles are
// `li.tile[data-member][data-source]` with a video; the call's state is in `body.dataset.state`.

import { random } from './api.js';
import { Call } from './call.js';
import { Chat } from './chat.js';
import {
  CAMERA, MICROPHONE, SCREEN, SCREEN_SOUND, canShare, explain, openCamera, openMicrophone,
  openScreen, testPicture,
} from './devices.js';
import { Grid } from './grid.js';
import { Lobby, device } from './lobby.js';

const $ = (id) => document.getElementById(id);
/** How long a small notice is shown, in milliseconds. */
const TOAST = 4000;

/** The room that the address names; a new one where it names none. */
function roomOfAddress() {
  const path = location.pathname.split('/')[2] ?? '';
  const named = decodeURIComponent(path || location.hash.slice(1));
  const room = named.replace(/[^A-Za-z0-9_-]+/g, '-').slice(0, 64) || random(5);
  history.replaceState(null, '', `/demo/${room}`);
  return room;
}

const room = roomOfAddress();
const link = `${location.origin}/demo/${room}`;
let current = null;

function screen(name) {
  for (const id of ['lobby', 'call', 'left']) $(id).hidden = id !== name;
  document.body.dataset.screen = name;
}

let toastTimer;
function toast(text) {
  clearTimeout(toastTimer);
  $('toast').textContent = text;
  toastTimer = setTimeout(() => { $('toast').textContent = ''; }, TOAST);
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(link);
    toast('The link is copied.');
  } catch {
    toast(link);
  }
}

/** Whether another window of this browser is in the same room. */
const windows = 'BroadcastChannel' in window ? new BroadcastChannel(`fanfall-${room}`) : null;
windows?.addEventListener('message', ({ data }) => {
  if (data === 'anybody?' && current) windows.postMessage('here');
});
const elsewhere = () => new Promise((resolve) => {
  if (!windows) { resolve(false); return; }
  windows.addEventListener('message', ({ data }) => { if (data === 'here') resolve(true); });
  windows.postMessage('anybody?');
  setTimeout(() => resolve(false), 250);
});

/** A call on the screen. */
class Session {
  #call;
  #grid;
  #chat;
  #camera;
  #microphone;
  #size;
  #busy = false;

  constructor({ name, size, tracks, camera, microphone }) {
    [this.#camera, this.#microphone, this.#size] = [camera, microphone, size];
    this.name = name;
    screen('call');
    document.body.dataset.state = 'connecting';
    this.#call = new Call({ room, name, tracks, size, muted: !tracks.has(MICROPHONE) });
    this.#grid = new Grid(this.#call, () => this.#blocked());
    this.#chat = new Chat((text) => this.#call.say(text), () => this.#grid.arrange());
    this.#listen();
    this.#buttons();
    this.#show();
    this.#call.start();
    $('mic').focus();
  }

  #listen() {
    const on = (type, act) => this.#call.addEventListener(type, ({ detail }) => act(detail));
    on('members', () => this.#show());
    on('state', (state) => this.#state(state));
    on('chat', ({ name, text }) => this.#chat.add(name, text));
    on('came', (name) => this.#chat.note(`${name} joined.`));
    on('went', (name) => this.#chat.note(`${name} left.`));
    on('notice', toast);
    on('speakers', (speakers) => this.#grid.speakers(speakers));
    on('quality', (verdicts) => this.#grid.judge(verdicts));
    on('over', (reason) => this.leave(reason));
  }

  #buttons() {
    $('mic').onclick = () => this.#once(() => this.#toggleMicrophone());
    $('cam').onclick = () => this.#once(() => this.#toggleCamera());
    $('screen').onclick = () => this.#once(() => this.#toggleScreen());
    $('screen').hidden = !canShare();
    $('copy').onclick = copyLink;
    $('alone-copy').onclick = copyLink;
    $('leave').onclick = () => this.leave('');
  }

  #show() {
    this.#grid.update();
    const muted = this.#call.muted || !this.#call.has(MICROPHONE);
    device($('mic'), 'mic', muted, muted ? 'Unmute the microphone' : 'Mute the microphone');
    const dark = !this.#call.has(CAMERA);
    device($('cam'), 'cam', dark, dark ? 'Turn the camera on' : 'Turn the camera off');
    const shares = this.#call.has(SCREEN);
    $('screen').setAttribute('aria-pressed', String(shares));
    $('screen').setAttribute('aria-label', shares ? 'Stop sharing the screen' : 'Share a screen');
    document.title = `Call (${this.#call.members().length})`;
  }

  #state(state) {
    document.body.dataset.state = state;
    $('banner').hidden = state !== 'reconnecting';
    $('banner').textContent = state === 'reconnecting'
      ? 'The connection was lost. Trying again…' : '';
  }

  /** One click at a time: opening a device takes a while. */
  async #once(action) {
    if (this.#busy) return;
    this.#busy = true;
    await action();
    this.#busy = false;
    this.#show();
  }

  async #open(source, open) {
    try {
      const track = await open();
      if (current === this) this.#call.set(source, track); else track.stop();
      return true;
    } catch (error) {
      toast(explain(error, source));
      return false;
    }
  }

  async #toggleMicrophone() {
    if (this.#call.has(MICROPHONE)) {
      this.#call.mute(!this.#call.muted);
    } else if (await this.#open(MICROPHONE, () => openMicrophone(this.#microphone))) {
      this.#call.mute(false);
    }
  }

  async #toggleCamera() {
    if (this.#call.has(CAMERA)) {
      this.#call.set(CAMERA, null);
    } else {
      await this.#open(CAMERA, () => (this.#camera === 'test'
        ? testPicture(this.#size, this.name) : openCamera(this.#size, this.#camera)));
    }
  }

  async #toggleScreen() {
    if (this.#call.has(SCREEN)) {
      this.#call.set(SCREEN, null);
      this.#call.set(SCREEN_SOUND, null);
      return;
    }
    try {
      const { video, audio } = await openScreen();
      this.#call.set(SCREEN, video);
      this.#call.set(SCREEN_SOUND, audio ?? null);
      video.addEventListener('ended', () => this.#call.set(SCREEN_SOUND, null));
    } catch (error) {
      // Who closes the browser's choice of a screen wanted none.
      if (error?.name !== 'NotAllowedError') toast(explain(error, 'screen'));
    }
  }

  /** The browser plays no sound before the page was touched: the next touch starts it. */
  #blocked() {
    toast('Click anywhere to hear the others.');
    const start = () => {
      for (const audio of document.querySelectorAll('.tile audio')) audio.play().catch(() => {});
    };
    document.addEventListener('pointerdown', start, { once: true });
    document.addEventListener('keydown', start, { once: true });
  }

  /** Ends the call; what is left is told on the last screen. */
  leave(reason) {
    this.#call.end();
    this.#grid.stop();
    current = null;
    document.title = 'Fanfall call';
    document.body.dataset.state = 'left';
    $('left-title').textContent = reason ? 'The call ended' : 'You left the call';
    $('left-reason').textContent = reason;
    screen('left');
    $('left-title').focus();
  }

  /** The page is going away. */
  vanish() { this.#call.end(); }
}

const lobby = new Lobby((choice) => { current = new Session(choice); });

async function enter() {
  screen('lobby');
  $('lobby-room').textContent = `Room ${room}`;
  await lobby.start(await elsewhere());
}

$('again').onclick = enter;
window.addEventListener('pagehide', () => current?.vanish());
// A page that comes back from the browser's memory has left the call already.
window.addEventListener('pageshow', ({ persisted }) => { if (persisted) location.reload(); });
window.addEventListener('hashchange', () => location.reload());
enter();
