"""Computers at which somebody types commands."""

from pathlib import Path

import pytest

from tests.support.desk import Desk
from tests.support.jupyter import JupyterServer


@pytest.fixture
def environment(jupyter: JupyterServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listing finds the server as a command would."""
    monkeypatch.setenv("JRC_URL", jupyter.url)
    monkeypatch.setenv("JRC_TOKEN", jupyter.token)


@pytest.fixture
def desk(jupyter: JupyterServer, environment: None, tmp_path: Path) -> Desk:
    return Desk(jupyter, tmp_path / "desk")


@pytest.fixture
def other_desk(jupyter: JupyterServer, environment: None, tmp_path: Path) -> Desk:
    return Desk(jupyter, tmp_path / "other-desk")
