"""Writes the notebooks of this folder: ``python make.py``. Each is named after what it shows.

They run without input, network or packages beyond ipykernel, and give the same outputs each time
once process ids, memory addresses, times and widget message ids are blurred.
"""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


def code(source: str, *tags: str, **fields: Any) -> Json:
    """A code cell that has not run, or not lately: ``fields`` may give it outputs and a count."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": [],
        "source": source.strip("\n"),
        **fields,
    }


def markdown(source: str, **fields: Any) -> Json:
    return {"cell_type": "markdown", "metadata": {}, "source": source.strip("\n"), **fields}


def raw(source: str, **fields: Any) -> Json:
    return {"cell_type": "raw", "metadata": {}, "source": source.strip("\n"), **fields}


PNG = """
import base64, struct, zlib

def png(width, height, color):
    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))
    rows = (b"\\0" + bytes(color) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))
"""

NOTEBOOKS: dict[str, list[Json]] = {}

NOTEBOOKS["streams"] = [
    code("""
import sys
for n in range(5):
    print("out", n, flush=True)
    print("err", n, file=sys.stderr, flush=True)
"""),
    code("sys.stderr.write('only stderr\\n'); None"),
    code("""
print("no line end", end="")
sys.stdout.flush()
print(" and the rest")
"""),
]

NOTEBOOKS["carriage_returns"] = [
    code("""
import sys, time
for percent in range(0, 101, 20):
    print(f"\\r{percent:3d} %", end="", flush=True)
print()
"""),
    code('print("spinner: |\\b/\\b-\\b\\\\\\b done")'),
    code('print("one\\rtwo\\nthree\\r\\nfour\\r", end="")'),
    code("""
for step in range(3):
    print("out", step, end="\\r", flush=True)
    print("err", step, end="\\r", file=sys.stderr, flush=True)
print("out end")
"""),
]

NOTEBOOKS["flush_patterns"] = [
    code("""
import sys
for letter in "abcdef":
    sys.stdout.write(letter)
    sys.stdout.flush()
"""),
    code("sys.stdout.writelines(['one\\n', 'two\\n', '', 'three'])"),
    code("print(); print(end=''); print('', '', sep='\\n')"),
    code("print(*range(300))"),
]

NOTEBOOKS["mimetypes"] = [
    code("""
from IPython.display import display

def show(**data):
    display({mime.replace("__", "/"): value for mime, value in data.items()}, raw=True)

show(text__plain="plain", text__html="<b>bold</b>", text__markdown="*it*")
show(text__latex="$x^2$", application__javascript="let x;\\nx = 1")
display({"application/json": {"b": [1, 2.5, None, True], "a": {"c": "d"}}}, raw=True)
display({"application/vnd.example.v1+json": [1, {"two": 3}]}, raw=True)
display({"application/x-custom": "line 1\\nline 2\\n", "text/plain": "x\\ny\\n"}, raw=True)
display({"text/plain": ""}, raw=True)
"""),
    code("""
display({"text/plain": "with metadata"}, raw=True, metadata={"isolated": True, "a": {"b": 1}})
"""),
]

NOTEBOOKS["images"] = [
    code(PNG),
    code("""
from IPython.display import Image, SVG, display
display(Image(data=png(2, 2, (255, 0, 0)), width=20, height=20))
display(Image(data=png(3, 1, (0, 0, 255)), alt="a blue line"))
SVG('<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2">\\n<rect/>\\n</svg>')
"""),
    code("""
jpeg = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
display({"image/jpeg": base64.b64encode(jpeg).decode(), "text/plain": "a jpeg"}, raw=True)
"""),
    code("Image(data=png(1, 1, (0, 255, 0)))"),
]

NOTEBOOKS["rich_objects"] = [
    code("""
from IPython.display import HTML, JSON, Latex, Markdown, Math, Pretty, display
display(HTML("<table><tr><td>1</td></tr></table>"), Markdown("# head"), Latex("$a$"))
display(Math("x"), JSON({"a": [1]}, expanded=True), Pretty("pretty"))
"""),
    code("""
class Rich:
    def _repr_html_(self):
        return "<i>rich</i>"
    def __repr__(self):
        return "plain"

class Bundle:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "b", "text/html": "<b>b</b>"}, {"text/html": {"x": 1}}

