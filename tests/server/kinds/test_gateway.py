"""What differs on gateways, with the answers that no test can make a real one give at will."""

from pathlib import Path

import pytest

from jrc.errors import AuthError, JrcError, UnreachableError, UsageError
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import TokenAuth
from jrc.server.http import Answer
from jrc.server.kinds.gateway import (
    KIND,
    GatewayClient,
    LaunchTiming,
    RememberedKernels,
    error_from,
)
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio

KERNEL = b'{"id": "k1", "name": "python3", "execution_state": "idle", "connections": 0}'
FORBIDDEN = Reply(403, b'{"reason": "Forbidden", "message": "Forbidden"}')


def client(web: Web, said: list[str] | None = None, **env: str) -> GatewayClient:
    memory = RememberedKernels(Paths.from_environment(), web.url)
    talk = said.append if said is not None else None
    auth = TokenAuth(Secret("t"))
    return GatewayClient(
        ServerAddress(web.url),
        auth,
        memory=memory,
        kernel_env=env,
        talk=talk,
        launch_timing=LaunchTiming(tell=0.02),
    )


async def test_an_environment_and_a_memory() -> None:
    replies = {
        "/api": Reply(200, b'{"version": "3.2.3", "gateway_version": "3.2.3"}'),
        "/api/kernels": [Reply(201, KERNEL), FORBIDDEN],
        "/api/kernels/k1": [Reply(200, KERNEL), Reply(200, KERNEL), Reply(404, b"{}")],
    }
    with Web(replies) as web:  # type: ignore[arg-type]
        async with client(web, KERNEL_USERNAME="ada", KERNEL_X="y") as gateway:
            session = await gateway.create_session("jrc/a.ipynb", "a.ipynb", "notebook", "python3")
            assert (session.id, session.path) == ("k1", "jrc/a.ipynb")
            assert [kernel.id for kernel in await gateway.kernels()] == ["k1"]
            assert not gateway.lists_kernels
            assert [session.path for session in await gateway.sessions()] == ["jrc/a.ipynb"]
            # It ended, and is forgotten for good.
            assert await gateway.kernels() == []
            assert await gateway.sessions() == []
    assert b'"KERNEL_USERNAME": "ada"' in web.requests[0].body.replace(b'":"', b'": "')
    assert b"KERNEL_X" in web.requests[0].body


async def test_a_long_launch_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the answer comes, again and again."""
    said: list[str] = []

    async def slowly(self: GatewayClient, *_: object, **__: object) -> Answer:
        import asyncio

        async with asyncio.timeout(30):
            while len(said) < 2:
                await asyncio.sleep(0.01)
        return Answer("POST x", 201, {}, body=KERNEL)

    monkeypatch.setattr(GatewayClient, "_start", slowly)
    with Web({}) as web:
        async with client(web, said) as gateway:
            assert (await gateway.start_kernel("python3")).id == "k1"
    assert said[0].startswith("The gateway is still launching the kernel (")


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (
            403,
            '{"reason": "Forbidden", "message": "Resource Limit"}',
            UnreachableError,
            "its limit",
        ),
        (
            500,
            '{"message": "HTTP 403: User \'root\' is not authorized to start kernel"}',
            AuthError,
            "does not let this user start the kernel (User 'root'",
        ),
        (403, '{"reason": "Forbidden", "message": ""}', UnreachableError, "does not allow"),
        (401, '{"reason": "Unauthorized", "message": ""}', AuthError, "refused the credentials"),
    ],
)
def test_refusals(status: int, body: str, kind: type[JrcError], words: str) -> None:
    """Only a 401 is about the token."""
    answer = Answer("POST http://gw/api/kernels", status, {}, body=body.encode())
    error = error_from(answer, ServerAddress("http://gw/"))
    assert isinstance(error, kind)
    assert words in error.message
    assert error.hint or status == 403


def test_variables_that_a_gateway_refuses() -> None:
    KIND.check_kernel_env({"KERNEL_X": "y" * 4096}, "team")
    with pytest.raises(UsageError, match="can't be the name"):
        KIND.check_kernel_env({"KERNEL-X": "y"}, "team")
    with pytest.raises(UsageError, match="longer than the 4096"):
        KIND.check_kernel_env({"KERNEL_X": "y" * 4097}, "team")


def test_a_memory_that_was_spoiled_is_empty(tmp_path: Path) -> None:
    paths = Paths.from_environment()
    memory = RememberedKernels(paths, "http://gw/")
    memory.add("k1", "a")
    memory.add("k2", "b")
    other = RememberedKernels(paths, "http://other/")
    other.add("k3", "c")
    memory.forget("k1", "unknown")
    assert (memory.all(), other.all()) == ({"k2": "b"}, {"k3": "c"})
    (paths.state / "gateway-kernels.json").write_text("{")
    assert memory.all() == {}
