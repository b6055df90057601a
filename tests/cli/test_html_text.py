"""HTML as text: what a browser would show, and nothing that stalls or ends a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.cli.html_text import MOST_CHARACTERS, html_as_text, progress_bar

PIECES = st.sampled_from(
    [
        *("<table>", "</table>", "<tr>", "<td>", "<th rowspan=3>", "<td colspan='2'>", "</td>"),
        *("<!--", "-->", "<![CDATA[", "<!DOCTYPE html>", "<?x", "<script>", "</script>", "<style"),
        *("<ul>", "<ol>", "<li>", "</ul>", "<pre>", "</pre>", "<br/>", "<h2>", "</h2>", "<p"),
        *("<a href='", '"', ">", "<", "&amp", "&#99999999999;", "&#x110000;", "<img alt=x>"),
        *("<progress value=1 max=0>", "<progress value=nan>", "<td rowspan=99999>", "\n", "text"),
    ]
)


@given(st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=5))).map("".join)))
def test_any_text_has_a_text(html: str) -> None:
    shown = html_as_text(html)
    assert shown == shown.strip("\n")


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<!--",
            "<table>",
            "<tr><td>",
            "<table><tr><td>",
            "<td colspan=1000>",
            '<a "',
            "<a '\"'>",
        ),
        *("<", "<div", "</td", "&", "<ul><li>", "<pre>", "<script>", "<a b='\">", "<![", "<?"),
        "<tr><td rowspan=10000 colspan=200>x",
    ],
)
def test_much_of_it_takes_no_time(piece: str) -> None:
    html = piece * (MOST_CHARACTERS // 4 // len(piece))
    for fragment in (html, f"<table><tr><td>{html}", f"<{html}>"):
        assert len(html_as_text(fragment)) <= 8 * MOST_CHARACTERS


def test_a_number_of_too_many_digits() -> None:
    number = "&#" + "9" * 5000 + ";"
    assert html_as_text(f"<p>{number}</p>") == number


def test_what_is_too_long_is_cut() -> None:
    assert html_as_text("x" * (MOST_CHARACTERS + 1)) == "x" * MOST_CHARACTERS + "…"


def test_headings_paragraphs_lists_and_links() -> None:
    html = """<h1>Title <em>x</em></h1><p>A paragraph
 with <a href=x>a link</a>.</p><p>Second<br>line</p>
<ul><li>one<li>two<ul><li>in</ul></ul><ol><li>a</li><li>b</li></ol>
<pre>  x
   y</pre><blockquote>q</blockquote>&lt;b&gt; &amp; <img alt="a>b" src=z>"""
    assert html_as_text(html) == (
        "# Title x\n\nA paragraph with a link.\n\nSecond\nline\n\n"
        "- one\n- two\n  - in\n\n1. a\n2. b\n\n  x\n   y\n\n> q\n\n<b> & [a>b]"
    )


def test_tables_with_spans_and_wide_letters() -> None:
    html = (
        "<table><tr><th rowspan=2>a<th colspan=2>bc<th>d<tr><td>1<td>2<td>3"
        "<tr><td>4<td>5<td>한글<td>6</table>after"
    )
    assert html_as_text(html) == "a  bc        d\n    1     2  3\n4   5  한글  6\n\nafter"


def test_broken_and_nested_tables() -> None:
    assert html_as_text("<table><td>x<tr><td>y") == "x\ny"
    assert html_as_text("<table></table>") == ""
    nested = "<table><tr><td>a<table><tr><td>b</td></tr></table></td><td>c</td></tr></table>"
    assert html_as_text(nested) == "a b  c"
    assert html_as_text("<table><tr><td>Model<td>Score<tr><td>a<td>1") == (
        "Model  Score\n    a      1"
    )


def test_progress_as_the_trainer_of_transformers_shows_it() -> None:
    html = "<div><progress value='3' max='10' style='x'></progress> [ 3/10 00:01 &lt; 00:03]</div>"
    assert html_as_text(html) == "30%|██████░░░░░░░░░░░░░░| [ 3/10 00:01 < 00:03]"
    assert progress_bar(1.0) == "100%|████████████████████|"


def test_comments_and_scripts_are_no_text() -> None:
    assert html_as_text("a<!-- b --><script>c</script><style>d</style>e<!-- f") == "ae"
