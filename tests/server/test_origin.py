"""Which URLs credentials may be sent to: never one that any parser reads as another host."""

from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import ProtocolError
from jrc.server.origin import check_origin, on_same_origin, origin_of, path_of, same_origin
from tests.support.fuzzing import examples

BASE = "https://hub.example/p/"
View = tuple[str, str, int | None]


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.example/p/",
        "https://hub.example",
        "HTTPS://HUB.Example:443/other?x=//evil.example",
        "https://hub.example:/p/",
        "wss://hub.example/p/api/kernels/1/channels?session_id=0",
    ],
)
def test_the_same_origin(url: str) -> None:
    assert same_origin(url, BASE)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/p/",
        "//hub.example/p/",
        "////hub.example/p/",
        "http://hub.example/p/",
        "https://hub.example:8443/p/",
        "https://hub.example./p/",
        "https://hub.example.evil.example/p/",
        "https://evil.example/hub.example/",
        "https://hub.example@evil.example/",
        "https://hub.example:x@evil.example/",
        "https://me@hub.example/",
        "https://evil.example\\@hub.example/",
        "https://hub.example\\.evil.example/",
        "https:\\\\hub.example/",
        "https:/hub.example/",
        "https:hub.example/",
        "https:///hub.example/",
        "https://hub.example?@evil.example/",
        "https://hub.example#@evil.example/",
        "https://hub.example:443:80/",
        "https://hub.example:99999/",
        "https://hub.example:0/",
        "https://hub.example:４43/",
        "https://hub。example/",
        "https://ｈub.example/",
        "https://hub%2eexample/",
        "https://hub.example\t.evil.example/",
        "\nhttps://hub.example/",
        " https://hub.example/",
        "javascript:alert(1)",
        "file://hub.example/etc",
    ],
)
def test_another_origin_or_none(url: str) -> None:
    assert not same_origin(url, BASE)
    with pytest.raises(ProtocolError, match="did not send"):
        check_origin(url, BASE)


def test_ipv6_has_one_form() -> None:
    assert same_origin("http://[0:0:0::0:1]:80/x", "http://[::1]/")
    assert not same_origin("http://[::2]/", "http://[::1]/")
    assert origin_of("http://[::g]/") is None
    assert origin_of("http://[fe80::1%eth0]/") is None


@pytest.mark.parametrize(
    ("url", "parent", "below"),
    [
        ("https://ann.hub.example/", "https://hub.example/", True),
        ("http://ann.hub.example/", "https://hub.example/", False),
        ("https://ann.hub.example:8443/", "https://hub.example/", False),
        ("https://evilhub.example/", "https://hub.example/", False),
        ("https://hub.example/", "https://hub.example/", False),
        ("http://6.127.0.0.1/", "http://127.0.0.1/", False),
    ],
)
def test_subdomains(url: str, parent: str, below: bool) -> None:
    origin, other = origin_of(url), origin_of(parent)
    assert origin is not None
    assert other is not None
    assert origin.is_below(other) is below


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("/user/ann/", "https://hub.example/user/ann/"),
        ("/user//ann/?next=x", "https://hub.example/user/ann/"),
        ("https://hub.example//evil.example/x", "https://hub.example/evil.example/x"),
        ("//evil.example/", None),
        ("////evil.example/", None),
        ("/\\evil.example/", None),
        ("\\\\evil.example/", None),
        ("https://evil.example/", None),
        ("user/ann/", None),
        ("/user/ann\r\nHost: evil", None),
    ],
)
def test_what_a_server_names(given_url: str, url: str | None) -> None:
    assert on_same_origin(given_url, BASE) == url


_HOSTS = ["hub.example", "evil.example", "[::1]", "x", "p", "443", "80", "https:", "http:"]
_MARKS = ["/", "//", "\\", "@", ":", "?", "#", ".", ";", "&", "=", "%2f", "%40"]
_ODD = ["\t", "\n", " ", "。", "／", "＠", "\x00"]
_PIECES = st.sampled_from([*_HOSTS, *_MARKS, *_ODD])
urls = st.one_of(
    st.lists(_PIECES, max_size=10).map("".join),
    st.lists(_PIECES, max_size=8).map(lambda some: "https://hub.example" + "".join(some)),
    st.text(max_size=20).map(lambda text: f"https://hub.example{text}"),
)


def _views(url: str) -> set[View]:
    """How several parsers read a URL; those that refuse it say nothing."""
    found: set[View] = set()
    # What a browser makes of it first (WHATWG, "basic URL parser").
    as_browser = url.strip().replace("\\", "/")
    for text in (url, as_browser, "".join(as_browser.split())):
        for parse in (_of_urlsplit, _of_httpx, _of_urllib3):
            view = parse(text)
            if view is not None:
                found.add(view)
    return found


def _of_urlsplit(url: str) -> View | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _port(parts.scheme)
    except ValueError:
        return None


def _of_httpx(url: str) -> View | None:
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return None
    return parts.scheme, parts.host, parts.port or _port(parts.scheme)


def _of_urllib3(url: str) -> View | None:
    try:
        parts = urllib3.util.parse_url(url)
    except (urllib3.exceptions.LocationParseError, ValueError):
        return None
    return parts.scheme or "", parts.host or "", parts.port or _port(parts.scheme or "")


def _port(scheme: str) -> int | None:
    return {"http": 80, "https": 443}.get(scheme)


HUB_VIEW = {("https", "hub.example", 443)}


@pytest.mark.attacks
@given(urls)
@examples(500)
def test_every_parser_agrees_on_what_is_the_same_origin(url: str) -> None:
    if same_origin(url, BASE):
        assert _views(url) == HUB_VIEW


@pytest.mark.attacks
@given(urls)
@examples(500)
def test_every_parser_agrees_on_what_a_server_names(url: str) -> None:
    found = on_same_origin(url, BASE)
    if found is not None:
        assert _views(found) == HUB_VIEW
        assert _views(urljoin(BASE, path_of(found))) == HUB_VIEW
