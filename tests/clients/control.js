// Commands from the test, for the clients that run on Node; control.py says what they look like.

import { createInterface } from 'node:readline';

// Calls methods of `client` by name until standard input ends, then ends the process.
export async function serve(client) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { call, arguments: values } = JSON.parse(line);
    const reply = await client[call](...values).then(
      (value) => ({ value: value === undefined ? null : value }),
      (error) => ({ error: String((error && error.stack) || error) }));
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
  process.exit(0);
}
