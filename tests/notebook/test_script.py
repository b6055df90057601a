"""A script in a real kernel behaves like ``python FILE ARGS``, and the kernel is as it was."""

import ast
import os
import queue
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from jrc.notebook import script_in_kernel
from jrc.notebook.script import EXIT_EXPRESSIONS, exit_code_from_reply, prologue_code, script_code
from tests.support.jupyter import server_environment

FILE = "/home/me/project/train.py"
"""Where the script lies on the client's machine; the kernel has no such file."""


@dataclass
class Ended:
    """How one piece of code ended in the kernel."""

    reply: dict[str, Any]
    outputs: list[dict[str, Any]] = field(default_factory=list)

    def text(self, name: str = "stdout") -> str:
        return "".join(o["text"] for o in self.outputs if o.get("name") == name)

    @property
    def traceback(self) -> str:
        (error,) = [o for o in self.outputs if "traceback" in o]
        return "\n".join(error["traceback"])

    @property
    def exit_code(self) -> int | None:
        return exit_code_from_reply(self.reply)


class Kernel:
    """A real ipykernel and its client."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def script(self, source: str, *args: str, **options: Any) -> Ended:
        """Run a script, as jrc does."""
        code = script_code(source, FILE, ["train.py", *args], "terminal")
        return self.execute(code, user_expressions=dict(EXIT_EXPRESSIONS), **options)

    def execute(
        self, code: str, *, answers: tuple[str, ...] = (), interrupt_at: str = "", **options: Any
    ) -> Ended:
        """Execute code until its reply and its idle are there.

        Args:
            code: what to execute.
            answers: what to type when the code asks.
            interrupt_at: the stdout text at which to press Ctrl-C.
            options: of ``BlockingKernelClient.execute``.
        """
        waiting = list(answers)
        msg_id = self.client.execute(
            code, store_history=False, allow_stdin=bool(answers), **options
        )
        ended = Ended({})
        while not self._take_published(msg_id, ended):
            if interrupt_at and interrupt_at in ended.text():
                interrupt_at = ""
                self.manager.interrupt_kernel()
            if waiting and self.client.stdin_channel.msg_ready():
                self.client.get_stdin_msg(timeout=1)
                self.client.input(waiting.pop(0))
        while not ended.reply:
            message = self.client.get_shell_msg(timeout=60)
            if message["parent_header"].get("msg_id") == msg_id:
                ended.reply = message["content"]
        return ended

    def _take_published(self, msg_id: str, ended: Ended) -> bool:
        """Take one published message; tell whether it was the last one of the request."""
        try:
            message = self.client.get_iopub_msg(timeout=0.05)
        except queue.Empty:
            return False
        if message["parent_header"].get("msg_id") != msg_id:
            return False
        if message["msg_type"] not in ("status", "execute_input"):
            ended.outputs.append(message["content"])
        return bool(message["content"].get("execution_state") == "idle")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for all tests here: a script must leave it as it was."""
    folder = tmp_path_factory.mktemp("kernel")
    (folder / "work").mkdir()
    # With TCP the ports are chosen before the kernel binds them; somebody else may take one.
    transport = "tcp" if os.name == "nt" else "ipc"
    manager = KernelManager(connection_file=str(folder / "k.json"), transport=transport)
    manager.start_kernel(cwd=str(folder / "work"), env=server_environment(folder))
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield Kernel(manager, client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@pytest.fixture
def fresh_names(kernel: Kernel) -> Iterator[None]:
    """Fail when a test's scripts left names or state in the kernel."""
    state = (
        "import sys, asyncio, builtins, linecache; print(sorted(dir()), sys.argv, sys.path, "
        "sys.modules['__main__'].__name__, sys.modules['__main__'].__dict__ is globals(), "
        "sys.stdout, sys.excepthook, hasattr(builtins, 'exit'), asyncio.get_running_loop(), "
        "asyncio.current_task() is not None, "
        "[name for name in sorted(vars(sys)) if not name.startswith('last_')], "
        f"{FILE!r} in linecache.cache)"
    )
    before = kernel.execute(state).text()
    assert before
    yield
    assert kernel.execute(state).text() == before


pytestmark = pytest.mark.usefixtures("fresh_names")


def test_names_arguments_and_search_path(kernel: Kernel) -> None:
    """``__name__``, ``__file__``, ``sys.argv`` and ``sys.path[0]`` are a script's own."""
    source = (
        "import os, sys\nprint(__name__, __file__, sys.argv, sys.path[0] == os.getcwd(), "
        "sorted(globals()), __doc__)"
    )
    ended = kernel.script(source, "--epochs", "3")
    names = ["__builtins__", "__doc__", "__file__", "__loader__", "__name__"]
    names += ["__package__", "__spec__", "os", "sys"]
    expected = f"__main__ {FILE} ['train.py', '--epochs', '3'] True {names} None\n"
    assert (ended.text(), ended.exit_code) == (expected, 0)


def test_expressions_show_nothing_and_display_works(kernel: Kernel) -> None:
    ended = kernel.script("1 + 1\nfrom IPython.display import display\ndisplay('shown')")
    assert [o["data"]["text/plain"] for o in ended.outputs] == ["'shown'"]


@pytest.mark.parametrize(
    ("statement", "code", "stderr"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(None)", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit(-1)", -1, ""),
        ("sys.exit(True)", 1, ""),
        ("sys.exit(2**40)", -1, ""),
        ("sys.exit('no data')", 1, "no data\n"),
        ("sys.exit((1, 2))", 1, "(1, 2)\n"),
        ("exit(4)", 4, ""),
        ("quit()", 0, ""),
        ("raise SystemExit(5)", 5, ""),
        ("(lambda: sys.exit(6))()", 6, ""),
    ],
)
def test_exit_codes(kernel: Kernel, statement: str, code: int, stderr: str) -> None:
    """The exit code is python's; text goes to stderr; there is no advice of IPython's."""
    ended = kernel.script(f"import sys\n{statement}")
    assert (ended.exit_code, ended.text("stderr"), ended.reply["status"]) == (code, stderr, "ok")


