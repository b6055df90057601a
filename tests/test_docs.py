"""What the documentation draws from the code is as the code is now."""

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
