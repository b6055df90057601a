"""The standard streams of a script inside a remote kernel, as ``python FILE`` has them.

Sent to the kernel before ``script_in_kernel``; the rules there hold here too.

``sys.stdout`` and ``sys.stderr`` are text files over a binary one, which may be closed, detached or
configured, and behind which the kernel's own streams stay untouched. What child processes and C
code write to the file descriptors 1 and 2 comes the same way, in its order. ``sys.stdin`` is read
from the client piece by piece, when the script asks for it.
"""

from __future__ import annotations

import base64
import builtins
import codecs
import contextlib
import errno
import io
import os
import select
import sys
import threading
import weakref

if os.name == "posix":
    import fcntl
    import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

STDIN_PROMPT = "\x00jrc:stdin "
"""Begins the prompt of an ``input_request`` that asks the client for a piece of its stdin. Behind
it stands how many bytes at most. The answer is base64; empty for the end of the file."""

STDIN_ERROR = "!"
"""Begins an answer that says why there is none."""

_NO_STDIN = "what jrc reads on the computer that began the run can't come here"
_STDIN_BYTES = 1 << 20
_PIPE_BYTES = 1 << 16
_NOTHING = bytes(4)
_MOST_TAKEN = 1 << 20
_HAND_OVER_MS = 200
_STDIN_NAMES = (0, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")


class _Utf8:
    """Bytes that come in pieces, as text."""

    def __init__(self) -> None:
        self.rest = b""

    def text(self, data: bytes) -> str:
        text, used = codecs.utf_8_decode(self.rest + data, "replace", False)
        self.rest = (self.rest + data)[used:]
        return text


class _Descriptor:
    """Brings what is written to a file descriptor to a kernel's stream.

    Code that writes to that stream calls ``take`` first, so that what a child process wrote before
    its end comes before what the script prints next.

    Attributes:
        hand_over: called several times a second, to let the kernel have a line that has begun.
    """

    def __init__(self, number: int, stream: Any) -> None:
        self.number = number
        self._stream = stream
        self._decoder = _Utf8()
        self._lock = threading.RLock()
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self.hand_over: Any = None
        self._over = False
        self._kept = os.dup(number)
        os.dup2(write, number)
        os.close(write)
        threading.Thread(target=self._watch, name="jrc-descriptor", daemon=True).start()

    def take_waiting(self) -> None:
        """Pass on what is there; costs little where there is nothing."""
        if not self._over and fcntl.ioctl(self._read, termios.FIONREAD, _NOTHING) != _NOTHING:
            self.take()

    def take(self) -> bool:
        """Pass on what is there, and return whether more may come."""
        with self._lock:
            taken = 0
            while taken < _MOST_TAKEN:
                if self._over:
                    return False
                try:
                    data = os.read(self._read, _PIPE_BYTES)
                except BlockingIOError:
                    return True
                if not data:
                    return False
                taken += len(data)
                self._stream.write(self._decoder.text(data))
            return True

    def release(self) -> None:
        """Give the descriptor back. What children of the script still write comes all the same."""
        self.hand_over = None
        os.dup2(self._kept, self.number)
        os.close(self._kept)
        self.take()

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        while True:
            if not poll.poll(_HAND_OVER_MS):
                hand_over = self.hand_over
                if hand_over is not None:
                    hand_over()
            elif not self.take():
                with self._lock:
                    self._over = True
                    os.close(self._read)
                return


class _Lines(io.RawIOBase):
    """What stands between the text and the binary file.

    The text file hands over each line, and flushes what is below it then. That is for a person at a
    terminal, who must see the line; the kernel sends all that was printed five times a second.

    Attributes:
        owns: whether the file is closed with this; not when the script took it.
    """

    def __init__(self, output: _Output) -> None:
        self.output = output
        self.owns = True
        self.name = output.name
        self.mode = output.mode
        self.write = output.write  # type: ignore[method-assign]

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.output.isatty()

    def fileno(self) -> int:
        return self.output.fileno()

    def flush(self) -> None:
        """Nothing: see above."""

    def close(self) -> None:
        super().close()
        if self.owns:
            self.output.close()


class _Text(io.TextIOWrapper):
    """The text file that is ``sys.stdout`` or ``sys.stderr``.

    Its lines are put together in C: a call of Python code for each piece would cost more than all
    else that happens to it.
    """

    line_buffering = False

    def __init__(self, output: _Output, errors: str) -> None:
        # Where nobody calls ``hand_over``, each piece goes its way at once.
        through = output.descriptor is None
        super().__init__(
            _Lines(output), "utf-8", errors, line_buffering=True, write_through=through
        )
        self._output = output

    @property
    def buffer(self) -> Any:
        return self._output

    def flush(self) -> None:
        super().flush()
        self._output.flush()

    def hand_over(self) -> None:
        """Let the kernel have the line that has begun; called by a thread now and then."""
        with self._output.lock, contextlib.suppress(ValueError):  # closed or detached
            super().flush()

    def reconfigure(self, **options: Any) -> None:
        super().reconfigure(**options)
        if options.get("line_buffering") is not None:
            self.line_buffering = bool(options["line_buffering"])

    def detach(self) -> Any:
        lines: Any = super().detach()
        lines.owns = False
        return self._output


class _ErrorText(_Text):
    """``sys.stderr`` says what it does as under python."""

    line_buffering = True


class _Output(io.RawIOBase):
    """The binary file under ``sys.stdout`` or ``sys.stderr``.

    Attributes:
        descriptor: what brings the output of child processes; None where there is no such thing.
        lock: held by who writes: no thread overtakes another.
        forked: this is a copy in a forked process: the kernel's streams are its parent's.
    """

    mode = "wb"

    def __init__(self, name: str, stream: Any, descriptor: _Descriptor | None) -> None:
        self.name = name
        self._stream = stream
        self.descriptor = descriptor
        self._decoder = _Utf8()
        self.lock = threading.RLock()
        self.forked = False
        self._at_seam = True

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        if self.descriptor is not None:
            return self.descriptor.number
        return int(self._stream.fileno())

    def write(self, data: Any) -> int:
        data = bytes(data)
        with self.lock:
            if self.closed:
                raise ValueError("I/O operation on closed file.")
            if self._is_child():
                self._write_descriptor(data)
                return len(data)
            if self.descriptor is not None and self._at_seam:
                self.descriptor.take_waiting()
            # To look costs. What is to come before a child's output, the script flushes or ends a
            # line.
            self._at_seam = data.endswith(b"\n")
            self._stream.write(self._decoder.text(data))
        return len(data)

    def _write_descriptor(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.fileno(), data) :]

    def _is_child(self) -> bool:
        return self.forked and self.descriptor is not None

    def flush(self) -> None:
        super().flush()
        self._at_seam = True
        if not self._is_child():
            self._stream.flush()