ERRORS = {
    "plain": "def f(x):\n    return 1 / x\n\n\nf(0)\n",
    "chained": "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('né') from e\n",
    "context": "try:\n    [][1]\nexcept IndexError:\n    unknown\n",
    "group": "raise ExceptionGroup('all', [ValueError(1), TypeError('two')])\n",
    "syntax": "x = 1\nprint('never'\ny = 2\n",
    "indentation": "if True:\nprint()\n",
    "late syntax": "print('never')\n\nreturn 3\n",
    "recursion": "def f():\n    f()\nf()\n",
    "in the library": "import json\njson.loads('{')\n",
    "note": "e = ValueError('x')\ne.add_note('look here')\nraise e\n",
    "own class": "class Mine(Exception):\n    pass\n\n\nraise Mine('text')\n",
    "exec": "exec('1/0')\n",
    "form feed": "a = 1\n\x0c\nb = '\u2028'\n1 / 0\n",
}


def blurred(traceback: str) -> str:
    return re.sub(r"repeated \d+ more", "repeated", re.sub(r"\^+\n", "^\n", traceback))


@pytest.mark.parametrize("source", ERRORS.values(), ids=ERRORS)
def test_traceback_is_the_one_of_python(kernel: Kernel, tmp_path: Path, source: str) -> None:
    """Byte for byte what the interpreter itself prints, but for the folder of the file."""
    file = tmp_path / "train.py"
    file.write_text(source, encoding="utf-8")
    env = {**os.environ, "PYTHONUTF8": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, encoding="utf-8", check=False, env=env
    )
    ended = kernel.script(source)
    expected = done.stderr.rstrip("\n").replace(str(file), FILE)
    # Two things are not the file's: how deep the kernel's own stack is, and how many characters
    # the interpreter itself (3.11, 3.12), in contrast to its traceback module, underlines.
    assert blurred(ended.traceback) == blurred(expected)
    assert (ended.exit_code, done.returncode) == (1, 1)
    assert ended.text() == done.stdout


