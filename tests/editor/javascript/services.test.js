// The companion with the real `jrc`, a real server and VS Code's own library for kernels.
//
// Environment: JRC_TEST_PATH the jrc program, JRC_TEST_PROFILE a saved profile,
// JRC_TEST_SECRET its token or password.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const WebSocket = require('ws');
const vscode = require('vscode');
const { KernelManager, ServerConnection } = require('@jupyterlab/services');

const profile = process.env.JRC_TEST_PROFILE;

/** The server that the companion resolves, as the Jupyter extension asks for it. */
async function resolved() {
    vscode.standIn.settings = {
        'jrc.path': process.env.JRC_TEST_PATH,
        'jrc.servers': { [profile]: { label: profile, url: 'http://unused/', profile } }
    };
    let provider;
    vscode.standIn.extensions['ms-toolsai.jupyter'] = {
        isActive: true,
        exports: {
            createJupyterServerCollection: (_id, _label, given) => {
                provider = given;
                return { dispose() {} };
            }
        }
    };
    const context = { subscriptions: [] };
    require('./extension.js').activate(context);
    const token = new vscode.CancellationTokenSource().token;
    const [server] = provider.provideJupyterServers();
    const { connectionInformation } = await provider.resolveJupyterServer(server, token);
    context.subscriptions.forEach((each) => each.dispose());
    return connectionInformation;
}

/** Connection settings as the Jupyter extension makes them: headers on requests and websockets. */
function serverSettings({ baseUrl, token, headers }, urls) {
    class HeaderRequest extends Request {
        constructor(input, init) {
            super(input, init);
            urls.push(this.url);
            Object.entries(headers).forEach(([name, value]) => this.headers.append(name, value));
            this.headers.set('Content-Type', 'application/json');
        }
    }
    class HeaderWebSocket extends WebSocket {
        constructor(url, protocols) {
            super(url, protocols, { headers });
            urls.push(url);
        }
    }
    const url = baseUrl.toString(true);
    return ServerConnection.makeSettings({
        baseUrl: url,
        appUrl: '',
        wsUrl: url.replace('http', 'ws'),
        token: token || '',
        appendToken: true,
        init: { cache: 'no-store', credentials: 'same-origin' },
        fetch,
        Request: HeaderRequest,
        Headers,
        WebSocket: HeaderWebSocket
    });
}

test('a kernel is started, used, interrupted, restarted and shut down', async () => {
    const urls = [];
    const manager = new KernelManager({ serverSettings: serverSettings(await resolved(), urls) });
    await manager.ready;
    const kernel = await manager.startNew({ name: 'python3' });
    try {
        await kernel.info;
        assert.equal(await output(kernel, 'print(6 * 7)'), '42\n');
        const code = 'import time\nprint("asleep", flush=True)\ntime.sleep(60)';
        const sleeping = kernel.requestExecute({ code });
        await new Promise((resolve) => {
            sleeping.onIOPub = ({ header }) => header.msg_type === 'stream' && resolve();
        });
        await kernel.interrupt();
        assert.equal((await sleeping.done).content.status, 'error');
        await output(kernel, 'left = 1');
        await kernel.restart();
        await kernel.info;
        assert.equal(await output(kernel, 'print("left" in globals())'), 'False\n');
    } finally {
        await kernel.shutdown();
        manager.dispose();
    }
    assert.ok(urls.some((url) => url.startsWith('ws')));
    const secret = encodeURIComponent(process.env.JRC_TEST_SECRET);
    assert.ok(!urls.some((url) => url.includes(secret)), 'a secret is in a URL');
});

test('a kernel that runs is listed and taken over, as after a window reload', async () => {
    const information = await resolved();
    const first = new KernelManager({ serverSettings: serverSettings(information, []) });
    await first.ready;
    const kernel = await first.startNew({ name: 'python3' });
    await output(kernel, 'kept = "here"');
    kernel.dispose();
    first.dispose();
    const second = new KernelManager({ serverSettings: serverSettings(await resolved(), []) });
    await second.ready;
    const model = [...second.running()].find(({ id }) => id === kernel.id);
    const again = second.connectTo({ model });
    try {
        assert.equal(await output(again, 'print(kept)'), 'here\n');
    } finally {
        await again.shutdown();
        second.dispose();
    }
});

async function output(kernel, code) {
    const future = kernel.requestExecute({ code });
    let text = '';
    future.onIOPub = ({ header, content }) => {
        text += header.msg_type === 'stream' ? content.text : '';
    };
    const reply = await future.done;
    assert.equal(reply.content.status, 'ok');
    return text;
}
