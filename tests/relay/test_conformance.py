"""The kernel conformance suite of Jupyter, on a local kernel and on the same kernel relayed."""

from collections.abc import Iterator

import jupyter_kernel_test
import pytest

from tests.support.jupyter import JupyterServer
from tests.support.relay import write_kernelspec


class Python(jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    """What the suite must know of a Python kernel."""

    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = ({"text": "zi", "matches": {"zip"}},)
    complete_code_samples = ("1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n")
    incomplete_code_samples = ("print('''hello", "def f(x):\n  x*2")
    invalid_code_samples = ("import = 7q",)
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = (
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    )
    code_display_data = (
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))",
            "mime": "text/html",
        },
        {
            "code": "from IPython.display import Math, display; display(Math('x'))",
            "mime": "text/latex",
        },
    )
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")  # range fails locally, too
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


@pytest.fixture(scope="module", autouse=True)
def relayed(jupyter: JupyterServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The environment in which the suite starts its kernels, once for a class."""
    folder = tmp_path_factory.mktemp("conformance")
    write_kernelspec(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("JRC_HOME", str(folder / "jrc"))
        patch.setenv("JRC_URL", jupyter.url)
        patch.setenv("JRC_TOKEN", jupyter.token)
        yield


class TestLocal(Python):
    """The measure: what fails here says nothing about the relay."""

    kernel_name = "python3"


class TestRelayed(Python):
    """The same kernel on a server."""

    kernel_name = "remote"


del Python
