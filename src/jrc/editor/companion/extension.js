// The companion of jrc: offers the servers in `jrc.servers` to the Jupyter extension.
//
// All knowledge is in jrc itself. This file reads the setting, asks the `jrc` program for address
// and credentials when VS Code connects, and shows the state of the way there.
// @ts-check
'use strict';

const { execFile } = require('node:child_process');
const { homedir } = require('node:os');
const vscode = require('vscode');

/** @typedef {import('@vscode/jupyter-extension').Jupyter} Jupyter */
/** @typedef {import('@vscode/jupyter-extension').JupyterServer} JupyterServer */
/** @typedef {{ id: string, label: string, profile: string }} Entry An entry of `jrc.servers`. */
/** @typedef {{ id: string, base_url: string, headers: Record<string, string> }} Resolved */
/** @typedef {{ profile: string, state: string, detail: string }} State The way to a server. */

const JUPYTER = 'ms-toolsai.jupyter';

// Milliseconds. A tunnel that starts with a login in the browser takes minutes.
const RESOLVE_DEADLINE = 180_000;
const CONNECT_DEADLINE = 300_000;
const STATUS_DEADLINE = 20_000;
const STATUS_EVERY = 30_000;
const APPEAR_DEADLINE = 5_000;

/** What the status bar shows for a state of `jrc companion status`. */
const ICONS = /** @type {Record<string, string>} */ ({
    ready: '$(remote)',
    starting: '$(sync~spin)',
    waiting: '$(sync~spin)',
    stopped: '$(debug-disconnect)',
    failed: '$(warning)',
    unknown: '$(question)'
});

/** A failure of the `jrc` program: its message and its hint. */
class JrcError extends Error {
    /**
     * @param {string} message
     * @param {string} [hint]
     */
    constructor(message, hint) {
        super(hint ? `${message} (${hint})` : message);
        this.name = 'JrcError';
    }
}

/** Runs the `jrc` program. */
class Program {
    /** @param {import('vscode').LogOutputChannel} log */
    constructor(log) {
        this._log = log;
        /** @type {Set<import('node:child_process').ChildProcess>} */
        this._running = new Set();
    }

    /**
     * Run one command to its end.
     * @param {string[]} args the words behind `jrc`; no secret is ever among them
     * @param {number} deadline in milliseconds
     * @returns {Promise<string>} what it printed; it is not logged, it may hold credentials
     */
    run(args, deadline) {
        const path = ofThePerson('path') || 'jrc';
        const home = ofThePerson('home');
        const env = { ...process.env, NO_COLOR: '1', ...(home ? { JRC_HOME: home } : {}) };
        this._log.info(`jrc ${args.join(' ')}`);
        return new Promise((resolve, reject) => {
            // Not in the folder of the workspace: a relative path would name a program there.
            const cwd = homedir();
            const options = { cwd, env, timeout: deadline, windowsHide: true, maxBuffer: 1 << 24 };
            const child = execFile(path, args, options, (error, stdout, stderr) => {
                this._running.delete(child);
                if (!error) {
                    resolve(stdout);
                    return;
                }
                const failure = failureOf(error, path, args, stderr);
                this._log.error(`jrc ${args.join(' ')}: ${failure.message}`);
                reject(failure);
            });
            child.stdin?.end();
            this._running.add(child);
        });
    }

    dispose() {
        this._running.forEach((child) => child.kill());
    }
}

/**
 * A setting as the person made it. VS Code lets no workspace set those of the scope `machine`; this
 * does not rely on it, since `jrc.path` names a program.
 * @param {string} name
 * @returns {string}
 */
function ofThePerson(name) {
    const found = vscode.workspace.getConfiguration('jrc').inspect(name);
    const value = found?.globalValue ?? found?.defaultValue;
    return typeof value === 'string' ? value : '';
}

/** Stop what connects or writes in a workspace that is not trusted: there the companion only shows. */
function needTrust() {
    if (!vscode.workspace.isTrusted) {
        throw new JrcError('This workspace is not trusted.', 'Type: Workspaces: Manage Workspace Trust');
    }
}

