// A stand-in for the module that VS Code gives to extensions: as much of it as the companion uses.
// `standIn` is the side that the tests hold.
'use strict';

const { URI } = require('vscode-uri');

class Disposable {
    constructor(dispose) {
        this.dispose = dispose;
    }
}

class EventEmitter {
    constructor() {
        this.listeners = new Set();
        this.event = (listener) => {
            this.listeners.add(listener);
            return new Disposable(() => this.listeners.delete(listener));
        };
    }
    fire(value) {
        [...this.listeners].forEach((listener) => listener(value));
    }
    dispose() {
        this.listeners.clear();
    }
}

class CancellationError extends Error {}

class CancellationTokenSource {
    constructor() {
        this.emitter = new EventEmitter();
        this.token = { onCancellationRequested: this.emitter.event };
    }
    cancel() {
        this.emitter.fire();
    }
}

const configurationChanged = new EventEmitter();
const notebookOpened = new EventEmitter();
const extensionsChanged = new EventEmitter();
const windowStateChanged = new EventEmitter();
const trustGranted = new EventEmitter();

const standIn = {
    settings: {},
    /** What a folder says that VS Code should not have taken from it. */
    workspaceSettings: {},
    trusted: true,
    extensions: {},
    commands: {},
    log: [],
    messages: [],
    progress: [],
    picks: [],
    statusItem: undefined,
    /** What the person picks next: a function from the offered items to one of them. */
    pick: () => undefined,
    changeSettings(settings) {
        standIn.settings = settings;
        configurationChanged.fire({ affectsConfiguration: (section) => section === 'jrc' });
    },
    openNotebook() {
        vscode.workspace.notebookDocuments.push({});
        notebookOpened.fire({});
    },
    installExtension(id, extension) {
        standIn.extensions[id] = extension;
        extensionsChanged.fire();
    },
    trust() {
        standIn.trusted = true;
        trustGranted.fire();
    },
    focus() {
        windowStateChanged.fire({ focused: true });
    }
};

const vscode = {
    standIn,
    EventEmitter,
    CancellationError,
    CancellationTokenSource,
    Uri: URI,
    ThemeColor: class {
        constructor(id) {
            this.id = id;
        }
    },
    StatusBarAlignment: { Left: 1, Right: 2 },
    ProgressLocation: { Notification: 15 },
    window: {
        state: { focused: true },
        onDidChangeWindowState: windowStateChanged.event,
        createOutputChannel() {
            const write = (line) => standIn.log.push(line);
            return { info: write, error: write, dispose() {} };
        },
        createStatusBarItem(id) {
            standIn.statusItem = {
                id,
                visible: false,
                show() {
                    this.visible = true;
                },
                hide() {
                    this.visible = false;
                },
                dispose() {
                    this.visible = false;
                }
            };
            return standIn.statusItem;
        },
        createTerminal() {
            return { show() {} };
        },
        async showErrorMessage(message) {
            standIn.messages.push(message);
        },
        async showInformationMessage(message) {
            standIn.messages.push(message);
        },
        async showQuickPick(items) {
            standIn.picks.push(items);
            return standIn.pick(items);
        },
        async withProgress({ title }, act) {
            standIn.progress.push(title);
            return act();
        }
    },
    workspace: {
        notebookDocuments: [],
        get isTrusted() {
            return standIn.trusted;
        },
        onDidGrantWorkspaceTrust: trustGranted.event,
        onDidChangeConfiguration: configurationChanged.event,
        onDidOpenNotebookDocument: notebookOpened.event,
        getConfiguration(section) {
            return {
                get(name, otherwise) {
                    const key = `${section}.${name}`;
                    return standIn.workspaceSettings[key] ?? standIn.settings[key] ?? otherwise;
                },
                inspect(name) {
                    const key = `${section}.${name}`;
                    return {
                        globalValue: standIn.settings[key],
                        workspaceValue: standIn.workspaceSettings[key]
                    };
                }
            };
        }
    },
    commands: {
        registerCommand(name, act) {
            standIn.commands[name] = act;
            return new Disposable(() => delete standIn.commands[name]);
        }
    },
    extensions: {
        onDidChange: extensionsChanged.event,
        getExtension: (id) => standIn.extensions[id]
    }
};

module.exports = vscode;
