// The room before the call: name, devices, a look at oneself. Asks for camera and microphone one by
// one, so that who lacks one can still join with the other, or with neither.

import {
  CAMERA, MICROPHONE, explain, isMirror, list, openCamera, openMicrophone, testPicture,
} from './devices.js';

const $ = (id) => document.getElementById(id);
const TEST = 'test';

/** What is remembered for the next time; some browsers keep nothing. */
const remembered = (key) => { try { return localStorage.getItem(`fanfall-${key}`); } catch { return null; } };
const remember = (key, value) => { try { localStorage.setItem(`fanfall-${key}`, value); } catch { /* Not kept. */ } };

/** Puts an icon and a label on a button that is pressed while its device is off. */
export function device(button, kind, off, label) {
  button.setAttribute('aria-pressed', String(off));
  button.setAttribute('aria-label', label);
  button.title = label;
  button.replaceChildren();
  button.insertAdjacentHTML('beforeend', `<svg aria-hidden="true"><use href="#i-${kind}${off ? '-off' : ''}"/></svg>`);
}

export class Lobby {
  #tracks = new Map();
  #notes = new Map();
  #opening = new Set();
  #onJoin;

  constructor(onJoin) {
    this.#onJoin = onJoin;
    $('name').value = remembered('name') ?? '';
    $('size').value = remembered('size') ?? 'high';
    $('lobby-mic').onclick = () => this.#toggle(MICROPHONE);
    $('lobby-cam').onclick = () => this.#toggle(CAMERA);
    $('camera').onchange = () => this.#open(CAMERA);
    $('microphone').onchange = () => this.#open(MICROPHONE);
    $('size').onchange = () => { if (this.#tracks.has(CAMERA)) this.#open(CAMERA); };
    $('lobby-form').onsubmit = (event) => { event.preventDefault(); this.#join(); };
  }

  /** Opens the devices; `quiet` leaves the microphone off, for a second window of one person. */
  async start(quiet) {
    this.#show();
    if (quiet) this.#note(MICROPHONE, 'This call is open in another window here, so the microphone is off in this one.');
    await this.#open(CAMERA);
    if (!quiet) await this.#open(MICROPHONE);
  }

  async #toggle(source) {
    if (this.#tracks.has(source)) this.#take(source, null); else await this.#open(source);
  }

  async #open(source) {
    if (this.#opening.has(source)) return;
    this.#opening.add(source);
    this.#take(source, null);
    const wanted = $(source).value;
    try {
      const track = source === MICROPHONE
        ? await openMicrophone(wanted) : await this.#picture(wanted);
      this.#note(source, '');
      this.#take(source, track);
    } catch (error) {
      this.#note(source, explain(error, source));
    }
    this.#opening.delete(source);
    // Another device was chosen while this one opened.
    if ($(source).value !== wanted) await this.#open(source);
    else await this.#list();
  }

  #picture(wanted) {
    const size = $('size').value;
    return wanted === TEST ? testPicture(size, $('name').value || 'Test picture') : openCamera(size, wanted);
  }

  #take(source, track) {
    this.#tracks.get(source)?.stop();
    this.#tracks.delete(source);
    if (track) {
      this.#tracks.set(source, track);
      track.addEventListener('ended', () => {
        if (this.#tracks.get(source) === track) this.#take(source, null);
      });
    }
    this.#show();
  }

  #show() {
    const camera = this.#tracks.get(CAMERA);
    const preview = $('preview');
    preview.srcObject = camera ? new MediaStream([camera]) : null;
    preview.hidden = !camera;
    preview.classList.toggle('mirror', isMirror(camera));
    $('preview-text').hidden = Boolean(camera);
    const [mic, cam] = [this.#tracks.has(MICROPHONE), Boolean(camera)];
    device($('lobby-mic'), 'mic', !mic, mic ? 'Turn the microphone off' : 'Turn the microphone on');
    device($('lobby-cam'), 'cam', !cam, cam ? 'Turn the camera off' : 'Turn the camera on');
  }

  #note(source, text) {
    this.#notes.set(source, text);
    const texts = [...new Set([...this.#notes.values()].filter(Boolean))];
    $('lobby-notes').replaceChildren(...texts.map((note) => {
      const line = document.createElement('p');
      line.textContent = note;
      return line;
    }));
  }

  /** Fills the lists of devices; keeps what is chosen. */
  async #list() {
    const devices = await list().catch(() => []);
    for (const [source, kind] of [[CAMERA, 'videoinput'], [MICROPHONE, 'audioinput']]) {
      const select = $(source);
      const chosen = select.value;
      const own = devices.filter((entry) => entry.kind === kind);
      const options = [new Option('Default', ''), ...own.map(({ id, label }) => new Option(label, id))];
      if (source === CAMERA) options.push(new Option('Test picture', TEST));
      select.replaceChildren(...options);
      if (options.some(({ value }) => value === chosen)) select.value = chosen;
    }
  }

  #join() {
    const name = $('name').value.trim();
    if (!name) return;
    const size = $('size').value;
    remember('name', name);
    remember('size', size);
    const tracks = this.#tracks;
    this.#tracks = new Map();
    $('preview').srcObject = null;
    this.#onJoin({
      name, size, tracks, camera: $('camera').value, microphone: $('microphone').value,
    });
  }
}
