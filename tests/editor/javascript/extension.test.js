// The companion against a stand-in of VS Code, and a `jrc` whose answers each test writes.
'use strict';

const assert = require('node:assert/strict');
const {
    chmodSync,
    existsSync,
    mkdtempSync,
    readFileSync,
    realpathSync,
    rmSync,
    writeFileSync
} = require('node:fs');
const { homedir, tmpdir } = require('node:os');
const { join } = require('node:path');
const { afterEach, beforeEach, test } = require('node:test');

const FILES = ['vscode', './extension.js'].map((name) => require.resolve(name));
const SERVERS = { ml: { label: 'ml', url: 'http://127.0.0.1:40001/', profile: 'ml' } };
const READY = 'console.log(JSON.stringify({profile: "ml", state: "ready", detail: "pod-1"}));';

let vscode;
let folder;
let context;

beforeEach(() => {
    FILES.forEach((file) => delete require.cache[file]);
    vscode = require('vscode');
    folder = mkdtempSync(join(tmpdir(), 'jrc-'));
    context = { subscriptions: [] };
    vscode.standIn.settings = { 'jrc.path': join(folder, 'jrc'), 'jrc.servers': SERVERS };
    answers(READY);
});

afterEach(() => {
    context.subscriptions.forEach((each) => each.dispose());
    rmSync(folder, { recursive: true });
});

/** Make `jrc` a program that notes its arguments and then does this. */
function answers(code) {
    const calls = JSON.stringify(join(folder, 'calls'));
    const text = [
        `#!${process.execPath}`,
        'const args = process.argv.slice(2);',
        `require('node:fs').appendFileSync(${calls}, args.join(' ') + '\\n');`,
        code
    ];
    writeFileSync(join(folder, 'jrc'), text.join('\n'));
    chmodSync(join(folder, 'jrc'), 0o755);
}

function calls() {
    try {
        return readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n');
    } catch {
        return [];
    }
}

function activate() {
    require('./extension.js').activate(context);
}

/** A Jupyter extension that keeps what it is given. */
function jupyter({ isActive }) {
    const extension = { collections: [], isActive, activations: 0 };
    extension.exports = {
        createJupyterServerCollection(id, label, provider) {
            const collection = { id, label, provider, dispose() {} };
            extension.collections.push(collection);
            return collection;
        }
    };
    extension.activate = async () => {
        extension.activations += 1;
        extension.isActive = true;
        return extension.exports;
    };
    return extension;
}

/** The provider of servers, of a companion that is active. */
function provider() {
    const extension = jupyter({ isActive: true });
    vscode.standIn.extensions['ms-toolsai.jupyter'] = extension;
    activate();
    return extension.collections[0].provider;
}

