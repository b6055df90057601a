"""The kernelspecs that jrc writes, and what Jupyter makes of them."""

import json
from pathlib import Path

import pytest

from jrc.editor.kernelspecs import (
    Launch,
    Owner,
    ServerKernelspec,
    SpecFolder,
    owner_of,
    plain_name,
    renamed_folders,
    spec_folders,
)

PYTHON = ServerKernelspec("python3", "Python 3 (ipykernel)", "python", debugger=True)
R = ServerKernelspec(
    "ir", "R", "R", logos={"logo-64x64.png": b"\x89PNG", "logo-svg.svg": b"<svg/>"}
)
LAUNCH = Launch("/opt/jrc/bin/jrc-kernel", {"JRC_HOME": "/srv/jrc"})


def spec(folder: SpecFolder) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(folder.files["kernel.json"])
    return loaded


def test_a_spec_names_the_relay_the_profile_and_the_kernel() -> None:
    (folder,) = spec_folders("ml", [PYTHON], LAUNCH, {})
    assert (folder.name, folder.display_name) == ("jrc-ml-python3", "Python 3 · ml (jrc)")
    assert spec(folder) == {
        "argv": ["/opt/jrc/bin/jrc-kernel", "-f", "{connection_file}"],
        "display_name": "Python 3 · ml (jrc)",
        "language": "python",
        "name": "jrc-ml-python3",
        "interrupt_mode": "message",
        "env": {"JRC_PROFILE": "ml", "JRC_KERNEL": "python3", "JRC_HOME": "/srv/jrc"},
        "metadata": {"jrc": {"profile": "ml", "kernel": "python3"}, "debugger": True},
    }