def test_error_names_and_text(kernel: Kernel) -> None:
    """The reply and the published error carry the exception's own name and text."""
    ended = kernel.script("class Lost(Exception): pass\nraise Lost('in space')")
    (error,) = ended.outputs
    for content in (error, ended.reply):
        assert (content["ename"], content["evalue"]) == ("Lost", "in space")


def test_exception_that_cannot_be_shown(kernel: Kernel) -> None:
    """A failing ``__str__`` does not hide the traceback."""
    source = "class Odd(Exception):\n    def __str__(self):\n        return 1\nraise Odd\n"
    ended = kernel.script(source)
    assert "line 4, in <module>" in ended.traceback
    assert ended.reply["ename"] == "Odd"


def test_null_character(kernel: Kernel) -> None:
    assert kernel.script("a = '\0'").reply["ename"] in ("ValueError", "SyntaxError")


def test_own_excepthook(kernel: Kernel) -> None:
    """A hook that the script set reports instead of the kernel; a broken one does not."""
    hook = "import sys\nsys.excepthook = lambda t, v, tb: print('hook', t.__name__, tb.tb_lineno)\n"
    ended = kernel.script(hook + "1 / 0")
    assert (ended.text(), ended.exit_code) == ("hook ZeroDivisionError 3\n", 1)
    ended = kernel.script("import sys\nsys.excepthook = lambda: None\n1 / 0")
    assert ended.reply["ename"] == "ZeroDivisionError"


def test_interrupt(kernel: Kernel) -> None:
    """Ctrl-C ends it with a KeyboardInterrupt that names the script's line."""
    source = "import time\nprint('go')\nwhile True:\n    time.sleep(0.01)\n"
    ended = kernel.script(source, interrupt_at="go")
    assert f'File "{FILE}", line 4, in <module>' in ended.traceback
    assert ended.exit_code == 130


def test_a_line_that_has_begun_is_seen(kernel: Kernel) -> None:
    """Lines are put together before they go out; what waits for its end does so, too."""
    source = "import sys, time\nsys.stdout.write('begun')\ntime.sleep(600)\n"
    ended = kernel.script(source, interrupt_at="begun")
    assert ended.text() == "begun"
    assert ended.exit_code == 130


def test_main_module(kernel: Kernel) -> None:
    """``__main__`` is the script for pickle, dataclasses, type hints and imports."""
    source = """
from __future__ import annotations
import dataclasses, pickle, sys, typing

@dataclasses.dataclass
class Point:
    x: int
    next: Point | None = None

if __name__ == "__main__":
    import __main__
    from __main__ import Point as Same
    assert Same is Point and __main__.__file__ == __file__
    assert pickle.loads(pickle.dumps(Point(1, Point(2)))) == Point(1, Point(2))
    assert typing.get_type_hints(Point)["x"] is int
    assert sys.modules["__main__"].__dict__ is globals()
    print("done")
"""
    assert kernel.script(source).text() == "done\n"


def test_future_imports_stay_in_the_script(kernel: Kernel) -> None:
    """Annotations are evaluated without the future import, also behind a script that has it."""
    kernel.script("from __future__ import annotations\nx: unknown = 1")
    assert kernel.script("def f(x: unknown): pass").reply["ename"] == "NameError"


