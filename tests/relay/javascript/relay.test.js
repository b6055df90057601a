// A relay under @jupyterlab/services and zeromq, the libraries of VS Code.
// Run with CONNECTION_FILE in the environment: the connection file of a running relay.

const assert = require('node:assert');
const { after, before, test } = require('node:test');
const { ServerConnection } = require('@jupyterlab/services');
const { KernelConnection } = require('@jupyterlab/services/lib/kernel/default');
const { createMessage } = require('@jupyterlab/services/lib/kernel/messages');
const { rawSocketClass } = require('./raw_socket');

let kernel;

function connect() {
  return new KernelConnection({
    model: { id: 'relay', name: 'remote' },
    handleComms: true,
    serverSettings: ServerConnection.makeSettings({
      WebSocket: rawSocketClass(process.env.CONNECTION_FILE),
    }),
  });
}

/** Execute code: the text on stdout, the result, and the content of the reply. */
async function run(connection, code, onInput) {
  const future = connection.requestExecute({ code, allow_stdin: true });
  const seen = { text: '', result: undefined, displays: [] };
  future.onIOPub = ({ header, content }) => {
    if (header.msg_type === 'stream') seen.text += content.text;
    if (header.msg_type === 'execute_result') seen.result = content.data['text/plain'];
    if (header.msg_type === 'display_data') seen.displays.push(content.data);
  };
  future.onStdin = (message) => {
    connection.sendInputReply({ value: onInput(message.content.prompt), status: 'ok' }, message.header);
  };
  seen.reply = (await future.done).content;
  return seen;
}

function control(connection, msgType, content) {
  const message = createMessage({
    msgType,
    channel: 'control',
    session: connection.clientId,
    username: connection.username,
    content,
  });
  return connection.sendControlMessage(message, true, true).done;
}

before(async () => {
  kernel = connect();
  await kernel.info;
});

after(() => kernel.dispose());

test('the kernel tells what it is', async () => {
  const info = await kernel.info;
  assert.strictEqual(info.language_info.name, 'python');
});

test('code is executed', async () => {
  const { text, result, reply } = await run(kernel, "print('hello'); 6 * 7");
  assert.deepStrictEqual([text, result, reply.status], ['hello\n', '42', 'ok']);
});

test('code is executed for each of several clients', async () => {
  const other = connect();
  const [mine, theirs] = await Promise.all([
    run(kernel, "print('mine')"),
    run(other, "print('theirs')"),
  ]);
  assert.deepStrictEqual([mine.text, theirs.text], ['mine\n', 'theirs\n']);
  other.dispose();
});

test('input is asked and answered', async () => {
  const { text } = await run(kernel, "print(input('who? ')[::-1])", (prompt) => {
    assert.strictEqual(prompt, 'who? ');
    return 'ada';
  });
  assert.strictEqual(text, 'ada\n');
});

test('an interrupt on control stops the code', async () => {
  const running = run(kernel, "import time; time.sleep(60)");
  await new Promise((resolve) => setTimeout(resolve, 500));
  const { content } = await control(kernel, 'interrupt_request', {});
  assert.strictEqual(content.status, 'ok');
  const { reply } = await running;
  assert.strictEqual(reply.ename, 'KeyboardInterrupt');
});

test('completion, inspection and the debugger answer', async () => {
  const completion = await kernel.requestComplete({ code: 'pri', cursor_pos: 3 });
  assert.ok(completion.content.matches.includes('print'));
  const inspection = await kernel.requestInspect({ code: 'print', cursor_pos: 5, detail_level: 0 });
  assert.strictEqual(inspection.content.found, true);
  const debug = kernel.requestDebug({ type: 'request', seq: 0, command: 'debugInfo', arguments: {} });
  assert.strictEqual((await debug.done).content.success, true);
});

test('comm messages carry buffers both ways', async () => {
  await run(
    kernel,
    `def opened(comm, message):
    @comm.on_msg
    def _(message):
        comm.send({"got": message["content"]["data"]}, buffers=message["buffers"])
get_ipython().kernel.comm_manager.register_target("echo", opened)`
  );
  const comm = kernel.createComm('echo');
  await comm.open().done;
  const answer = new Promise((resolve) => {
    comm.onMsg = resolve;
  });
  const sent = [new Uint8Array([1, 2, 3]).buffer, new Uint8Array(70000).buffer];
  comm.send({ n: 1 }, {}, sent);
  const { content, buffers } = await answer;
  assert.deepStrictEqual(content.data, { got: { n: 1 } });
  assert.deepStrictEqual(
    buffers.map((buffer) => Buffer.from(buffer.buffer ?? buffer, buffer.byteOffset, buffer.byteLength)),
    sent.map((buffer) => Buffer.from(buffer))
  );
});

test('large displays arrive', async () => {
  const { displays } = await run(
    kernel,
    `from IPython.display import display
for n in range(20):
    display({"text/plain": str(n) + "x" * 262144}, raw=True)`
  );
  assert.deepStrictEqual(displays.map((data) => parseInt(data['text/plain'], 10)), [...Array(20).keys()]);
});

test('a dead kernel is told as restarting, and the next one works', async () => {
  const restarting = new Promise((resolve) => {
    kernel.statusChanged.connect((_, status) => {
      if (status === 'autorestarting') resolve();
    });
  });
  kernel.requestExecute({ code: 'import os; os._exit(1)' }).done.catch(() => {});
  await restarting;
  await kernel.info;
  const next = connect();
  await next.info;
  assert.strictEqual((await run(next, "print('again')")).text, 'again\n');
  next.dispose();
});