display(Rich(), Bundle())
Rich()
"""),
    code("Bundle()"),
]

NOTEBOOKS["results"] = [
    code("1 + 1"),
    code("None"),
    code("'quiet';"),
    code("{'long': list(range(40)), 'text': 'a\\nb'}"),
    code("1.5, float('nan'), b'bytes', {3}, ..., int"),
    code("_ , __, Out[1]"),
    code("x = 3\nx"),
    code("print('before')\n'result'"),
]

NOTEBOOKS["display_id_in_a_cell"] = [
    code("""
from IPython.display import display, update_display
display("first", display_id="one")
display("other")
update_display("second", display_id="one")
update_display({"text/plain": "third", "text/html": "<b>3</b>"}, display_id="one", raw=True)
update_display("nobody has it", display_id="unknown")
"""),
    code("""
handle = display("a", display_id=True)
for letter in "bc":
    handle.update(letter)
handle.display("again")
handle.update("both")
"""),
]

NOTEBOOKS["display_id_across_cells"] = [
    code("from IPython.display import display, update_display\ndisplay(1, display_id='x')"),
    code("display(2, display_id='x')\ndisplay('mine')"),
    code("update_display(3, display_id='x')\nprint('updated')"),
    code("display('late', display_id='y')\ndisplay('late too', display_id='y')"),
    code("update_display('changed', display_id='y', metadata={'m': 1})"),
]

NOTEBOOKS["display_id_and_clear"] = [
    code("from IPython.display import clear_output, display, update_display"),
    code("display(1, display_id='x'); clear_output(); display('left')"),
    code("update_display('into nothing', display_id='x')"),
    code("display(2, display_id='z'); clear_output(wait=True); display(3, display_id='z')"),
    code("update_display(4, display_id='z')"),
]

NOTEBOOKS["clear_output"] = [
    code("""
from IPython.display import clear_output, display
print("gone")
display("gone too")
clear_output()
print("stays")
"""),
    code("print('gone'); clear_output()"),
    code("clear_output(); clear_output(); 'result'"),
]

NOTEBOOKS["clear_output_wait"] = [
    code("""
from IPython.display import clear_output, display
for n in range(4):
    clear_output(wait=True)
    print("step", n)
"""),
    code("print('stays, as nothing follows'); clear_output(wait=True)"),
    code("print('not touched by the cell before')"),
    code("""
print("gone")
clear_output(wait=True)
display("replaces")
clear_output(wait=True)
clear_output()
"""),
    code("print('a'); clear_output(wait=True); 1 / 0", "raises-exception"),
]

NOTEBOOKS["errors"] = [
    code("1 / 0", "raises-exception"),
    code("print('runs on')"),
    code(
        """
def deep(n):
    return {}["key"] if n == 0 else deep(n - 1)

try:
    deep(2)
except KeyError as error:
    raise ValueError("chained: é") from error
""",
        "raises-exception",
    ),
    code(
        "class Own(Exception):\n    pass\n\nprint('out')\nraise Own('text', 2)", "raises-exception"
    ),
    code("assert False, 'why'", "raises-exception", "another-tag"),
    code("display('then')\nraise KeyboardInterrupt", "raises-exception"),
    code("unknown_name", "raises-exception"),
    code("'no error at all'", "raises-exception"),
]

NOTEBOOKS["syntax_errors"] = [
    code("print('never'", "raises-exception"),
    code("  indented = 1\n unindented = 2", "raises-exception"),
    code("return 3", "raises-exception"),
    code("%unknown_magic", "raises-exception"),
    code("%%unknown_cell_magic\nx", "raises-exception"),
    code("print('goes on')"),
]

NOTEBOOKS["exception_groups_and_notes"] = [
    code("raise ExceptionGroup('all', [ValueError(1), TypeError('two')])", "raises-exception"),
    code("e = ValueError('x')\ne.add_note('look here')\nraise e", "raises-exception"),
]

NOTEBOOKS["skip_execution"] = [
    code("a = 1"),
    code(
        "raise RuntimeError('never')",
        "skip-execution",
        execution_count=7,
        outputs=[{"name": "stdout", "output_type": "stream", "text": "of an earlier run\n"}],
    ),
    code("a + 1"),
]

NOTEBOOKS["empty_cells"] = [
    markdown("# Title\n\nSome *text*."),
    code(""),
    code("   \n\n"),
    raw("raw text"),
    code("# only a comment"),
    code("1"),
    markdown(""),
    raw("", metadata={"format": "text/restructuredtext"}),
]

NOTEBOOKS["comm_messages"] = [
    code("""
