// The dashboard: asks the server every two seconds, keeps two minutes of what the cores count, and
// shows either everything or, after a `#`, one session. The token stays in this tab and is in no URL.

import { bits, count, element, fill, millis, percent, Plot } from './plot.js';
import { SessionView } from './session.js';

/** Between two questions, in milliseconds: the cores report as often. */
const PERIOD = 2000;
/** Looks that are kept: two minutes. */
const ROOM = 60;
const KEY = 'fanfall-dashboard-token';

const $ = (id) => document.getElementById(id);
const views = ['door', 'overview', 'session'];
const session = new SessionView($('session'), ROOM);
const history = { in: [], out: [], bitsIn: [], bitsOut: [], drops: [] };
let plots;
let before = null;
let timer;
/** Counts navigations: what was asked for before the last one is not shown. */
let turn = 0;

class Refused extends Error {}

async function ask(path) {
  const token = sessionStorage.getItem(KEY);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const reply = await fetch(`/dashboard/api/${path}`, { headers, cache: 'no-store' });
  if (reply.ok) return reply.json();
  const { errorDescription } = await reply.json().catch(() => ({}));
  if (reply.status === 401) throw new Refused(token ? 'The server takes another token.' : '');
  throw Object.assign(new Error(errorDescription ?? `status ${reply.status}`), { status: reply.status });
}

function show(name, focus) {
  for (const view of views) $(view).hidden = view !== name;
  if (focus) $(name).querySelector('h1').focus();
}

function status(text, lost = false) {
  if ($('status').textContent !== text) $('status').textContent = text;
  $('status').classList.toggle('lost', lost);
}

async function look(focus = false) {
  clearTimeout(timer);
  turn += 1;
  const mine = turn;
  const id = location.hash.slice(1);
  try {
    const found = await ask(id ? `sessions/${encodeURIComponent(id)}` : 'overview');
    if (mine !== turn) return;
    show(id ? 'session' : 'overview', focus);
    if (id) session.draw(found);
    else overview(found);
    status('Live, every two seconds');
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof Refused) {
      show('door');
      $('door-text').textContent = error.message;
      status('');
      return;
    }
    const words = error.status ? error.message : `No answer: ${error.message}`;
    status(id && error.status === 410 ? 'This session ended.' : words, true);
  }
  timer = setTimeout(look, PERIOD);
}

function overview({ cores, sessions, total, connected }) {
  const now = performance.now();
  const seconds = before ? (now - before.now) / 1000 : null;
  const rates = cores.map((core, number) => {
    const was = before?.cores[number];
    const rate = (of) => (was && seconds ? Math.max(0, of(core) - of(was)) / seconds : 0);
    return {
      number, core, in: rate((c) => c.datagramsIn), out: rate((c) => c.datagramsOut),
      bitsIn: 8 * rate((c) => c.bytesIn), bitsOut: 8 * rate((c) => c.bytesOut),
      resent: rate((c) => c.resent), drops: rate((c) => sum(Object.values(c.drops))),
    };
  });
  if (seconds) {
    for (const [name, values] of Object.entries(history)) {
      values.push(sum(rates.map((rate) => rate[name])));
      if (values.length > ROOM) values.shift();
    }
  }
  tiles(cores, total, connected);
  plots ??= [
    [new Plot($('node-plots'), 'Packets per second', ['in', 'out'], (v) => count(v ?? 0), 10), ['in', 'out']],
    [new Plot($('node-plots'), 'Bandwidth', ['in', 'out'], bits, 1e5), ['bitsIn', 'bitsOut']],
    [new Plot($('node-plots'), 'Drops per second', ['drops'], (v) => count(v ?? 0), 5), ['drops']],
  ];
  for (const [plot, names] of plots) plot.draw(names.map((name) => history[name]), ROOM);
  lines(sessions, total);
  fill($('cores'), rates, ({ number }) => String(number), ({ number, core, ...rate }) => [
    String(number), count(rate.in), count(rate.out), count(rate.resent), count(rate.drops),
    count(core.commandsWaiting + core.framesWaiting), count(core.peers), count(core.tracks),
    count(core.subscriptions),
  ]);
  drops(cores, seconds);
  before = { now, cores };
}

const sum = (values) => values.reduce((all, value) => all + value, 0);

function tiles(cores, total, connected) {
  const of = (name) => sum(cores.map((core) => core[name]));
  const newest = (name) => history[name].at(-1) ?? 0;
  const figures = {
    Sessions: `${count(connected)} of ${count(total)} up`, Tracks: count(of('tracks')),
    Subscriptions: count(of('subscriptions')), In: bits(newest('bitsIn')), Out: bits(newest('bitsOut')),
  };
  const made = Object.entries(figures).map(([name, text]) => {
    const tile = element('div');
    tile.append(element('dt', name), element('dd', text));
    return tile;
  });
  $('tiles').replaceChildren(...made);
}

function lines(sessions, total) {
  $('sessions-text').textContent = !total ? 'There are none now.' : sessions.length < total
    ? `The ${sessions.length} of ${total} that need a look most, or carry most.`
    : 'Those that need a look come first.';
  fill($('sessions'), sessions, ({ id }) => id, (line) => [
    name(line), state(line), bits(line.received), bits(line.sent), bits(line.estimate),
    millis(line.roundTripMs), `${percent(line.lostDown)} / ${percent(line.lostUp)}`,
    line.core === null ? '–' : String(line.core),
  ]);
}

/** What a session is called, as a link to its page. */
function name({ id, app, identifier, names, tracks }) {
  const cell = element('div');
  const link = element('a', identifier || id.slice(0, 12), identifier ? '' : 'id');
  link.href = `#${id}`;
  const more = tracks > names.length ? ` and ${tracks - names.length} more` : '';
  const publishes = names.length ? `publishes ${names.join(', ')}${more}` : `app ${app}`;
  cell.append(link, element('span', publishes, 'names'));
  return cell;
}

function state({ finding }) {
  return finding ? [finding.text, finding.severity] : ['good', 'fine'];
}

function drops(cores, seconds) {
  const all = new Map();
  for (const [number, core] of cores.entries()) {
    for (const [reason, value] of Object.entries(core.drops)) {
      const was = before?.cores[number]?.drops[reason] ?? 0;
      const entry = all.get(reason) ?? { reason, value: 0, more: 0 };
      entry.value += value;
      entry.more += before ? value - was : 0;
      all.set(reason, entry);
    }
  }
  const sorted = [...all.values()].sort((a, b) => b.value - a.value);
  $('drops').hidden = !sorted.length;
  $('drops-text').textContent = sorted.length ? '' : 'Nothing was dropped since the start.';
  fill($('drops'), sorted, ({ reason }) => reason, ({ reason, value, more }) => [
    reason.replaceAll('_', ' '), count(value), count(seconds ? more / seconds : 0),
  ]);
}

$('door-form').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $('token').value.trim());
  look(true);
});
addEventListener('hashchange', () => look(true));
look();
