"""Server URLs as people paste them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jrc.errors import UsageError
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress

URLISH = st.from_regex(r"(https?://)?[^/?#]{0,20}(:\d{1,6})?(/[^?#]{0,30})?(\?token=\w*)?(#.*)?")


@pytest.mark.parametrize(
    ("text", "base_url", "token"),
    [
        ("http://localhost:8888/lab?token=abc", "http://localhost:8888/", "abc"),
        ("http://localhost:8888/?token=abc", "http://localhost:8888/", "abc"),
        ("http://localhost:8888/lab/tree/a%20b/c.ipynb", "http://localhost:8888/", None),
        ("http://h/notebooks/c.ipynb?token=a&x=1#id", "http://h/", "a"),
        ("https://h.org/team/tree", "https://h.org/team/", None),
        ("https://h.org/login?next=%2Flab", "https://h.org/", None),
        ("https://h.org/user/ann/lab?token=abc", "https://h.org/user/ann/", "abc"),
        ("https://h.org/user/lab/lab/tree/x", "https://h.org/user/lab/", None),
        ("https://h.org/jupyter/hub/home", "https://h.org/jupyter/", None),
        ("https://h.org", "https://h.org/", None),
        ("https://H.org:443", "https://h.org/", None),
        ("http://h.org:80/x/", "http://h.org/x/", None),
        ("https://h.org:80/", "https://h.org:80/", None),
        ("http://h/data/lab/", "http://h/data/lab/", None),
        ("http://h/a//b/./../c", "http://h/a/c/", None),
        ("http://h/%7Eann/a%2Fb", "http://h/~ann/a%2Fb/", None),
        ("http://h/user/a%2bb/lab", "http://h/user/a%2Bb/", None),
        ("http://h/user/a+b@c/lab", "http://h/user/a+b@c/", None),
        ("http://h/a%2E%2E/%2E%2E/%%41/%%341", "http://h/%25A/%2541/", None),
        ("https://münchen.de/", "https://xn--mnchen-3ya.de/", None),
        ("http://[::1]:8888/lab", "http://[::1]:8888/", None),
        ("  http://h/\n", "http://h/", None),
        ("http://h/?token=", "http://h/", None),
        ("localhost:8888/lab", "http://localhost:8888/", None),
        ("127.0.0.1:8888", "http://127.0.0.1:8888/", None),
        ("[::1]:8888", "http://[::1]:8888/", None),
        ("jupyter.example.org/x?token=t", "https://jupyter.example.org/x/", "t"),
    ],
)
def test_parse(text: str, base_url: str, token: str | None) -> None:
    address, secret = ServerAddress.parse(text)
    assert address.base_url == base_url
    assert secret == (Secret(token) if token else None)


@pytest.mark.parametrize(
    "text",
    [
        *["", "  ", "http://", "http:///x", "ftp://h/", "file:///etc/passwd", "http://h:0/"],
        *[
            "http://h:99999/",
            "http://h:x/",
            "http://a b/",
            "http://[::1/",
            "http://..",
            "http://h\\x",
        ],
        *[
            "http://" + "a" * 64,
            "http://" + "é" * 70,
            "http://h/a\tb",
            "http://%41/",
            "http://a_,b/",
        ],
    ],
)
def test_what_is_no_server_url_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        ServerAddress.parse(text)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as raised:
        ServerAddress.parse("https://ann:sesame@h.org/?token=t0ps3cret")
    shown = f"{raised.value} {raised.value.hint}"
    assert "sesame" not in shown
    assert "t0ps3cret" not in shown


@given(st.text() | URLISH)
@example("http://h/?token=%")
@example("http://\u2100/")
@example("//h/")
@example("http://h/%ff%fe/\u00e9")
def test_a_parsed_url_is_a_fixed_point_and_ascii(text: str) -> None:
    """Whatever comes in, either UsageError or an address that parses to itself."""
    try:
        address, _ = ServerAddress.parse(text)
    except UsageError:
        return
    assert ServerAddress.parse(address.base_url) == (address, None)
    assert address.base_url.isascii()
    assert address.base_url.endswith("/")
    assert address.base_url.startswith(("http://", "https://"))


@given(st.text())
def test_rest_quotes_every_segment_whole(segment: str) -> None:
    """No segment can leave its place: no slash, question mark or fragment of its own."""
    address = ServerAddress("http://h/p/")
    url = address.rest("api", segment)
    assert url.startswith("http://h/p/api/")
    assert not set("/?#") & set(url.removeprefix("http://h/p/api/"))


def test_websocket() -> None:
    address = ServerAddress("https://http.org/p/")
    assert address.websocket("k/1", "abc") == (
        "wss://http.org/p/api/kernels/k%2F1/channels?session_id=abc"
    )
    assert ServerAddress("http://h/").websocket("k", "a").startswith("ws://h/api/")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8888/", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]:1/", True),
        ("http://a.localhost/", True),
        ("http://localhost.example.org/", False),
        ("http://10.0.0.1/", False),
        ("http://127.0.0.1.example.org/", False),
    ],
)
def test_is_loopback(url: str, expected: bool) -> None:
    assert ServerAddress(url).is_loopback is expected