def test_source_is_found(kernel: Kernel) -> None:
    """``inspect`` and warnings find the lines of a file that is not there."""
    source = (
        "import inspect, warnings\n\ndef f():\n    return 1\n\n"
        "print(inspect.getsource(f), end='')\nwarnings.warn('careful')\n"
    )
    ended = kernel.script(source)
    assert ended.text() == "def f():\n    return 1\n"
    expected = f"{FILE}:7: UserWarning: careful\n  warnings.warn('careful')\n"
    assert ended.text("stderr") == expected


def test_input(kernel: Kernel) -> None:
    """The script may ask, at its top level too."""
    source = "import getpass\nprint(input('name? '), getpass.getpass('key? '))"
    assert kernel.script(source, answers=("Ada", "s3")).text() == "Ada s3\n"


def test_asyncio(kernel: Kernel) -> None:
    """``asyncio.run`` works although the kernel itself lives in a loop, and so does anyio."""
    source = """
import asyncio, anyio

async def main(n):
    await asyncio.sleep(0)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))
    return n

print(asyncio.run(main(1)), asyncio.run(main(2)), anyio.run(main, 3))
"""
    ended = kernel.script(source)
    assert ended.text() == "1 2 3\n", ended.outputs
    assert kernel.execute("import asyncio; print(await asyncio.sleep(0, 4))").text() == "4\n"


def test_interrupt_of_asyncio(kernel: Kernel) -> None:
    source = (
        "import asyncio\nasync def main():\n    print('go', flush=True)\n"
        "    await asyncio.sleep(60)\nasyncio.run(main())\n"
    )
    assert kernel.script(source, interrupt_at="go").exit_code == 130


def test_threads_finish_before_the_end(kernel: Kernel) -> None:
    """Non-daemon threads and pools that nobody shut down finish their work, as with python."""
    source = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor

def work(n):
    time.sleep(0.2)
    sys.stdout.write(f"{n}\\n")

threading.Thread(target=work, args=("thread",)).start()
pool = ThreadPoolExecutor(1)
pool.submit(work, "pool 1")
pool.submit(work, "pool 2")
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
sys.exit(7)
"""
    ended = kernel.script(source)
    assert sorted(ended.text().splitlines()) == ["pool 1", "pool 2", "thread"]
    assert ended.exit_code == 7
    # Later pools are not told that the interpreter ends.
    again = "from concurrent.futures import ThreadPoolExecutor as P\nprint(*P(1).map(str, [1, 2]))"
    assert kernel.script(again).text() == "1 2\n"


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_processes(kernel: Kernel, method: str) -> None:
    """Child processes import the script's functions though its file is not on that machine."""
    if method not in ("spawn",) and os.name == "nt":
        method = "spawn"
    source = f"""# -*- coding: latin-1 -*-
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor

NAME = "é"

def square(n):
    return NAME, n * n

def late(path):
    with open(path, "w") as file:
        file.write("late")

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with context.Pool(1) as pool:
        print(pool.map(square, [2, 3]))
    pool = ProcessPoolExecutor(1, mp_context=context)
    print(pool.submit(square, 4).result())
    context.Process(target=late, args=("late.txt",)).start()
"""
    ended = kernel.script(source)
    assert ended.text() == "[('é', 4), ('é', 9)]\n('é', 16)\n", ended.outputs
    look = "print(open('late.txt').read(), __import__('glob').glob("
    look += "__import__('tempfile').gettempdir() + '/jrc-*/train.py'))"
    assert kernel.execute(look).text() == "late []\n"


def test_open_files_are_flushed(kernel: Kernel) -> None:
    """What the script wrote and did not close is on the disk when it has ended."""
    source = "file = open('open.txt', 'w')\nfile.write('all')\ndef f(): return file\nloop = [f]"
    kernel.script(source)
    assert kernel.execute("print(open('open.txt').read())").text() == "all\n"


def test_replaced_streams_are_put_back(kernel: Kernel) -> None:
    source = "import sys, io\nsys.stdout = io.StringIO()\nsys.path.clear()\nsys.argv = None"
    assert kernel.script(source).exit_code == 0