async function until(condition, what) {
    for (let tries = 0; tries < 1000; tries += 1) {
        if (condition()) {
            return;
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.fail(`not within ten seconds: ${what}`);
}

const never = () => new vscode.CancellationTokenSource().token;

test('an active Jupyter extension gets the servers before activate returns', () => {
    const extension = jupyter({ isActive: true });
    vscode.standIn.extensions['ms-toolsai.jupyter'] = extension;
    activate();
    assert.equal(extension.collections.length, 1);
    const [{ id, label, provider }] = extension.collections;
    assert.deepEqual([id, label], ['jrc', 'jrc: remote servers']);
    assert.deepEqual(provider.provideJupyterServers(), [{ id: 'ml', label: 'ml' }]);
});

test('a Jupyter extension that sleeps is woken by the first notebook only', async () => {
    const extension = jupyter({ isActive: false });
    vscode.standIn.extensions['ms-toolsai.jupyter'] = extension;
    activate();
    assert.equal(extension.activations, 0);
    vscode.standIn.openNotebook();
    await until(() => extension.collections.length, 'the collection');
    vscode.standIn.openNotebook();
    assert.deepEqual([extension.activations, extension.collections.length], [1, 1]);
});

test('a Jupyter extension that is installed later is found', async () => {
    activate();
    vscode.standIn.openNotebook();
    const extension = jupyter({ isActive: false });
    vscode.standIn.installExtension('ms-toolsai.jupyter', extension);
    await until(() => extension.collections.length, 'the collection');
});

test('entries that make no sense are left out', () => {
    const servers = provider();
    for (const setting of [undefined, null, [], 'ml', 7]) {
        vscode.standIn.settings['jrc.servers'] = setting;
        assert.deepEqual(servers.provideJupyterServers(), []);
    }
    vscode.standIn.settings['jrc.servers'] = {
        plain: { profile: 'p' },
        nothing: null,
        option: { profile: '--help' },
        number: { profile: 5 }
    };
    assert.deepEqual(servers.provideJupyterServers(), [{ id: 'plain', label: 'plain' }]);
});

test('a change of the servers is told, any other one is not', () => {
    const servers = provider();
    let told = 0;
    servers.onDidChangeServers(() => (told += 1));
    vscode.standIn.changeSettings({ ...vscode.standIn.settings, 'jrc.home': '/elsewhere' });
    assert.equal(told, 0);
    const more = { ...SERVERS, gpu: { profile: 'gpu', label: 'GPU' } };
    vscode.standIn.changeSettings({ ...vscode.standIn.settings, 'jrc.servers': more });
    assert.equal(told, 1);
    assert.deepEqual(servers.provideJupyterServers().map(({ label }) => label), ['ml', 'GPU']);
});

const RESOLVED = {
    id: 'ml',
    base_url: 'http://127.0.0.1:40001/team%20a/',
    headers: { Authorization: 'token planted-secret' }
};

test('address and credentials come from jrc, and no secret from or into anything else', async () => {
    const servers = provider();
    answers(`console.log(${JSON.stringify(JSON.stringify(RESOLVED))});`);
    const server = await servers.resolveJupyterServer({ id: 'ml', label: 'ml' }, never());
    const { baseUrl, headers, token } = server.connectionInformation;
    assert.equal(baseUrl.toString(true), RESOLVED.base_url);
    assert.deepEqual(headers, RESOLVED.headers);
    assert.equal(token, undefined);
    assert.ok(calls().includes('companion resolve ml'));
    const seen = JSON.stringify([vscode.standIn.log, calls(), vscode.standIn.messages]);
    assert.ok(!seen.includes('planted-secret'));
});

test('those who ask at the same time share one answer', async () => {
    const servers = provider();
    await until(() => calls().length === 1, 'the first status');
    answers(`setTimeout(() => console.log(${JSON.stringify(JSON.stringify(RESOLVED))}), 200);`);
    const ask = () => servers.resolveJupyterServer({ id: 'ml', label: 'ml' }, never());
    await Promise.all([ask(), ask(), ask()]);
    assert.equal(calls().filter((call) => call.startsWith('companion resolve')).length, 1);
    await ask();
    assert.equal(calls().filter((call) => call.startsWith('companion resolve')).length, 2);
});

test('who does not wait any more is let go', async () => {
    const servers = provider();
    answers('setTimeout(() => {}, 60000);');
    const source = new vscode.CancellationTokenSource();
    const asked = servers.resolveJupyterServer({ id: 'ml', label: 'ml' }, source.token);
    source.cancel();
    await assert.rejects(asked, vscode.CancellationError);
});

test('a failure of jrc is told in its own words', async () => {
    const servers = provider();
    answers(
        'console.error("error: There is no token for the profile \'ml\'.");' +
            'console.error("hint: jrc login URL --profile ml"); process.exit(4);'
    );
    await assert.rejects(
        servers.resolveJupyterServer({ id: 'ml', label: 'ml' }, never()),
        /There is no token for the profile 'ml'\. \(jrc login URL --profile ml\)/
    );
});

test('a missing program, an unknown server and a strange answer are told apart', async () => {
    const servers = provider();
    const resolve = (id) => servers.resolveJupyterServer({ id, label: id }, never());
    await assert.rejects(resolve('gone'), /'gone' is not connected/);
    answers('console.log("hello");');
    await assert.rejects(resolve('ml'), /answered what this extension does not understand/);
    vscode.standIn.settings['jrc.path'] = join(folder, 'missing');
    await assert.rejects(resolve('ml'), /missing was not found\. \(Set jrc\.path/);
});

test('the program gets the folder of jrc.home', async () => {
    const servers = provider();
    vscode.standIn.settings['jrc.home'] = '/srv/jrc';
    answers(
        'console.log(JSON.stringify({id: "ml", base_url: "http://h/",' +
            ' headers: {home: process.env.JRC_HOME}}));'
    );
    const server = await servers.resolveJupyterServer({ id: 'ml', label: 'ml' }, never());
    assert.equal(server.connectionInformation.headers.home, '/srv/jrc');
});

test('the status bar shows the state, and nothing without servers', async () => {
    activate();
    const item = vscode.standIn.statusItem;
    await until(() => item.visible, 'the item');
    assert.equal(item.text, '$(remote) ml');
    assert.equal(item.tooltip, 'ml: ready, pod-1');
    answers('console.log(JSON.stringify({profile: "ml", state: "failed", detail: "No pod."}));');
    vscode.standIn.focus();
    await until(() => item.text === '$(warning) ml', 'the warning');
    assert.equal(item.tooltip, 'ml: failed, No pod.');
    assert.equal(item.backgroundColor.id, 'statusBarItem.warningBackground');
    answers('process.exit(70);');
    vscode.standIn.focus();
    await until(() => item.text === '$(question) ml', 'the question mark');
    vscode.standIn.changeSettings({ ...vscode.standIn.settings, 'jrc.servers': {} });
    assert.equal(item.visible, false);
});

test('several servers show the worst state', async () => {
    vscode.standIn.settings['jrc.servers'] = { ...SERVERS, gpu: { profile: 'gpu' } };
    answers(
        'for (const profile of args.slice(2)) console.log(JSON.stringify(' +
            '{profile, state: profile === "gpu" ? "starting" : "ready", detail: ""}));'
    );
    activate();
    const item = vscode.standIn.statusItem;
    await until(() => item.visible, 'the item');
    assert.equal(item.text, '$(sync~spin) jrc 2');
    assert.equal(item.tooltip, 'ml: ready\ngpu: starting');
});

const PROFILES = `if (args[0] === 'profile') {
    console.log(JSON.stringify({name: 'ml', url: 'http://a/'}));
    console.log(JSON.stringify({name: 'gpu', url: 'http://b/'}));
}`;

test('jrc: connect… lists the saved servers and connects the chosen one', async () => {
    activate();
    answers(PROFILES);
    vscode.standIn.pick = (items) => items[1];
    await vscode.standIn.commands['jrc.connect']();
    const [items] = vscode.standIn.picks;
    assert.deepEqual(
        items.map(({ label, description }) => [label, description]),
        [
            ['ml', 'http://a/'],
            ['gpu', 'http://b/']
        ]
    );
    assert.ok(calls().includes('connect gpu --vscode --no-extension --yes'));
    assert.deepEqual(vscode.standIn.progress, ['jrc: connecting gpu']);
    assert.deepEqual(vscode.standIn.messages, []);
});

test('jrc: connect… without a choice does nothing', async () => {
    activate();
    answers(PROFILES);
    await vscode.standIn.commands['jrc.connect']();
    assert.ok(!calls().some((call) => call.startsWith('connect')));
});

test('jrc: connect… tells what to type when no server is saved', async () => {
    activate();
    answers('');
    await vscode.standIn.commands['jrc.connect']();
    assert.match(vscode.standIn.messages[0], /jrc login URL/);
});

test('jrc: connect… tells of a failure', async () => {
    activate();
    answers(`${PROFILES}
        else { console.error('error: No pod is ready.'); process.exit(6); }`);
    vscode.standIn.pick = (items) => items[0];
    await vscode.standIn.commands['jrc.connect']();
    assert.deepEqual(vscode.standIn.messages, ['jrc: No pod is ready.']);
});

test('a workspace names neither the program nor its folder', async () => {
    const servers = provider();
    const there = join(folder, 'evil');
    writeFileSync(there, `#!/bin/sh\ntouch ${join(folder, 'ran')}\n`);
    chmodSync(there, 0o755);
    vscode.standIn.workspaceSettings = { 'jrc.path': there, 'jrc.home': folder };
    answers(
        'console.log(JSON.stringify({id: "ml", base_url: "http://h/",' +
            ' headers: {home: process.env.JRC_HOME ?? "", cwd: process.cwd()}}));'
    );
    const server = await servers.resolveJupyterServer({ id: 'ml', label: 'ml' }, never());
    const home = process.env.JRC_HOME ?? '';
    const cwd = realpathSync(homedir());
    assert.deepEqual(server.connectionInformation.headers, { home, cwd });
    assert.ok(!existsSync(join(folder, 'ran')));
});

test('in a workspace that is not trusted the companion only shows', async () => {
    const servers = provider();
    vscode.standIn.trusted = false;
    vscode.standIn.pick = (items) => items[0];
    assert.deepEqual(servers.provideJupyterServers(), [{ id: 'ml', label: 'ml' }]);
    await vscode.standIn.commands['jrc.status']();
    assert.equal(vscode.standIn.picks[0][0].description, 'ready');
    assert.match(vscode.standIn.messages.at(-1), /This workspace is not trusted/);
    const resolve = () => servers.resolveJupyterServer({ id: 'ml', label: 'ml' }, never());
    await assert.rejects(resolve(), /This workspace is not trusted/);
    await vscode.standIn.commands['jrc.connect']();
    assert.match(vscode.standIn.messages.at(-1), /This workspace is not trusted/);
    assert.ok(calls().every((call) => call.startsWith('companion status')));
    vscode.standIn.trust();
    answers('console.log(JSON.stringify({id: "ml", base_url: "http://h/", headers: {}}));');
    assert.equal((await resolve()).id, 'ml');
});

test('jrc: status shows the servers and connects the picked one again', async () => {
    activate();
    vscode.standIn.pick = (items) => items[0];
    await vscode.standIn.commands['jrc.status']();
    const [[item]] = vscode.standIn.picks;
    assert.deepEqual([item.label, item.description, item.detail], ['$(remote) ml', 'ready', 'pod-1']);
    assert.ok(calls().includes('connect ml --vscode --no-extension --yes'));
});

test('the kernel picker offers to connect another server, and gets it', async () => {
    const extension = jupyter({ isActive: true });
    vscode.standIn.extensions['ms-toolsai.jupyter'] = extension;
    activate();
    answers(PROFILES);
    const { commandProvider } = extension.collections[0];
    const [command] = commandProvider.provideCommands();
    assert.equal(command.label, 'Connect a server of jrc…');
    vscode.standIn.pick = (items) => items[1];
    const chosen = commandProvider.handleCommand(command);
    await until(() => calls().some((call) => call.startsWith('connect gpu')), 'the connect');
    const more = { ...SERVERS, gpu: { profile: 'gpu', label: 'GPU' } };
    vscode.standIn.changeSettings({ ...vscode.standIn.settings, 'jrc.servers': more });
    assert.deepEqual(await chosen, { id: 'gpu', profile: 'gpu', label: 'GPU' });
});

test('dispose leaves no timer, no listener and no program behind', async () => {
    const servers = provider();
    answers('setInterval(() => {}, 1000);');
    const asked = servers.resolveJupyterServer({ id: 'ml', label: 'ml' }, never());
    await until(() => calls().includes('companion resolve ml'), 'the program');
    context.subscriptions.forEach((each) => each.dispose());
    await assert.rejects(asked);
    assert.deepEqual(vscode.standIn.commands, {});
});
