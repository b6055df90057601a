"""Rich outputs as text."""

from jrc.cli.rendering import as_text, image_type, strip_ansi

TABLE = """<style>td {}</style><table><thead><tr><th></th><th>name</th><th>size</th></tr></thead>
<tbody><tr><th>0</th><td>a &amp; b</td><td>10</td></tr><tr><th>1</th><td>c</td><td>2</td></tr>
</tbody></table>"""


def test_plain_text_is_preferred() -> None:
    data = {"text/plain": "   name\n0  a", "text/html": TABLE}
    assert as_text(data) == "   name\n0  a"


def test_a_placeholder_gives_way_to_the_html_table() -> None:
    data = {"text/plain": "<IPython.core.display.HTML object>", "text/html": TABLE}
    assert as_text(data) == "    name  size\n0  a & b    10\n1      c     2"


def test_a_placeholder_gives_way_to_markdown_and_latex() -> None:
    placeholder = "<IPython.core.display.Markdown object>"
    assert as_text({"text/plain": placeholder, "text/markdown": "# Title\n"}) == "# Title"
    assert as_text({"text/plain": placeholder, "text/latex": "$x$"}) == "$x$"


def test_html_is_shown_as_text() -> None:
    data = {"text/plain": "<IPython.core.display.HTML object>", "text/html": "<b>hi</b>"}
    assert as_text(data) == "hi"


def test_html_that_a_browser_runs_shows_nothing() -> None:
    html = "<style>b {}</style><script>let x = '<b>'</script><div id=x></div>"
    assert as_text({"text/plain": "<IPython.core.display.HTML object>", "text/html": html}) == ""
    assert as_text({"text/plain": "<folium.Map>", "text/html": html}) == "<folium.Map>"


def test_json_and_nothing() -> None:
    assert as_text({"application/json": {"a": 1}}) == '{\n  "a": 1\n}'
    assert as_text({"image/png": "…"}) == ""


def test_text_that_a_notebook_holds_as_lines() -> None:
    assert as_text({"text/plain": ["a\n", "b"]}) == "a\nb"


def test_images_are_found() -> None:
    assert image_type({"text/plain": "<Figure>", "image/png": "…"}) == "image/png"
    assert image_type({"text/plain": "1"}) is None


def test_colours_are_stripped() -> None:
    assert strip_ansi("\x1b[1;31mred\x1b[0m \x1b[2Kx") == "red x"
