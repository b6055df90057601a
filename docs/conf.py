"""How Sphinx builds the documentation: ``nox -s docs``."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "jrc"
author = "the jrc contributors"
project_copyright = f"2026, {author}"
release = version = installed_version("jrc-cli")

extensions = ["myst_parser", "jrc_reference"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

smartquotes = False

html_theme = "furo"
html_title = f"jrc {release}"