from comm import create_comm
comm = create_comm(target_name="example", comm_id="comm-1", data={"x": 1}, metadata={"m": 1})
comm.send({"y": 2}, buffers=[b"raw bytes", bytes(range(256))])
print("between")
comm.send({"z": None})
comm.close(data={"bye": True})
"""),
    code("comm = create_comm(target_name='example', comm_id='comm-2')\ncomm.send({'later': 1})"),
    code("comm.send({'from': 'another cell'})"),
]

WIDGET = """
from comm import create_comm

def widget(comm_id, name, module="@jupyter-widgets/controls", **state):
    buffers = state.pop("buffers", {})
    return create_comm(
        target_name="jupyter.widget",
        comm_id=comm_id,
        data={
            "state": {
                "_model_module": module,
                "_model_module_version": "2.0.0",
                "_model_name": name,
                "_view_module": module,
                "_view_module_version": "2.0.0",
                "_view_name": name.replace("Model", "View"),
                **state,
            },
            "buffer_paths": [[key] for key in buffers],
        },
        buffers=list(buffers.values()),
        metadata={"version": "2.1.0"},
    )

def update(comm, buffers=(), paths=(), **state):
    comm.send({"method": "update", "state": state, "buffer_paths": list(paths)}, buffers=buffers)

def view(comm_id):
    mime = "application/vnd.jupyter.widget-view+json"
    bundle = {mime: {"model_id": comm_id, "version_major": 2, "version_minor": 0}}
    display({"text/plain": "a widget", **bundle}, raw=True)
"""

NOTEBOOKS["widget_state"] = [
    code(WIDGET),
    code("""
slider = widget("w1", "IntSliderModel", value=1, layout="IPY_MODEL_w2")
widget("w2", "LayoutModel", "@jupyter-widgets/base", width=None)
view("w1")
for value in range(2, 5):
    update(slider, value=value)
slider.send({"method": "custom", "content": {"ignored": True}})
"""),
    code("""
image = widget("w3", "ImageModel", format="png", buffers={"value": b"\\x89PNG\\0bytes"})
update(image, [b"newer", b"nested"], [["value"], ["deep", 0]], deep=[None])
"""),
    code("update(slider, value=9, description='from another cell')"),
]

NOTEBOOKS["output_widget"] = [
    code(WIDGET),
    code("""
import sys, time
from IPython.display import clear_output

def output(comm_id):
    return widget(comm_id, "OutputModel", "@jupyter-widgets/output", msg_id="", outputs=[])

def begin(comm):
    sys.stdout.flush()
    update(comm, msg_id=get_ipython().kernel.get_parent()["header"]["msg_id"])

def end(comm):
    sys.stdout.flush()
    sys.stderr.flush()
    update(comm, msg_id="")
    # A client that answers the widget gets the time for it: with an answer and the reply to the
    # cell on their way at once, nbclient sometimes overlooks the reply.
    time.sleep(0.5)

out = output("out-1")
view("out-1")
print("in the cell")
begin(out)
print("in the widget")
print("in the widget too")
display("shown there")
end(out)
print("in the cell again")
"""),
    code("""
other = output("out-2")
begin(other)
print("gone")
clear_output()
print("replaced")
clear_output(wait=True)
print("left")
print("an error line", file=sys.stderr)
end(other)
"""),
    code("begin(out)\nprint('from another cell')\nend(out)"),
]

NOTEBOOKS["output_widget_read"] = [
    code(WIDGET),
    *NOTEBOOKS["output_widget"][1:2],
    code("""
seen = []
out.on_msg(lambda message: seen.append(message["content"]["data"]["state"]["outputs"]))
begin(out)
print("captured")
end(out)
"""),
    code("print([output['output_type'] for output in seen[-1]])"),
    code("begin(out)\nprint('captured again')\nend(out)"),
    code("print(len(seen[-1]), seen[-1][-1]['text'])"),
    code("print('the last one')"),
]

NOTEBOOKS["nested_event_loop"] = [
    code("""
import asyncio
try:
    import nest_asyncio2 as nest_asyncio
except ImportError:
    import nest_asyncio