/**
 * What a person is told of a `jrc` that failed.
 * @param {import('node:child_process').ExecFileException} error
 * @param {string} path
 * @param {string[]} args
 * @param {string} stderr
 */
function failureOf(error, path, args, stderr) {
    if (error.code === 'ENOENT') {
        return new JrcError(`The program ${path} was not found.`, 'Set jrc.path in the settings.');
    }
    if (error.killed) {
        return new JrcError(`jrc ${args[0]} did not end in time.`, 'Type in a terminal: jrc status');
    }
    const lines = stderr.split(/\r?\n/);
    /** @param {string} word */
    const said = (word) =>
        lines.find((line) => line.startsWith(`${word}: `))?.slice(word.length + 2);
    const message = said('error') ?? lines.findLast((line) => line.trim()) ?? error.message;
    return new JrcError(message, said('hint'));
}

/**
 * The servers in the settings, as far as they make sense.
 * @returns {Entry[]}
 */
function readServers() {
    /** @type {unknown} */
    const setting = vscode.workspace.getConfiguration('jrc').get('servers');
    if (typeof setting !== 'object' || setting === null || Array.isArray(setting)) {
        return [];
    }
    return Object.entries(setting).flatMap(([id, entry]) => {
        const { profile, label } = /** @type {Record<string, unknown>} */ (entry ?? {});
        if (typeof profile !== 'string' || !/^[A-Za-z0-9]/.test(profile)) {
            return [];
        }
        return [{ id, profile, label: typeof label === 'string' && label ? label : id }];
    });
}

/** Offers the servers to the Jupyter extension. */
class Servers {
    /** @param {Program} program */
    constructor(program) {
        this._program = program;
        this._changed = new vscode.EventEmitter();
        this.onDidChangeServers = this._changed.event;
        /** @type {Map<string, Promise<Resolved>>} */
        this._asked = new Map();
        this._known = JSON.stringify(readServers());
    }

    /** The settings changed; tell the Jupyter extension if the servers did. */
    refresh() {
        const now = JSON.stringify(readServers());
        if (now !== this._known) {
            this._known = now;
            this._changed.fire(undefined);
        }
    }

    /** @returns {JupyterServer[]} */
    provideJupyterServers() {
        return readServers().map(({ id, label }) => ({ id, label }));
    }

    /**
     * The server of a profile, as soon as VS Code has noticed that the settings name it.
     * @param {string} profile
     * @returns {Promise<JupyterServer | undefined>} undefined if that takes too long
     */
    appeared(profile) {
        const find = () => readServers().find((entry) => entry.profile === profile);
        return new Promise((resolve) => {
            const end = () => {
                listener.dispose();
                clearTimeout(timer);
                resolve(find());
            };
            const timer = setTimeout(end, APPEAR_DEADLINE);
            const listener = this.onDidChangeServers(() => find() && end());
            if (find()) {
                end();
            }
        });
    }

    /**
     * @param {JupyterServer} server
     * @param {import('vscode').CancellationToken} token
     * @returns {Promise<JupyterServer>}
     */
    async resolveJupyterServer(server, token) {
        needTrust();
        const entry = readServers().find(({ id }) => id === server.id);
        if (!entry) {
            throw new JrcError(`'${server.id}' is not connected.`, 'Type: jrc connect --vscode');
        }
        const found = await unlessCancelled(this._resolve(entry.profile), token);
        return {
            id: entry.id,
            label: entry.label,
            connectionInformation: {
                // Uri.parse decodes, and the Jupyter extension does not encode again.
                baseUrl: vscode.Uri.parse(found.base_url.replaceAll('%', '%25')),
                // The credentials are in the headers alone: VS Code would put a token into the
                // URL of each websocket, and so into the server's log.
                headers: found.headers
            }
        };
    }

    /**
     * Ask jrc, once for all who want to know at the same time.
     * @param {string} profile
     */
    _resolve(profile) {
        let asked = this._asked.get(profile);
        if (!asked) {
            asked = this._program
                .run(['companion', 'resolve', profile], RESOLVE_DEADLINE)
                .then((text) => /** @type {Resolved} */ (parsed(text)))
                .finally(() => this._asked.delete(profile));
            this._asked.set(profile, asked);
        }
        return asked;
    }

