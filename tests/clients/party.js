// A client that uses partytracks as its readme says, with the calls of peer.js; and what else
// partytracks can do. Tracks are named by numbers of ours: what partytracks calls a mid is its own.

import { BehaviorSubject, firstValueFrom, of } from 'rxjs';
import { PartyTracks } from 'partytracks/client';

import * as stage from './stage.js';

export class Party {
  // `prefix` as partytracks takes it, `headers` as an object, `iceServers` where nothing is to be asked
  // for.
  constructor({ prefix, headers, iceServers }) {
    this.party = new PartyTracks({
      prefix, iceServers, ...(headers && { headers: new Headers(headers) }), maxApiHistory: 1000,
    });
    this.pushed = new Map();
    this.pulled = new Map();
    this.count = 0;
  }

  // Keeps the connection as an application does, whatever is subscribed to besides.
  open() {
    this.connection ||= this.party.session$.subscribe((session) => { this.session = session; });
  }

  push(track, options) {
    this.open();
    const source$ = new BehaviorSubject(track);
    const metadata$ = this.party.push(source$, options);
    const id = String(this.count += 1);
    const entry = { source$, metadata$, latest: null };
    entry.subscription = metadata$.subscribe((metadata) => { entry.latest = metadata; });
    this.pushed.set(id, entry);
    return firstValueFrom(metadata$).then((metadata) => ({ ...metadata, mid: id, kind: track.kind }));
  }

  pull(locator, options) {
    this.open();
    const id = String(this.count += 1);
    const track$ = this.party.pull(of(locator), options);
    const entry = { report: null };
    // Each new track is a new thing to look at: after a reconnection there is one.
    entry.subscription = track$.subscribe((track) => { entry.report = stage.look(track); });
    this.pulled.set(id, entry);
    return firstValueFrom(track$).then(() => id);
  }

  async publish(sender) {
    return Promise.all([stage.tone(sender), stage.picture(sender)].map((track) => this.push(track)));
  }

  async watch(locators) {
    return Promise.all(locators.map(({ sessionId, trackName }) => (
      this.pull({ sessionId, trackName, location: 'remote' }))));
  }

  async seen() {
    const reports = {};
    for (const [id, { report }] of this.pulled) reports[id] = await report();
    return reports;
  }

  async unwatch(ids) {
    ids.forEach((id) => this.pulled.get(id).subscription.unsubscribe());
  }

  async unpublish(ids) {
    ids.forEach((id) => {
      this.pushed.get(id).subscription.unsubscribe();
      this.pushed.delete(id);
    });
  }

  // ---- what only partytracks does ----

  // Pushes a picture of each of many senders within one tick.
  async batch(senders) {
    const size = { width: 160, height: 90, fps: 10 };
    return Promise.all(senders.map((sender) => this.push(stage.picture(sender, size))));
  }

  async publishSimulcast(sender, rids) {
    const encodings = rids.map((rid, i) => ({ rid, scaleResolutionDownBy: 2 ** i }));
    const track = stage.picture(sender, { width: 640, height: 360 });
    return [await this.push(track, { sendEncodings$: of(encodings) })];
  }

  // Pulls an encoding, which `prefer` changes later.
  async watchRid({ sessionId, trackName }, rid) {
    this.rid$ = new BehaviorSubject(rid);
    const locator = { sessionId, trackName, location: 'remote' };
    return this.pull(locator, { simulcast: { preferredRid$: this.rid$ } });
  }

  async prefer(rid) {
    this.rid$.next(rid);
  }

  // Replaces the picture of a pushed track by that of another sender.
  async replace(id, sender) {
    this.pushed.get(id).source$.next(stage.picture(sender));
  }

  // Takes the connection away from under partytracks and waits for the next one; the new names of
  // what is pushed.
  async reconnect() {
    const { peerConnection, sessionId } = this.session;
    const before = [...this.pushed.values()].map(({ latest }) => latest);
    peerConnection.close();
    peerConnection.dispatchEvent(new Event('connectionstatechange'));
    const moved = (entry, i) => entry.latest.sessionId !== before[i].sessionId;
    while (this.session.sessionId === sessionId || ![...this.pushed.values()].every(moved)) {
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    return [...this.pushed.values()].map(({ latest }) => latest);
  }

  // How many requests whose path has `part` in it went out.
  async requests(part) {
    const { entries } = this.party.history;
    return entries.filter(({ type, endpoint }) => type === 'request' && endpoint.includes(part)).length;
  }

  async connectionState() {
    return this.session.peerConnection.connectionState;
  }
}