nest_asyncio.apply()
print(asyncio.run(asyncio.sleep(0.2, "ran")))
"""),
    *[code(f"print(asyncio.run(asyncio.sleep(0.1, {n})))\n{n}") for n in range(4)],
    code("asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.1, 'complete'))"),
    code("await asyncio.sleep(0, 'awaited')"),
]

NOTEBOOKS["large_output"] = [
    code("text = '0123456789abcde\\n' * 65536\nprint(text, end='')\nlen(text)"),
    code("display({'text/plain': 'x' * 300000}, raw=True)"),
]

NOTEBOOKS["many_outputs"] = [
    code("for n in range(120):\n    display(n)"),
    code("for n in range(200):\n    print(n)"),
]

NOTEBOOKS["unicode"] = [
    code("print('é ß 日本語 😀 👩‍👩‍👧 \\U0001f1e9\\U0001f1ea')"),
    code("print('שלום עולם مرحبا \\u202eback\\u202c')"),
    code("'𝔘𝔫𝔦𝔠𝔬𝔡𝔢', '\\u2028 \\x85 \\x0b \\x1c'"),
    code("print('separators\\u2028are\\x85not\\x0cline ends?')"),
    code("π = 3.14\nraise ValueError(f'π ≠ {π} 💥')", "raises-exception"),
    markdown("Ünïcödé 🎉 عربي"),
]

NOTEBOOKS["ansi"] = [
    code("print('\\x1b[1;31mred\\x1b[0m \\x1b[38;5;208morange\\x1b[0m')"),
    code(
        """
class Styled(Exception):
    def _render_traceback_(self):
        return ["\\x1b[31mline 1\\x1b[0m", "line 2\\n", ""]

raise Styled("own rendering")
""",
        "raises-exception",
    ),
    code("%xmode Plain"),
    code("{}[1]", "raises-exception"),
]

NOTEBOOKS["nested_display"] = [
    code("""
def report(depth):
    print("enter", depth, flush=True)
    display({"text/plain": f"at {depth}", "text/html": f"<p>{depth}</p>"}, raw=True)
    if depth:
        report(depth - 1)
    print("leave", depth, flush=True)

report(2)
"""),
    code("[display(n) for n in range(3)]"),
]

NOTEBOOKS["async_cells"] = [
    code("import asyncio\nawait asyncio.sleep(0, 'awaited')"),
    code("""
async def count(name, n):
    for i in range(n):
        await asyncio.sleep(0)
        print(name, i)
    return n

await asyncio.gather(count("a", 2), count("b", 2))
"""),
    code("async for x in (i async for i in agen()):\n    pass", "raises-exception"),
    code("async def fail():\n    raise LookupError('awaited')\n\nawait fail()", "raises-exception"),
]

NOTEBOOKS["threads"] = [
    code("""
import threading

def work(n):
    print("thread", n, flush=True)

for n in range(3):
    thread = threading.Thread(target=work, args=(n,))
    thread.start()
    thread.join()
print("main")
"""),
    code("""
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(1) as pool:
    print(list(pool.map(lambda n: n * n, range(4))))
"""),
    code("""
def fail():
    raise RuntimeError("in a thread")

threading.excepthook = lambda args: print("caught", args.exc_type.__name__, args.exc_value)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""),
]

NOTEBOOKS["subprocesses"] = [
    code("!echo from the shell"),
    code("lines = !printf 'a\\\\nb\\\\n'\nlines"),
    code("""
import subprocess, sys
done = subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True)
print(done.stdout, done.returncode)
"""),
]

NOTEBOOKS["file_descriptors"] = [
    code("""
import os, time
os.write(1, b"straight to stdout\\n")
# What reads the descriptor is a thread of the kernel.
time.sleep(0.5)
"""),
    code("os.write(2, b'straight to stderr\\n'); time.sleep(0.5)"),
]

NOTEBOOKS["warnings_and_logging"] = [
    code("""
import logging, sys, warnings
warnings.formatwarning = lambda message, category, *_, **__: f"{category.__name__}: {message}\\n"
warnings.warn("careful")
warnings.warn("old", DeprecationWarning)
"""),
    code("""
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", force=True)
logging.getLogger("corpus").info("told")
logging.getLogger("corpus").debug("not told")
try:
    1 / 0
except ZeroDivisionError:
    logging.error("failed")
"""),
]