    dispose() {
        this._changed.dispose();
    }
}

/** Shows the state of the ways to the servers in the status bar. */
class Status {
    /** @param {Program} program */
    constructor(program) {
        this._program = program;
        this._item = vscode.window.createStatusBarItem(
            'jrc.status',
            vscode.StatusBarAlignment.Left,
            0
        );
        this._item.name = 'jrc';
        this._item.command = 'jrc.status';
        /** @type {State[]} */
        this.states = [];
        this._timer = setInterval(() => this._onTimer(), STATUS_EVERY);
    }

    _onTimer() {
        if (vscode.window.state.focused) {
            void this.refresh();
        }
    }

    /** Ask jrc and show what it says. Never fails: a failure is what it shows then. */
    async refresh() {
        const entries = readServers();
        if (!entries.length) {
            this.states = [];
            this._item.hide();
            return;
        }
        this.states = await this._ask(entries);
        const troubled = this.states.filter(({ state }) => state !== 'ready');
        const shown = troubled.find(({ state }) => state === 'failed') ?? troubled[0];
        const icon = ICONS[shown ? shown.state : 'ready'] ?? ICONS.unknown;
        const [first, ...others] = entries;
        this._item.text = `${icon} ${others.length ? `jrc ${entries.length}` : first.profile}`;
        this._item.tooltip = this.states.map(inWords).join('\n');
        this._item.backgroundColor =
            shown?.state === 'failed'
                ? new vscode.ThemeColor('statusBarItem.warningBackground')
                : undefined;
        this._item.show();
    }

    /**
     * @param {Entry[]} entries
     * @returns {Promise<State[]>}
     */
    async _ask(entries) {
        const profiles = [...new Set(entries.map(({ profile }) => profile))];
        try {
            const text = await this._program.run(
                ['companion', 'status', ...profiles],
                STATUS_DEADLINE
            );
            return text.split('\n').filter(Boolean).map((line) => /** @type {State} */ (parsed(line)));
        } catch (error) {
            const detail = error instanceof Error ? error.message : String(error);
            return profiles.map((profile) => ({ profile, state: 'unknown', detail }));
        }
    }

    dispose() {
        clearInterval(this._timer);
        this._item.dispose();
    }
}

/** @param {State} state */
function inWords({ profile, state, detail }) {
    return `${profile}: ${state}${detail ? `, ${detail}` : ''}`;
}

/**
 * @param {string} text
 * @returns {unknown}
 */
function parsed(text) {
    try {
        return JSON.parse(text);
    } catch {
        throw new JrcError('jrc answered what this extension does not understand.', 'Update jrc.');
    }
}

/**
 * A result, or a CancellationError as soon as nobody waits for it any more.
 * @template T
 * @param {Promise<T>} result
 * @param {import('vscode').CancellationToken} token
 * @returns {Promise<T>}
 */
function unlessCancelled(result, token) {
    return new Promise((resolve, reject) => {
        const listener = token.onCancellationRequested(() =>
            reject(new vscode.CancellationError())
        );
        result.then(resolve, reject).finally(() => listener.dispose());
    });
}

/**
 * Tell the person of a failure.
 * @param {unknown} error
 */
function tell(error) {
    const message = error instanceof Error ? error.message : String(error);
    void vscode.window.showErrorMessage(`jrc: ${message}`);
}

/**
 * Connect a saved server.
 * @param {Program} program
 * @param {string} [chosen] the profile's name; the person is asked without it
 * @returns {Promise<string | undefined>} the profile's name; undefined if nothing was connected
 */
async function connect(program, chosen) {
    needTrust();
    const profile = chosen ?? (await chooseProfile(program));
    if (!profile) {
        return undefined;
    }
    const title = `jrc: connecting ${profile}`;
    const where = { location: vscode.ProgressLocation.Notification, title };
    await vscode.window.withProgress(where, () =>
        program.run(
            ['connect', profile, '--vscode', '--no-extension', '--yes'],
            CONNECT_DEADLINE
        )
    );
    return profile;
}

