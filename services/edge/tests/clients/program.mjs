// The program of every JavaScript client, in Node and in browsers alike. What differs is handed in: how to open a
// socket, and how to tell how far the program is.

const byChannel = (channel) => ({ subscribe: { type: 'subscribe', channel } });

// What the documents say about each dialect, as far as this program needs it.
const DIALECTS = {
  sentinelops: {
    ready: (message) => message.type === 'connection.ready',
    subscribe: { id: 'sub_123', type: 'subscribe', data: { events: ['agent.*'] } },
    confirmed: (message) => message.type === 'subscription.confirmed' && message.id === 'sub_123',
    isEvent: (message) => message.type === 'event' && message.event === 'agent.error',
    cursor: (message) => message.id,
    command: { id: 'cmd_1', type: 'command', data: { action: 'get_status', agent_id: 'web-1' } },
    commanded: (message) => message.type === 'response' && message.id === 'cmd_1',
  },
  freeagentics: {
    ready: (message) => message.type === 'connection_established',
    subscribe: { type: 'subscribe', data: { events: ['agent_updated'], agents: ['web-1'] } },
    confirmed: (message) => message.type === 'subscription_confirmed' && message.data.status === 'active',
    isEvent: (message) => message.type === 'agent_updated',
    command: { type: 'command', data: { agent_id: 'web-1', command: 'get_status' } },
    commanded: (message) => message.type === 'agent_status',
  },
  aisoc: { ...byChannel('all'), isEvent: (message) => message.type === 'case.closed' },
  sentinel_ai: { isEvent: (message) => message.type === 'error' },
  projects: { ...byChannel('project.p'), isEvent: (message) => message.type === 'project.completed' },
};

// A connection whose messages are waited for one by one.
class Connection {
  constructor(socket) {
    this.socket = socket;
    this.messages = [];
    this.waiting = [];
    this.closed = new Promise((resolve) => socket.addEventListener('close', (event) => resolve(event.code)));
    socket.addEventListener('message', (event) => {
      const message = JSON.parse(event.data);
      if (message.type === 'ping') return this.send({ type: 'pong' });
      this.messages.push(message);
      this.waiting.splice(0).forEach((wake) => wake());
    });
    this.opened = new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', () => reject(new Error('the connection failed')));
    });
  }

  send(message) {
    this.socket.send(JSON.stringify(message));
  }

  // The next message of this sort; others are passed over.
  async find(isWanted) {
    for (;;) {
      while (this.messages.length > 0) {
        const message = this.messages.shift();
        if (isWanted(message)) return message;
      }
      await new Promise((wake) => this.waiting.push(wake));
    }
  }
}

// Plays the program. `open(url)` gives a WebSocket; `step(progress)` tells how far it is, and waits for leave to go
// on; `token` is sent as a first message where the socket could not carry it.
export async function play({ dialect, url, token, open, cut, step }) {
  const spoken = DIALECTS[dialect];

  async function connect(more) {
    const connection = new Connection(open(url + more));
    await connection.opened;
    if (token) connection.send({ type: 'auth', token });
    if (spoken.ready) await connection.find(spoken.ready);
    if (spoken.subscribe) connection.send(spoken.subscribe);
    if (spoken.confirmed) await connection.find(spoken.confirmed);
    return connection;
  }

  let connection = await connect('');
  await step({ at: 'subscribed' });
  const first = await connection.find(spoken.isEvent);
  await step({ at: 'event', message: first });
  cut(connection.socket);
  await connection.closed;
  await step({ at: 'cut' });
  const cursor = (spoken.cursor ?? ((message) => message.cursor))(first);
  connection = await connect(`${url.includes('?') ? '&' : '?'}cursor=${encodeURIComponent(cursor)}`);
  await step({ at: 'resumed', message: await connection.find(spoken.isEvent) });
  if (spoken.command) {
    connection.send(spoken.command);
    await step({ at: 'commanded', message: await connection.find(spoken.commanded) });
  }
  connection.socket.close(1000, 'Normal closure');
  await step({ at: 'closed', code: await connection.closed });
}