def test_modules_beside_the_kernel(kernel: Kernel) -> None:
    """A module in the kernel's working folder can be imported, as from a script's own folder."""
    kernel.execute("open('beside.py', 'w').write('NAME = 1') and None")
    assert kernel.script("import beside\nprint(beside.NAME)").text() == "1\n"


def test_shadowed_builtins(kernel: Kernel) -> None:
    """A running kernel whose user called something ``exec`` runs scripts all the same."""
    kernel.execute("exec = compile = 1")
    try:
        assert kernel.script("print(exec)").text() == "<built-in function exec>\n"
    finally:
        kernel.execute("del exec, compile")


def test_huge_script(kernel: Kernel) -> None:
    """A script of many megabytes is sent as a message that a server accepts."""
    source = "\n".join(f"value_{n} = 'some text, number {n}'" for n in range(250_000))
    code = script_code(source, FILE, ["train.py"], "none")
    assert len(source) > 10_000_000 > 5 * len(code)
    assert kernel.script(source[:1_000_000].rpartition("\n")[0] + "\nprint(value_7)").exit_code == 0


def test_prologue_of_cells(kernel: Kernel) -> None:
    """A script that runs cell by cell gets its file name and its arguments."""
    kernel.execute("import sys; kept = sys.argv")
    ended = kernel.execute(prologue_code(FILE, ["train.py", "a'b"], "none"), silent=True)
    assert ended.outputs == []
    assert kernel.execute("print(__file__, sys.argv)").text() == f"{FILE} ['train.py', \"a'b\"]\n"
    kernel.execute("sys.argv = kept; del __file__, kept, sys")


def test_what_a_kernel_registers_for_its_own_end_outlives_a_script(kernel: Kernel) -> None:
    """pyzmq makes its collector for the first large message, which may be a script's output."""
    kernel.script("import zmq.utils.garbage as g\ng.of_test = g.GarbageCollector()\n")
    ended = kernel.execute(
        "import zmq.utils.garbage as g\nprint(g.of_test._stay_down)\n"
        "import atexit; atexit.unregister(g.of_test._atexit); del g.of_test, g, atexit"
    )
    assert ended.text() == "False\n"


def test_names_stay_in_the_script(kernel: Kernel) -> None:
    """Neither the kernel's own names are seen by a script nor the script's by the kernel."""
    kernel.execute("outer = 1")
    assert kernel.script("inner = 1\nprint('outer' in globals())").text() == "False\n"
    assert kernel.execute("print('inner' in globals()); del outer").text() == "False\n"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"status": "ok", "user_expressions": {}}, None),
        ({"status": "ok"}, None),
        ({"status": "aborted"}, None),
        ({}, None),
        ({"status": "error", "ename": "ValueError"}, 1),
        ({"status": "error", "ename": "KeyboardInterrupt"}, 130),
        ({"status": "ok", "user_expressions": {"jrc_exit_code": {"status": "error"}}}, None),
        ({"status": "ok", "user_expressions": {"jrc_exit_code": None}}, None),
        (
            {
                "status": "ok",
                "user_expressions": {"jrc_exit_code": {"data": {"text/plain": "None"}}},
            },
            None,
        ),
        (
            {
                "status": "ok",
                "user_expressions": {"jrc_exit_code": {"data": {"text/plain": "-2"}}},
            },
            -2,
        ),
    ],
)
def test_exit_code_from_reply(content: dict[str, Any], code: int | None) -> None:
    assert exit_code_from_reply(content) == code


def test_remote_part_is_valid_for_old_pythons() -> None:
    """What is sent parses as Python 3.8 and imports nothing but the standard library."""
    text = Path(script_in_kernel.__file__).read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    imported = {
        name.name.partition(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert imported <= sys.stdlib_module_names
    assert script_in_kernel.EXIT_ATTRIBUTE in next(iter(EXIT_EXPRESSIONS.values()))
