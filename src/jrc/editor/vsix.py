"""Builds the companion extension as a VSIX, a zip archive that VS Code can install."""

import io
import json
import re
import zipfile
from importlib.resources import files
from xml.sax.saxutils import escape, quoteattr  # writes XML, parses none # nosec B406

from jrc.shapes import map_at, parse

FILES = ("package.json", "extension.js", "README.md", "LICENSE.txt", "icon.png")

_EPOCH = (1980, 1, 1, 0, 0, 0)
_CONTENT_TYPES = """\
<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">\
<Default Extension=".json" ContentType="application/json"/>\
<Default Extension=".js" ContentType="application/javascript"/>\
<Default Extension=".md" ContentType="text/markdown"/>\
<Default Extension=".txt" ContentType="text/plain"/>\
<Default Extension=".png" ContentType="image/png"/>\
<Default Extension=".vsixmanifest" ContentType="text/xml"/>\
</Types>
"""


def build_vsix(version: str) -> bytes:
    """The archive.

    Args:
        version: of jrc, which is the extension's version too.

    Returns:
        its content; the same bytes for the same version on every machine: nothing is compressed,
        since compressors differ, and the times are fixed.
    """
    folder = files("jrc.editor") / "companion"
    contents = {name: (folder / name).read_bytes() for name in FILES}
    package = dict(map_at(parse(contents["package.json"])))
    package["version"] = marketplace_version(version)
    contents["package.json"] = (json.dumps(package, indent=2, ensure_ascii=False) + "\n").encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as vsix:
        _add(vsix, "extension.vsixmanifest", _manifest(package).encode())
        _add(vsix, "[Content_Types].xml", _CONTENT_TYPES.encode())
        for name, content in contents.items():
            _add(vsix, f"extension/{name}", content)
    return archive.getvalue()


def marketplace_version(version: str) -> str:
    """``1.2.3`` for ``1.2.3.dev4+local``: VS Code takes three numbers and nothing else."""
    found = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", version, re.ASCII)
    return ".".join(str(int(part or 0)) for part in (found.groups() if found else ("0",) * 3))


def _add(vsix: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # The system of the machine would be recorded otherwise.
    entry.external_attr = 0o100644 << 16
    vsix.writestr(entry, content)


def _manifest(package: dict[str, object]) -> str:
    def text(key: str) -> str:
        return str(package[key])

    engines = package["engines"]
    assert isinstance(engines, dict)
    kinds = package["extensionKind"]
    assert isinstance(kinds, list)
    properties = {
        "Microsoft.VisualStudio.Code.Engine": str(engines["vscode"]),
        "Microsoft.VisualStudio.Code.ExtensionDependencies": "",
        "Microsoft.VisualStudio.Code.ExtensionPack": "",
        "Microsoft.VisualStudio.Code.ExtensionKind": ",".join(str(kind) for kind in kinds),
        "Microsoft.VisualStudio.Code.LocalizedLanguages": "",
    }
    listed = "".join(
        f"<Property Id={quoteattr(name)} Value={quoteattr(value)}/>"
        for name, value in properties.items()
    )
    assets = {
        "Microsoft.VisualStudio.Code.Manifest": "package.json",
        "Microsoft.VisualStudio.Services.Content.Details": "README.md",
        "Microsoft.VisualStudio.Services.Content.License": "LICENSE.txt",
        "Microsoft.VisualStudio.Services.Icons.Default": "icon.png",
    }
    named = "".join(
        f'<Asset Type={quoteattr(kind)} Path={quoteattr("extension/" + name)} Addressable="true"/>'
        for kind, name in assets.items()
    )
    identity = (
        f'<Identity Language="en-US" Id={quoteattr(text("name"))} '
        f"Version={quoteattr(text('version'))} Publisher={quoteattr(text('publisher'))}/>"
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<PackageManifest Version="2.0.0" '
        'xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011" '
        'xmlns:d="http://schemas.microsoft.com/developer/vsx-schema-design/2011">'
        f"<Metadata>{identity}"
        f"<DisplayName>{escape(text('displayName'))}</DisplayName>"
        f'<Description xml:space="preserve">{escape(text("description"))}</Description>'
        "<Categories>Notebooks</Categories><GalleryFlags>Public</GalleryFlags>"
        f"<Properties>{listed}</Properties>"
        "<License>extension/LICENSE.txt</License><Icon>extension/icon.png</Icon></Metadata>"
        '<Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation>'
        f"<Dependencies/><Assets>{named}</Assets></PackageManifest>\n"
    )
