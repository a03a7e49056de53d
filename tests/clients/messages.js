// Messages of data channels as the test writes and reads them: {text} or {hex}. messages.py is the same
// for the clients written in Python. Holds no state.

// What a channel sends for a message.
export const made = ({ text, hex }) => (text ?? (
  Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16))));

// The message that a channel brought.
export const told = (data) => (typeof data === 'string' ? { text: data } : {
  hex: Array.from(new Uint8Array(data), (byte) => byte.toString(16).padStart(2, '0')).join(''),
});