def test_a_spec_says_that_the_relay_encrypts() -> None:
    """Managers of jupyter_client ask for it when they are told to encrypt."""
    (folder,) = spec_folders("ml", [PYTHON], Launch("/bin/jrc-kernel", encrypts=True), {})
    metadata = spec(folder)["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["supported_encryption"] == ["curve"]


def test_every_kernel_of_the_server_gets_one_with_its_logos() -> None:
    python, r = spec_folders("ml", [PYTHON, R], LAUNCH, {})
    assert set(python.files) == {"kernel.json"}
    assert r.files["logo-64x64.png"] == b"\x89PNG"
    assert spec(r)["language"] == "R"
    assert r.display_name == "R · ml (jrc)"


def test_display_names_are_unique() -> None:
    """VS Code hides the second of two with the same display name and program."""
    other = ServerKernelspec("py-gpu", "Python 3", "python")
    names = [each.display_name for each in spec_folders("ml", [PYTHON, other, R], LAUNCH, {})]
    assert names == [
        "Python 3 [python3] · ml (jrc)",
        "Python 3 [py-gpu] · ml (jrc)",
        "R · ml (jrc)",
    ]


def test_profiles_whose_folders_would_collide_get_their_own() -> None:
    first = spec_folders("a-b", [ServerKernelspec("c", "C", "c")], LAUNCH, {})
    there = {folder.name: folder.files["kernel.json"] for folder in first}
    second = spec_folders("a", [ServerKernelspec("b-c", "C", "c")], LAUNCH, there)
    assert [folder.name for folder in (*first, *second)] == ["jrc-a-b-c", "jrc-a-b-c-2"]
    upper = spec_folders("A-B", [ServerKernelspec("c", "C", "c")], LAUNCH, there)
    assert upper[0].name == "jrc-a-b-c-2"


def test_a_kernel_keeps_its_folder() -> None:
    """A notebook remembers the name of its kernelspec."""
    stranger = {"jrc-ml-python3": b"{}"}
    (first,) = spec_folders("ml", [PYTHON], LAUNCH, stranger)
    assert first.name == "jrc-ml-python3-2"
    (again,) = spec_folders("ml", [PYTHON], LAUNCH, {first.name: first.files["kernel.json"]})
    assert again.name == first.name


def test_what_somebody_added_to_a_spec_stays() -> None:
    (first,) = spec_folders("ml", [PYTHON], LAUNCH, {})
    edited = spec(first)
    edited["env"] = {"JRC_PROFILE": "ml", "JRC_KERNEL": "python3", "OMP_NUM_THREADS": "2"}
    edited["display_name"] = "mine"
    edited["extra"] = 1
    there = {first.name: json.dumps(edited).encode()}
    (again,) = spec_folders("ml", [PYTHON], LAUNCH, there)
    assert spec(again)["env"] == {
        "JRC_PROFILE": "ml",
        "JRC_KERNEL": "python3",
        "OMP_NUM_THREADS": "2",
        "JRC_HOME": "/srv/jrc",
    }
    assert spec(again)["extra"] == 1
    assert spec(again)["display_name"] == "Python 3 · ml (jrc)"


def test_a_renamed_profile_keeps_its_folders() -> None:
    """The rest is as if the profile had always been called so."""
    others = spec_folders("other", [PYTHON], LAUNCH, {})
    before = spec_folders("ml", [PYTHON, R], LAUNCH, {})
    texts: dict[str, bytes | None] = {
        each.name: each.files["kernel.json"] for each in (*others, *before)
    }
    after = renamed_folders("ml", "gpu", texts)
    assert [each.name for each in after] == [each.name for each in before]
    assert [each.display_name for each in after] == ["Python 3 · gpu (jrc)", "R · gpu (jrc)"]
    assert [each.owner for each in after] == [Owner("gpu", "python3"), Owner("gpu", "ir")]
    for folder in after:
        assert owner_of(folder.files["kernel.json"]) == folder.owner
        assert spec(folder)["display_name"] == folder.display_name
    again = spec_folders(
        "gpu",
        [PYTHON, R],
        LAUNCH,
        dict(texts) | {each.name: each.files["kernel.json"] for each in after},
    )
    assert [each.files["kernel.json"] for each in again] == [
        each.files["kernel.json"] for each in after
    ]


@pytest.mark.parametrize(
    "name", ["../../logo-64x64.png", "logo-../x.png", "kernel.json", "logo-64x64.exe", "logo-.png"]
)
def test_a_server_writes_no_files_but_logos(name: str) -> None:
    kernel = ServerKernelspec("k", "K", "k", logos={name: b"x"})
    (folder,) = spec_folders("ml", [kernel], LAUNCH, {})
    assert set(folder.files) == {"kernel.json"}
    assert json.loads(folder.files["kernel.json"])["name"] == "jrc-ml-k"


def test_a_kernels_odd_name_makes_a_plain_folder() -> None:
    (folder,) = spec_folders("ml", [ServerKernelspec("Ir / ../x", "R", "R")], LAUNCH, {})
    assert folder.name == "jrc-ml-ir-..-x"
    assert folder.owner == Owner("ml", "Ir / ../x")


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"metadata": []}',
        b'{"metadata": {"jrc": 1}}',
        b'{"metadata": {"jrc": {"profile": "x"}}}',
    ],
)
def test_other_peoples_specs_have_no_owner(text: bytes | None) -> None:
    assert owner_of(text) is None


def test_the_owner_of_a_spec_is_read_from_it() -> None:
    (folder,) = spec_folders("ml", [PYTHON], LAUNCH, {})
    assert owner_of(folder.files["kernel.json"]) == Owner("ml", "python3")


@pytest.mark.parametrize(
    ("name", "plain"),
    [("Python 3 (ipykernel)", "Python 3"), ("R", "R"), ("(ipykernel)", "(ipykernel)")],
)
def test_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_jupyter_finds_them(tmp_path: Path) -> None:
    """The oracle: jupyter_client's own reader of kernelspecs."""
    from jupyter_client.kernelspec import KernelSpecManager

    for folder in spec_folders("ml", [PYTHON, R], LAUNCH, {}):
        (tmp_path / folder.name).mkdir()
        for name, content in folder.files.items():
            (tmp_path / folder.name / name).write_bytes(content)
    manager = KernelSpecManager(kernel_dirs=[str(tmp_path)], ensure_native_kernel=False)
    found = manager.get_all_specs()
    assert set(found) == {"jrc-ml-python3", "jrc-ml-ir"}
    assert found["jrc-ml-python3"]["spec"]["interrupt_mode"] == "message"
    assert manager.get_kernel_spec("jrc-ml-ir").resource_dir == str(tmp_path / "jrc-ml-ir")


def test_a_kernelspec_that_is_nested_without_end_is_nobodys() -> None:
    assert owner_of(b"[" * 100_000) is None
