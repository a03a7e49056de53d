// Marks in pictures and sound, for the clients written in JavaScript and for the pages; marks.py is the
// same for the others and says what a mark is. Pictures here are planes of luma; a page's canvas goes
// through `cells`. Holds no state.

export const COLUMNS = 8;
export const ROWS = 3;
const TIMES = 1 << 12;
const BLACK = 16;
const WHITE = 235;
const GREY = 128;

// The time that a mark of this moment carries.
const now = () => Math.floor(Date.now() / 100) % TIMES;

// XOR of the nibbles, and a pattern that neither black nor white passes.
const check = (sender, moment) => [sender, sender >> 4, moment, moment >> 4, moment >> 8]
  .reduce((sum, nibble) => sum ^ (nibble & 15), 0xa);

// The 24 bits of a sender's mark of this moment.
export function mark(sender) {
  const moment = now();
  return sender | (moment << 8) | (check(sender, moment) << 20);
}

// Sender and age in milliseconds of 24 bits; null when their check sum is wrong.
export function parse(bits) {
  const sender = bits & 255;
  const moment = (bits >> 8) & (TIMES - 1);
  if (bits >> 20 !== check(sender, moment)) return null;
  const age = (now() - moment + TIMES) % TIMES;
  return { sender, ageMs: 100 * (age > TIMES / 2 ? age - TIMES : age) };
}

// Where the blocks of a picture are: {bit, x, y, width, height}.
export function cells(width, height) {
  const size = { width: Math.floor(width / COLUMNS), height: Math.floor(height / (2 * ROWS)) };
  return Array.from({ length: COLUMNS * ROWS }, (_, bit) => ({
    bit,
    x: (bit % COLUMNS) * size.width,
    y: Math.floor(bit / COLUMNS) * size.height,
    ...size,
  }));
}

// Paints a mark into a plane of luma.
export function paint(luma, width, height, sender) {
  const bits = mark(sender);
  for (const cell of cells(width, height)) {
    const value = (bits >> cell.bit) & 1 ? WHITE : BLACK;
    for (let y = cell.y; y < cell.y + cell.height; y += 1) {
      luma.fill(value, y * width + cell.x, y * width + cell.x + cell.width);
    }
  }
}

// Reads the mark off a plane of luma.
export function read(luma, width, height) {
  let bits = 0;
  for (const cell of cells(width, height)) {
    const at = (cell.y + (cell.height >> 1)) * width + cell.x + (cell.width >> 1);
    if (luma[at] > GREY) bits |= 1 << cell.bit;
  }
  return parse(bits);
}

// The tone of a sender.
export const hertz = (sender) => 400 + 40 * sender;

// Frequency of a tone in samples of -1 to 1, by its upward crossings of zero; 0 for silence.
export function frequency(samples, rate) {
  let ups = 0;
  let first = 0;
  let last = 0;
  let loudest = 0;
  for (let i = 1; i < samples.length; i += 1) {
    loudest = Math.max(loudest, samples[i]);
    if (samples[i - 1] < 0 && samples[i] >= 0) {
      if (!ups) first = i;
      last = i;
      ups += 1;
    }
  }
  return loudest < 0.015 || ups < 2 ? 0 : Math.round(((ups - 1) * rate) / (last - first));
}