/** @param {Program} program */
async function chooseProfile(program) {
    const text = await program.run(['profile', 'list', '--json'], STATUS_DEADLINE);
    const items = text
        .split('\n')
        .filter(Boolean)
        .map((line) => /** @type {{ name: string, url: string }} */ (parsed(line)))
        .map(({ name, url }) => ({ label: name, description: url }));
    if (!items.length) {
        const terminal = 'Open a terminal';
        const words = 'No server is saved yet. Type in a terminal: jrc login URL';
        if ((await vscode.window.showInformationMessage(words, terminal)) === terminal) {
            vscode.window.createTerminal('jrc').show();
        }
        return undefined;
    }
    const picked = await vscode.window.showQuickPick(items, {
        title: 'jrc: connect',
        placeHolder: 'The server to connect'
    });
    return picked?.label;
}

/**
 * Show the states, and connect the one that is picked.
 * @param {Program} program
 * @param {Status} status
 */
async function showStatus(program, status) {
    await status.refresh();
    const items = status.states.map(({ profile, state, detail }) => ({
        label: `${ICONS[state] ?? ICONS.unknown} ${profile}`,
        description: state,
        detail,
        profile
    }));
    if (!items.length) {
        await vscode.window.showInformationMessage('No server is connected. Try: jrc: connect…');
        return;
    }
    const picked = await vscode.window.showQuickPick(items, {
        title: 'jrc: status',
        placeHolder: 'Pick a server to connect it again'
    });
    if (picked) {
        await connect(program, picked.profile);
        await status.refresh();
    }
}

/**
 * Give the Jupyter extension our servers, as soon as it runs: starting it is left to notebooks.
 * @param {import('vscode').ExtensionContext} context
 * @param {Servers} servers
 * @param {Program} program
 */
function offer(context, servers, program) {
    let offered = false;
    /** @param {Jupyter | undefined} jupyter */
    const create = (jupyter) => {
        if (offered || !jupyter) {
            return;
        }
        offered = true;
        const label = 'jrc: remote servers';
        const collection = jupyter.createJupyterServerCollection('jrc', label, servers);
        collection.commandProvider = {
            provideCommands: () => [{ label: 'Connect a server of jrc…' }],
            handleCommand: async () => {
                try {
                    const profile = await connect(program);
                    return profile ? await servers.appeared(profile) : undefined;
                } catch (error) {
                    tell(error);
                    return undefined;
                }
            }
        };
        context.subscriptions.push(collection);
    };
    const look = () => {
        /** @type {import('vscode').Extension<Jupyter> | undefined} */
        const extension = vscode.extensions.getExtension(JUPYTER);
        if (!extension || offered) {
            return;
        }
        if (extension.isActive) {
            // At once: the Jupyter extension activates this one when a notebook's server is ours,
            // and looks for the collection as soon as `activate` has returned.
            create(extension.exports);
        } else if (vscode.workspace.notebookDocuments.length) {
            extension.activate().then(create, tell);
        }
    };
    look();
    context.subscriptions.push(
        vscode.workspace.onDidOpenNotebookDocument(look),
        vscode.extensions.onDidChange(look)
    );
}

/** @param {import('vscode').ExtensionContext} context */
function activate(context) {
    const log = vscode.window.createOutputChannel('jrc', { log: true });
    const program = new Program(log);
    const servers = new Servers(program);
    const status = new Status(program);
    const refresh = () => {
        servers.refresh();
        return status.refresh();
    };
    context.subscriptions.push(
        log,
        program,
        servers,
        status,
        vscode.commands.registerCommand('jrc.connect', () => connect(program).catch(tell)),
        vscode.commands.registerCommand('jrc.status', () =>
            showStatus(program, status).catch(tell)
        ),
        vscode.workspace.onDidChangeConfiguration(
            (event) => event.affectsConfiguration('jrc') && refresh()
        ),
        vscode.workspace.onDidGrantWorkspaceTrust(refresh),
        vscode.window.onDidChangeWindowState(({ focused }) => focused && status.refresh())
    );
    offer(context, servers, program);
    void status.refresh();
}

module.exports = { activate };