class _Input(io.RawIOBase):
    """The binary file under ``sys.stdin``.

    Args:
        kernel: the ipykernel.
        kind: ``terminal``, ``pipe`` (or a file), ``none`` (closed), or ``detached``: the
            client that began the run, and had a pipe, is gone.
    """

    name = "<stdin>"
    mode = "rb"

    def __init__(self, kernel: Any, kind: str) -> None:
        self.kind = kind
        self._raw_input = kernel.raw_input
        self._data = b""
        self._over = kind == "none"
        self._lock = threading.RLock()
        self._pid = os.getpid()

    def readable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.kind == "terminal"

    def readinto(self, buffer: Any) -> int:
        # IPython leaves such a frame out of the traceback of a cell.
        __tracebackhide__ = True
        with self._lock:
            if not self._data and not self._over:
                self._data = self._ask()
                self._over = not self._data and self.kind != "terminal"
            size = min(len(buffer), len(self._data))
            buffer[:size], self._data = self._data[:size], self._data[size:]
            return size

    def _ask(self) -> bytes:
        __tracebackhide__ = True
        if self.kind == "detached":
            raise OSError(errno.ENOTSUP, "a detached run has no stdin: " + _NO_STDIN)
        if os.getpid() != self._pid:
            raise OSError(errno.ENOTSUP, "a forked process has no stdin: " + _NO_STDIN)
        try:
            with _flushable():
                answer = self._raw_input(STDIN_PROMPT + str(_STDIN_BYTES))
        except EOFError:
            return b""
        if answer.startswith(STDIN_ERROR):
            raise OSError(errno.EIO, answer[len(STDIN_ERROR) :])
        return base64.b64decode(answer)


class _InputAgain(io.BufferedIOBase):
    """Another file of the same stdin: to close it closes nothing else."""

    def __init__(self, source: Any) -> None:
        self.raw = source.raw
        self.name = source.name
        self.mode = source.mode
        self._source = source

    def readable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self._source.isatty())

    def read(self, size: int | None = -1, /) -> bytes:
        return bytes(self._open_source().read(size))

    def read1(self, size: int = -1, /) -> bytes:
        return bytes(self._open_source().read1(size))

    def readline(self, size: int | None = -1, /) -> bytes:
        return bytes(self._open_source().readline(size))

    def peek(self, size: int = 0, /) -> bytes:
        return bytes(self._open_source().peek(size))

    def _open_source(self) -> Any:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        return self._source


@contextlib.contextmanager
def _flushable() -> Iterator[None]:
    """The kernel flushes ``sys.stdout`` before it asks, and can't where the script closed it."""
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (None if getattr(s, "closed", True) else s for s in kept)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept


