// A client for Node and the package `ws`: node node.mjs <dialect> <url> [<token for the Authorization header>]

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { play } from './program.mjs';

const WebSocket = createRequire(import.meta.url)('ws');
const [dialect, url, bearer] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

await play({
  dialect,
  url,
  open: (address) => new WebSocket(address, bearer ? { headers: { Authorization: `Bearer ${bearer}` } } : {}),
  // As when a cable is pulled: no close frame.
  cut: (socket) => socket.terminate(),
  step: async (progress) => {
    console.log(JSON.stringify(progress));
    await lines.next();
  },
});
process.exit(0);
