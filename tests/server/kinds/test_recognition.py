"""What each kind of server is recognised by, from answers alone."""

import pytest

from jrc.errors import UnreachableError
from jrc.server.address import ServerAddress
from jrc.server.http import Answer
from jrc.server.kinds import every_kind, kind_named
from jrc.server.kinds.hub_answers import HubPlace, hub_from
from jrc.server.kinds.recognition import Ask, Detected, Probed
from tests.support.answers import HTML, JSON, answer_to

FROM_HUB = {"x_jupyterhub_version": "6.1.1"}
FORM = '<input name="password">'


def recognised(url: str, answers: dict[str, Answer]) -> list[Detected | tuple[str, ...]]:
    """What the kinds say to these answers by path: what they found, or what they want to know."""
    address = ServerAddress(url)
    probed = Probed(address, {url + path: answer for path, answer in answers.items()})
    said = [kind.recognise(probed) for kind in every_kind()]
    return [each.urls if isinstance(each, Ask) else each for each in said if each is not None]


def test_a_jupyter_server_asks_its_way_to_what_it_wants() -> None:
    url, version = "http://h/p/", answer_to("http://h/p/", 200, '{"version": "2.14"}')
    answers = {"api": version}
    assert recognised(url, answers) == [(f"{url}api/status",)] * 2
    answers["api/status"] = answer_to(url, 200, "{}")
    assert recognised(url, answers) == [
        Detected("server", "Jupyter Server 2.14", "none", url, "2.14")
    ]
    answers["api/status"] = answer_to(url, 403)
    assert recognised(url, answers) == [(f"{url}login",)]
    for page, auth in [
        (FORM, "password"),
        (FORM + "Token authentication is enabled", "token"),
        ("", "token"),
    ]:
        answers["login"] = answer_to(url, 200, page, HTML)
        assert recognised(url, answers) == [
            Detected("server", "Jupyter Server 2.14", auth, url, "2.14")
        ]


@pytest.mark.parametrize(("page", "auth"), [(FORM, "password"), ("<a>SSO</a>", "token")])
def test_a_user_s_server_at_a_hub(page: str, auth: str) -> None:
    url = "https://hub.org/user/ann/gpu/"
    api = answer_to(url, 302, "", HTML, location="/hub/user/ann/api", **FROM_HUB)
    hub = kind_named("hub")
    probed = Probed(ServerAddress(url), {f"{url}api": api})
    wanted = ("https://hub.org/hub/api", "https://hub.org/hub/login")
    assert hub.recognise(probed) == Ask(wanted)
    answers = {
        wanted[0]: answer_to("https://hub.org/hub/", 200, '{"version": "6.1.1"}'),
        wanted[1]: answer_to("https://hub.org/hub/", 200, page, HTML),
    }
    found = hub.recognise(probed._replace(answers={**probed.answers, **answers}))
    assert found == Detected(
        "hub", "JupyterHub 6.1.1", auth, "https://hub.org/", "6.1.1", "ann", "gpu"
    )


@pytest.mark.parametrize(
    ("url", "reply", "place"),
    [
        (
            "https://hub.org/",
            (302, "", HTML, {**FROM_HUB, "location": "/hub/api"}),
            HubPlace("https://hub.org/"),
        ),
        (
            "https://hub.org/p/hub/",
            (200, '{"version": "6.1.1"}', JSON, FROM_HUB),
            HubPlace("https://hub.org/p/"),
        ),
        (
            "https://hub.org/p/",
            (302, "", HTML, {"location": "/p/hub/api"}),
            HubPlace("https://hub.org/p/"),
        ),
        (
            "https://hub.org/",
            (302, "", HTML, {**FROM_HUB, "location": "/p/hub/"}),
            HubPlace("https://hub.org/p/"),
        ),
        (
            "https://hub.org/p/user/ann/",
            (302, "", HTML, {**FROM_HUB, "location": "/p/hub/user/ann/api"}),
            HubPlace("https://hub.org/p/", "ann"),
        ),
        (
            "https://hub.org/user/ann%40x.org/gpu/",
            (200, '{"version": "2.21.1"}', JSON, FROM_HUB),
            HubPlace("https://hub.org/", "ann@x.org", "gpu"),
        ),
        ("https://h/", (200, '{"version": "2.21.1"}', JSON, {}), None),
        ("https://h/", (302, "", HTML, {"location": "https://sso.org/hub/api"}), None),
    ],
)
def test_where_a_hub_is(
    url: str, reply: tuple[int, str, str, dict[str, str]], place: HubPlace | None
) -> None:
    """The hub itself, or somebody's server there, which runs or does not."""
    status, body, content_type, headers = reply
    api = answer_to(url, status, body, content_type, **headers)
    assert hub_from(api, ServerAddress(url)) == place


def test_a_status_that_fails() -> None:
    url = "http://h/"
    answers = {
        "api": answer_to(url, 200, '{"version": "2.14"}'),
        "api/status": answer_to(url, 500, '{"message": "disk full"}'),
    }
    with pytest.raises(UnreachableError, match="disk full"):
        recognised(url, answers)