@contextlib.contextmanager
def script_streams(stdin: str) -> Iterator[None]:
    """Give ``sys`` and ``builtins`` a script's streams, and put back what was there.

    Args:
        stdin: as the ``kind`` of ``_Input``.
    """
    from IPython import get_ipython

    names = [each + suffix for each in ("stdin", "stdout", "stderr") for suffix in ("", "__")]
    names = ["__" + name if name.endswith("__") else name for name in names]
    kept = {name: getattr(sys, name) for name in names}
    opens = builtins.open, builtins.input
    descriptors: list[_Descriptor] = []
    outputs: list[_Output] = []
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        stream = kept[name]
        descriptor = None
        if os.name == "posix" and hasattr(stream, "pub_thread"):
            descriptor = _Descriptor(number, stream)
            descriptors.append(descriptor)
        raw = _Output(f"<{name}>", stream, descriptor)
        text = (_Text if number == 1 else _ErrorText)(raw, errors)
        outputs.append(raw)
        if descriptor is not None:
            descriptor.hand_over = text.hand_over
        text.mode = "w"  # type: ignore[misc]
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
    _mark_forked(outputs)
    source, lines = _stdin_of(get_ipython().kernel, stdin)
    sys.stdin = sys.__stdin__ = lines  # type: ignore[misc]
    builtins.input = _input_of(source, lines, builtins.input)
    builtins.open = io.open = _open_of(lines, opens[0])
    try:
        yield
    finally:
        for name in ("stdout", "stderr"):
            with contextlib.suppress(Exception):
                getattr(sys, name).flush()
        for name, value in kept.items():
            setattr(sys, name, value)
        builtins.open, builtins.input = opens
        io.open = opens[0]
        for descriptor in descriptors:
            descriptor.release()


def cells_stdin(stdin: str) -> None:
    """Give the cells of a script its stdin, until somebody else sends a request.

    Args:
        stdin: as the ``kind`` of ``_Input``.
    """
    from IPython import get_ipython

    shell: Any = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        # No ipykernel: how it would ask is not known.
        return
    client = _client_of(kernel)
    ask = kernel.raw_input
    source, lines = _stdin_of(kernel, stdin)
    ours: dict[tuple[Any, str], Any] = {
        (sys, "stdin"): lines,
        # The kernel makes it `input` for each cell.
        (kernel, "raw_input"): _input_of(source, lines, ask),
        (builtins, "open"): _open_of(lines, builtins.open),
        (io, "open"): _open_of(lines, io.open),
    }
    main = shell.user_module
    if getattr(vars(main).get("open"), "__wrapped__", None) is io.open:
        # IPython's, which refuses descriptors.
        ours[main, "open"] = ours[builtins, "open"]
    kept = {place: getattr(*place) for place in ours}

    def put_back() -> None:
        if _client_of(kernel) == client:
            return
        shell.events.unregister("pre_execute", put_back)
        for place, value in ours.items():
            if getattr(*place, None) is value:
                setattr(*place, kept[place])
        if builtins.input is ours[kernel, "raw_input"]:
            builtins.input = ask

    for place, value in ours.items():
        setattr(*place, value)
    shell.events.register("pre_execute", put_back)


def _client_of(kernel: Any) -> Any:
    """Who sent what the kernel executes."""
    return kernel.get_parent("shell").get("header", {}).get("session")


def _stdin_of(kernel: Any, kind: str) -> tuple[_Input, Any]:
    """What asks the client, and the text file over it."""
    source = _Input(kernel, kind)
    lines = io.TextIOWrapper(io.BufferedReader(source, _PIPE_BYTES), "utf-8")
    lines.mode = "r"  # type: ignore[misc]
    return source, lines


def _mark_forked(outputs: list[_Output]) -> None:
    if not hasattr(os, "register_at_fork"):
        return
    # It can't be undone: what it knows of the outputs must not keep them alive.
    known = [weakref.ref(output) for output in outputs]

    def mark() -> None:
        for reference in known:
            output = reference()
            if output is not None:
                output.forked = True
                output.lock = threading.RLock()  # no thread that held it is here

    os.register_at_fork(after_in_child=mark)


def _input_of(source: _Input, lines: Any, ask: Any) -> Any:
    """The script's ``input``: asks the person at a terminal, and reads ``sys.stdin`` elsewhere."""

    def input(prompt: object = "", /) -> str:
        __tracebackhide__ = True
        if sys.stdin is None:
            raise RuntimeError("input(): lost sys.stdin")
        if sys.stdin is lines and source.kind == "terminal" and not lines.closed:
            try:
                return str(ask(prompt))
            except EOFError:
                raise EOFError("EOF when reading a line") from None
        if str(prompt):
            sys.stdout.write(str(prompt))
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError("EOF when reading a line")
        return line[:-1] if line.endswith("\n") else line

    return input


def _open_of(lines: Any, really_open: Any) -> Any:
    """``open`` that knows the names of stdin: the kernel's own descriptor 0 is not the person's."""

    def open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        # A bool is no descriptor that anybody means, and a Path equals no string.
        name = file if isinstance(file, (int, str)) else str(file)
        if name in _STDIN_NAMES and set(mode) <= set("rbt"):
            file = _InputAgain(lines.buffer)
            return file if "b" in mode else io.TextIOWrapper(file, "utf-8")
        return really_open(file, mode, *args, **kwargs)

    return open
