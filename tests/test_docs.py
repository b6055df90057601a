"""What the documentation draws from the code, or names in it, is as the code is now."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_drawing_of_the_house_is_fresh() -> None:
    """``python docs/images/make_house.py`` draws it anew."""
    spec = spec_from_file_location("make_house", DOCS / "images" / "make_house.py")
    assert spec
    assert spec.loader
    make_house = module_from_spec(spec)
    spec.loader.exec_module(make_house)
    assert (DOCS / "images" / "house.svg").read_text("utf-8") == make_house.drawing()


def test_the_tests_that_prove_what_is_said_of_security_exist() -> None:
    table = (DOCS / "security.md").read_text("utf-8").partition("## How it is tested")[2]
    claims = re.findall(r"`(tests/\S+?\.py)`((?:[:,] `test_\w+`)*)", table)
    assert claims
    for path, names in claims:
        source = (DOCS.parent / path).read_text("utf-8")
        for name in re.findall(r"test_\w+", names):
            assert f"def {name}(" in source, (path, name)
