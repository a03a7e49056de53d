// The page of the browsers, bundled and served by site.js: a client of the plain API after the public
// echo and echo-simulcast examples, which can watch a stream too (whep.js), or one of partytracks
// (party.js). The test calls `client.start` once
// and then `client.call`. The API is another origin, so every request is subject to CORS.

import { Party } from './party.js';
import * as stage from './stage.js';
import { Viewer } from './whep.js';

let client = null;

// Sections of a sender: a tone and a picture, which has `rids` encodings, each half the size of the one
// before.
async function media(sender, { rids, microphone, ...size } = {}) {
  const sendEncodings = rids && rids.map((rid, i) => ({ rid, scaleResolutionDownBy: 2 ** i }));
  return [
    [microphone ? await stage.microphone() : stage.tone(sender), { direction: 'sendonly' }],
    [stage.picture(sender, size), { direction: 'sendonly', ...(sendEncodings && { sendEncodings }) }],
  ];
}

window.client = {
  // `place`: {api, secret} for a client of the API, {prefix, headers} for one of partytracks;
  // `microphone`: whether sound comes from there.
  start(place) {
    client = place.prefix ? new Party(place) : new Viewer({
      place,
      media: (sender, options) => media(sender, { microphone: place.microphone, ...options }),
      connect: () => new RTCPeerConnection({ bundlePolicy: 'max-bundle' }),
      look: ({ receiver }) => stage.look(receiver.track),
    });
  },
  call: (name, ...values) => client[name](...values),
};
