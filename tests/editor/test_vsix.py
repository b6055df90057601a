"""The archive that VS Code installs."""

import io
import json
import re
import zipfile
from importlib.resources import files
from xml.etree import ElementTree

import pytest

from jrc.editor.editors import EXTENSION
from jrc.editor.vsix import FILES, build_vsix, marketplace_version

VSX = "{http://schemas.microsoft.com/developer/vsx-schema/2011}"


@pytest.fixture(scope="module")
def vsix() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(build_vsix("1.2.3.dev4")))


def test_it_is_a_whole_archive(vsix: zipfile.ZipFile) -> None:
    assert vsix.testzip() is None
    assert vsix.namelist() == [
        "extension.vsixmanifest",
        "[Content_Types].xml",
        *(f"extension/{name}" for name in FILES),
    ]


def test_the_bytes_are_the_same_each_time() -> None:
    assert build_vsix("1.2.3") == build_vsix("1.2.3")
    assert build_vsix("1.2.3") != build_vsix("1.2.4")


def test_the_manifest_names_what_the_package_is(vsix: zipfile.ZipFile) -> None:
    manifest = ElementTree.fromstring(vsix.read("extension.vsixmanifest"))
    package = json.loads(vsix.read("extension/package.json"))
    identity = manifest.find(f"{VSX}Metadata/{VSX}Identity")
    assert identity is not None
    assert identity.attrib == {
        "Language": "en-US",
        "Id": package["name"],
        "Publisher": package["publisher"],
        "Version": "1.2.3",
    }
    assert f"{package['publisher']}.{package['name']}" == EXTENSION
    assert package["version"] == "1.2.3"
    properties = {
        each.attrib["Id"].rpartition(".")[2]: each.attrib["Value"]
        for each in manifest.iter(f"{VSX}Property")
    }
    assert properties["Engine"] == package["engines"]["vscode"]
    assert properties["ExtensionKind"] == "workspace"


def test_every_asset_is_in_the_archive_and_every_file_has_a_type(vsix: zipfile.ZipFile) -> None:
    manifest = ElementTree.fromstring(vsix.read("extension.vsixmanifest"))
    assets = [each.attrib["Path"] for each in manifest.iter(f"{VSX}Asset")]
    assert "extension/package.json" in assets
    assert set(assets) <= set(vsix.namelist())
    types = ElementTree.fromstring(vsix.read("[Content_Types].xml"))
    known = {each.attrib["Extension"] for each in types}
    used = {"." + name.rpartition(".")[2] for name in vsix.namelist() if "]" not in name}
    assert used <= known


def test_every_file_of_the_extension_is_packed() -> None:
    there = {path.name for path in (files("jrc.editor") / "companion").iterdir()}
    assert there == set(FILES)


def test_the_package_says_what_the_code_does() -> None:
    """Commands and settings are declared in one file and used in the other."""
    folder = files("jrc.editor") / "companion"
    package = json.loads((folder / "package.json").read_text("utf-8"))
    code = (folder / "extension.js").read_text("utf-8")
    commands = {each["command"] for each in package["contributes"]["commands"]}
    assert set(re.findall(r"registerCommand\('([\w.]+)'", code)) == commands
    settings = {
        name.removeprefix("jrc.") for name in package["contributes"]["configuration"]["properties"]
    }
    assert set(re.findall(r"(?:\.get|ofThePerson)\('(\w+)'", code)) == settings


@pytest.mark.parametrize(
    ("version", "plain"),
    [
        ("1.2.3", "1.2.3"),
        ("0.1.0.dev3+g12ab", "0.1.0"),
        ("2.0rc1", "2.0.0"),
        ("2026.06", "2026.6.0"),
        ("x", "0.0.0"),
    ],
)
def test_versions_are_three_numbers(version: str, plain: str) -> None:
    assert marketplace_version(version) == plain