NOTEBOOKS["magics"] = [
    code("%%capture kept\nprint('hidden')\ndisplay('hidden too')\n1"),
    code("kept.show()"),
    code("kept.stdout"),
    code("%%writefile corpus_magics.txt\nwritten"),
    code("%cat corpus_magics.txt"),
    code("import os\nos.remove('corpus_magics.txt')"),
    code("%%html\n<b>magic</b>"),
    code("%%javascript\nlet x = 1;"),
    code("%precision 2\n3.14159"),
    code("%%python_is_no_magic\n1", "raises-exception"),
    code("name = %env HOME\ntype(name)"),
]

NOTEBOOKS["payloads"] = [
    code("len?"),
    code("get_ipython().set_next_input('x = 1')"),
    code("%page 'text'", "raises-exception"),
    code("print('after the pager')"),
]

NOTEBOOKS["system_exit"] = [
    code("import warnings; warnings.filterwarnings('ignore', message='To exit: ')"),
    code("import sys\nprint('before')\nsys.exit(3)", "raises-exception"),
    code("print('the kernel goes on')"),
    code("raise SystemExit('text')", "raises-exception"),
]

NOTEBOOKS["execution_counts"] = [
    code(
        "1",
        execution_count=41,
        outputs=[
            {
                "output_type": "error",
                "ename": "Old",
                "evalue": "of an earlier run",
                "traceback": ["old"],
            }
        ],
    ),
    code("", execution_count=42),
    code(
        "2;",
        execution_count=43,
        outputs=[{"output_type": "stream", "name": "stderr", "text": ["old ", "lines\n"]}],
    ),
    code("3", execution_count=None),
]

NOTEBOOKS["metadata_kept"] = [
    code(
        "'kept'",
        metadata={
            "collapsed": False,
            "custom": {"nested": [1, {"deep": None}]},
            "jupyter": {"source_hidden": True, "outputs_hidden": False},
            "name": "named",
            "scrolled": "auto",
            "slideshow": {"slide_type": "slide"},
            "tags": ["one", "two words"],
            "trusted": True,
        },
    ),
    markdown("![x](attachment:x.png)", attachments={"x.png": {"image/png": "iVBORw0KGgo="}}),
    markdown(
        "two",
        metadata={"editable": False},
        attachments={
            "a.svg": {"image/svg+xml": ["<svg>\n", "</svg>"]},
            "b.json": {"application/json": {"a": ["not", "joined"]}},
        },
    ),
    raw("<b>", metadata={"format": "text/html", "raw_mimetype": "text/html"}),
]

NOTEBOOKS["source_as_lines"] = [
    {**code(""), "source": ["x = 1\n", "\n", "x + 1"]},
    {**markdown(""), "source": ["# A\n", "\n", "b\n"]},
    {**code(""), "source": []},
    {**code(""), "source": ["print('''a\n", "b\u2028c''')\n"]},
]

NOTEBOOKS["state_between_cells"] = [
    code("import os\nvalues = [1]"),
    code("values.append(2)\nvalues"),
    code("In[1], len(Out)"),
    code("os.getcwd() == os.path.abspath('.')"),
    code("__name__, '__file__' in globals()"),
]

NOTEBOOKS["parameters"] = [
    code("epochs = 1\nname = 'default'", "parameters"),
    code("print(epochs, name)"),
]

OLD = [
    code("print('of an old format')"),
    markdown("text"),
    code("1 + 1", metadata={"collapsed": True}),
    code("1 / 0", "raises-exception"),
]

METADATA: dict[str, Json] = {
    "metadata_kept": {
        "authors": [{"name": "A. Uthor"}],
        "custom": {"kept": [1, 2, {"three": "é"}]},
        "title": "A title",
        "toc": {"base_numbering": 1},
    },
}


def notebook(cells: list[Json], metadata: Json, minor: int) -> Json:
    """A notebook of format 4; from 4.5 on its cells have ids."""
    if minor >= 5:
        cells = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)]
    return {
        "cells": cells,
        "metadata": {"kernelspec": KERNELSPEC, **metadata},
        "nbformat": 4,
        "nbformat_minor": minor,
    }


def texts() -> dict[str, str]:
    """The text of each file, by its name."""
    made = {name: notebook(cells, METADATA.get(name, {}), 5) for name, cells in NOTEBOOKS.items()}
    for minor in (0, 1, 2, 4):
        made[f"nbformat_4_{minor}"] = notebook(OLD, {"orig_nbformat": 3}, minor)
    return {
        f"{name}.ipynb": json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        for name, content in made.items()
    }


if __name__ == "__main__":
    for name, text in texts().items():
        Path(__file__).with_name(name).write_bytes(text.encode())
