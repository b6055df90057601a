// A websocket for @jupyterlab/services that speaks ZMQ with a local kernel, as VS Code's does.

const crypto = require('node:crypto');
const fs = require('node:fs');
const zmq = require('zeromq');

const DELIMITER = '<IDS|MSG>';
const V1 = 'v1.kernel.websocket.jupyter.org';

/**
 * The class to give to `ServerConnection.makeSettings` as `WebSocket`.
 *
 * @param {string} connectionFile path of the kernel's connection file
 */
function rawSocketClass(connectionFile) {
  const connection = JSON.parse(fs.readFileSync(connectionFile, 'utf8'));

  return class RawSocket {
    constructor() {
      this.protocol = V1;
      this.readyState = 1;
      const routingId = crypto.randomUUID();
      const dealer = () => new zmq.Dealer({ routingId, linger: 0 });
      this.sockets = {
        shell: dealer(),
        control: dealer(),
        stdin: dealer(),
        iopub: new zmq.Subscriber({ linger: 0 }),
      };
      for (const [channel, socket] of Object.entries(this.sockets)) {
        socket.connect(`tcp://${connection.ip}:${connection[`${channel}_port`]}`);
        this.receive(channel, socket);
      }
      this.sockets.iopub.subscribe();
      this.sending = Promise.resolve();
      setTimeout(() => this.onopen({}), 0);
    }

    async receive(channel, socket) {
      try {
        for await (const frames of socket) {
          const start = frames.findIndex((frame) => frame.toString() === DELIMITER);
          const parts = frames.slice(start + 2);
          if (frames[start + 1].toString() !== sign(parts)) {
            throw new Error(`wrong signature on ${channel}`);
          }
          this.onmessage({ data: encode(channel, parts) });
        }
      } catch (error) {
        if (!socket.closed) {
          throw error;
        }
      }
    }

    send(data) {
      const [channel, ...parts] = decode(Buffer.from(data));
      const frames = [DELIMITER, sign(parts), ...parts];
      this.sending = this.sending.then(() => this.sockets[channel.toString()].send(frames));
    }

    close() {
      this.readyState = 3;
      for (const socket of Object.values(this.sockets)) {
        socket.close();
      }
    }
  };

  function sign(parts) {
    const hmac = crypto.createHmac('sha256', connection.key);
    parts.slice(0, 4).forEach((part) => hmac.update(part));
    return hmac.digest('hex');
  }
}

function encode(channel, parts) {
  const all = [Buffer.from(channel), ...parts];
  const head = Buffer.alloc(8 * (all.length + 2));
  head.writeBigUInt64LE(BigInt(all.length + 1), 0);
  let offset = head.length;
  all.forEach((part, index) => {
    head.writeBigUInt64LE(BigInt(offset), 8 * (index + 1));
    offset += part.length;
  });
  head.writeBigUInt64LE(BigInt(offset), 8 * (all.length + 1));
  const frame = Buffer.concat([head, ...all]);
  return frame.buffer.slice(frame.byteOffset, frame.byteOffset + frame.length);
}

function decode(frame) {
  const count = Number(frame.readBigUInt64LE(0));
  const offsets = Array.from({ length: count }, (_, index) =>
    Number(frame.readBigUInt64LE(8 * (index + 1)))
  );
  return offsets.slice(1).map((stop, index) => frame.subarray(offsets[index], stop));
}

module.exports = { rawSocketClass };
