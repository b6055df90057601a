"""Kernels to record: ipykernel 6 on the oldest Python that is here, and 7."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kernels import (
    REMOVE_REQUEST,
    KernelPython,
    ZmqKernel,
    interpreters,
    kernel_python,
    running_kernel,
    settle,
)


@pytest.fixture(scope="session")
def kernel_pythons(pytestconfig: pytest.Config) -> dict[int, KernelPython]:
    """By the major version of ipykernel. The environments are kept in pytest's cache folder."""
    oldest = _oldest_python()
    return {
        6: kernel_python(_folder(pytestconfig), oldest, ["ipykernel>=6.29,<7", "ipywidgets"]),
        7: kernel_python(
            _folder(pytestconfig), sys.executable, ["ipykernel>=7.4,<8", "ipywidgets"]
        ),
    }


@pytest.fixture(scope="session")
def too_old(pytestconfig: pytest.Config) -> KernelPython:
    """An ipykernel from before those that can be recorded."""
    contemporaries = ["ipython<8", "jupyter_client<8"]
    requirements = ["ipykernel>=5.5,<6", *contemporaries]
    return kernel_python(_folder(pytestconfig), _oldest_python(), requirements)


def _folder(config: pytest.Config) -> Path:
    assert config.cache is not None
    return config.cache.mkdir("kernels")


def _oldest_python() -> str:
    found = interpreters()
    return found[min(found)]


@pytest.fixture(params=[6, 7], ids=["ipykernel6", "ipykernel7"], scope="module")
def python(request: pytest.FixtureRequest, kernel_pythons: dict[int, KernelPython]) -> KernelPython:
    return kernel_pythons[request.param]


@pytest.fixture(scope="module")
def shared_kernel(
    python: KernelPython, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ZmqKernel]:
    with running_kernel(python, tmp_path_factory.mktemp("kernel")) as kernel:
        yield kernel


@pytest.fixture
def kernel(shared_kernel: ZmqKernel) -> Iterator[ZmqKernel]:
    """A kernel of each version, without a recorder. What a test does to it must be undone."""
    yield shared_kernel
    shared_kernel.send(shared_kernel.make("control", REMOVE_REQUEST, {"force": True}))
    settle(shared_kernel)


@pytest.fixture
def own_kernel(python: KernelPython, tmp_path: Path) -> Iterator[ZmqKernel]:
    """A kernel of each version for one test, which may do to it what it likes."""
    with running_kernel(python, tmp_path / "kernel") as kernel:
        yield kernel
