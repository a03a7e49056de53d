// End-to-end encryption as the API's users have it: a worker between the codec and the network
// changes every encoded frame, at the publisher and back at the viewer. The cipher is a toy, what
// the server sees of it is not: no byte of the payload is what a codec wrote. A mark at the end of
// a frame tells whether it came through whole. Used by client.js.
//
// Modes: `headers` leaves clear what a receiver without other means reads of VP8 and Opus (the
// first 10 bytes of key frames, 3 of others, 1 of sound); `all` leaves nothing clear.
window.cipher = (() => {
  const source = `
    // Odd at 0: the bit that tells VP8's key frames is turned.
    const key = (at) => (at * 167 + 91) & 255;
    const mark = [70, 65, 78, 70];

    function clear({ mode, kind }, frame) {
      if (mode === 'all') return 0;
      if (kind === 'audio') return 1;
      return frame.type === 'key' ? 10 : 3;
    }

    function turn(bytes, from) {
      for (let at = from; at < bytes.length; at += 1) bytes[at] ^= key(at - from);
    }

    function seal(options, frame) {
      const bytes = new Uint8Array(frame.data.byteLength + mark.length);
      bytes.set(new Uint8Array(frame.data));
      bytes.set(mark, frame.data.byteLength);
      turn(bytes, clear(options, frame));
      frame.data = bytes.buffer;
      return true;
    }

    function open(options, frame) {
      const bytes = new Uint8Array(frame.data);
      turn(bytes, clear(options, frame));
      const end = bytes.length - mark.length;
      const whole = end >= 0 && mark.every((byte, at) => bytes[end + at] === byte);
      frame.data = bytes.slice(0, Math.max(end, 0)).buffer;
      postMessage(whole);
      return whole;
    }

    onrtctransform = ({ transformer: { readable, writable, options } }) => {
      const work = options.side === 'seal' ? seal : open;
      const transform = (frame, controller) => {
        if (work(options, frame)) controller.enqueue(frame);
      };
      readable.pipeThrough(new TransformStream({ transform })).pipeTo(writable);
    };`;
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));

  // Frames opened and frames that were not whole, of all receivers of this page.
  const counts = { whole: 0, broken: 0 };

  function attach(end, options) {
    const worker = new Worker(url);
    worker.addEventListener('message', ({ data }) => { counts[data ? 'whole' : 'broken'] += 1; });
    end.transform = new RTCRtpScriptTransform(worker, { kind: end.track.kind, ...options });
  }

  return {
    seal: (sender, mode) => attach(sender, { side: 'seal', mode }),
    open: (receiver, mode) => attach(receiver, { side: 'open', mode }),
    counts: () => counts,
  };
})();
