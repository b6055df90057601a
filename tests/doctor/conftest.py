"""A stand-in cluster for the doctor, with one real kubectl."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jrc.profile.paths import Paths
from jrc.tunnel.connect import keepers, stop_keeper
from tests.support.jupyter import JupyterServer
from tests.support.kube import Kube
from tests.support.kubectls import chosen_kubectls
from tests.support.profiles import save_lab


@pytest.fixture
def kube(jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """A cluster with the shared server in a pod, and the profile ``lab`` that leads there."""
    monkeypatch.setenv("JRC_KUBECTL", chosen_kubectls()[-1].path)
    monkeypatch.setenv("JRC_TOKEN", jupyter.token)
    parts = urlsplit(jupyter.url)
    assert parts.hostname
    assert parts.port
    paths = Paths.from_environment()
    with Kube(tmp_path) as kube:
        kube.jupyter((parts.hostname, parts.port))
        save_lab(kube)
        yield kube
        for profile in keepers(paths):
            stop_keeper(profile, paths)
