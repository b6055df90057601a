"""The websocket of a kernel through links that break, against a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from jrc.errors import AuthError, NotFoundError, UnreachableError
from jrc.kernel.channels import ChannelEvent, Channels, FrameDamaged, LinkLost, LinkRestored
from jrc.kernel.messages import Messages
from jrc.kernel.timing import LinkTiming
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import PasswordAuth, TokenAuth
from jrc.server.client import ServerClient
from jrc.wire.message import Message
from jrc.wire.websocket import encode_legacy
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.proxy import Proxy
from tests.support.running import client_of
from tests.support.scripted import stream

pytestmark = pytest.mark.anyio

NO_KERNEL = "0b9fa7e4-1d5f-4c7e-9d5f-1d5f4c7e9d5f"
DEADLINE = 60


@asynccontextmanager
async def kernel(client: ServerClient) -> AsyncIterator[str]:
    model = await client.start_kernel("python3")
    try:
        yield model.id
    finally:
        await client.delete_kernel(model.id)


@asynccontextmanager
async def opened(
    client: ServerClient, kernel_id: str, requests: Messages, **options: Any
) -> AsyncIterator[Channels]:
    channels = Channels(client, kernel_id, session_id=requests.session, **options)
    await channels.open()
    try:
        yield channels
    finally:
        await channels.close()


async def until_reply(events: AsyncIterator[ChannelEvent], request: Message) -> list[ChannelEvent]:
    """Every event up to the reply to ``request``."""
    seen: list[ChannelEvent] = []
    async with asyncio.timeout(DEADLINE):
        async for event in events:
            seen.append(event)
            if (
                isinstance(event, Message)
                and event.channel == "shell"
                and event.parent_id == request.msg_id
            ):
                return seen
    raise AssertionError("the events ended")


async def answered(channels: Channels, requests: Messages) -> list[ChannelEvent]:
    request = requests.kernel_info()
    await channels.send(request)
    return await until_reply(channels.events(), request)


async def until(events: AsyncIterator[ChannelEvent], kind: type[Any]) -> Any:
    """The next event of a kind."""
    async with asyncio.timeout(DEADLINE):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("the events ended")


@pytest.mark.parametrize(("framing", "name"), [(None, "v1"), ("", "legacy")])
async def test_both_framings_of_a_server(
    start_jupyter: StartJupyter, framing: str | None, name: str
) -> None:
    settings = {"ZMQChannelsWebsocketConnection": {"kernel_ws_protocol": framing}}
    server = start_jupyter(settings=settings)
    requests = Messages()
    async with (
        client_of(server) as client,
        kernel(client) as kernel_id,
        opened(client, kernel_id, requests) as channels,
    ):
        assert channels._link is not None
        assert channels._link.protocol == name
        *_, reply = await answered(channels, requests)
        assert isinstance(reply, Message)
        assert reply.content_fields["language_info"]["name"] == "python"


async def test_a_cut_link_comes_back_under_the_same_session(jupyter: JupyterServer) -> None:
    requests = Messages()
    with Proxy(jupyter.url) as proxy:
        async with (
            client_of(jupyter, url=proxy.url) as client,
            kernel(client) as kernel_id,
            opened(client, kernel_id, requests) as channels,
        ):
            await answered(channels, requests)
            events = channels.events()
            proxy.cut()
            assert not (await until(events, LinkLost)).half_open
            assert (await until(events, LinkRestored)).seconds < DEADLINE
            await answered(channels, requests)


async def test_what_is_sent_while_the_link_is_down_goes_out_when_it_is_back(
    jupyter: JupyterServer,
) -> None:
    requests = Messages()
    with Proxy(jupyter.url) as proxy:
        async with (
            client_of(jupyter, url=proxy.url) as client,
            kernel(client) as kernel_id,
            opened(client, kernel_id, requests) as channels,
        ):
            events = channels.events()
            proxy.cut(refuse=True)
            await until(events, LinkLost)
            request = requests.kernel_info()
            await channels.send(request)
            assert not channels.up
            proxy.restore()
            await until_reply(events, request)


async def test_patience_ends(jupyter: JupyterServer) -> None:
    requests = Messages()
    with Proxy(jupyter.url) as proxy:
        async with (
            client_of(jupyter, url=proxy.url) as client,
            kernel(client) as kernel_id,
        ):
            async with opened(client, kernel_id, requests, patience=0.5) as channels:
                proxy.cut(refuse=True)
                with pytest.raises(UnreachableError, match=r"did not come back within 0 s"):
                    await answered(channels, requests)
            proxy.restore()


async def test_a_silent_line_is_taken_for_dead(jupyter: JupyterServer) -> None:
    timing = LinkTiming(silence=1.0, probe=0.3)
    requests = Messages()
    with Proxy(jupyter.url) as proxy:
        async with (
            client_of(jupyter, url=proxy.url) as client,
            kernel(client) as kernel_id,
            opened(client, kernel_id, requests, timing=timing) as channels,
        ):
            await answered(channels, requests)
            proxy.black_hole(swallow=True)
            events = channels.events()
            lost = await until(events, LinkLost)
            proxy.cut()
            proxy.restore()
            assert lost.half_open
            await until(events, LinkRestored)
            await answered(channels, requests)


async def test_a_quiet_kernel_is_not_a_silent_line(jupyter: JupyterServer) -> None:
    timing = LinkTiming(silence=1.5, probe=0.3)
    requests = Messages()
    async with (
        client_of(jupyter) as client,
        kernel(client) as kernel_id,
        opened(client, kernel_id, requests, timing=timing) as channels,
    ):
        await answered(channels, requests)
        await asyncio.sleep(3)
        assert channels.up
        events = await answered(channels, requests)
    assert all(isinstance(event, Message) for event in events)


async def test_what_is_on_its_way_has_not_arrived(jupyter: JupyterServer) -> None:
    timing = LinkTiming(arrival=0.5)
    requests = Messages()
    with Proxy(jupyter.url) as proxy:
        async with (
            client_of(jupyter, url=proxy.url) as client,
            kernel(client) as kernel_id,
            opened(client, kernel_id, requests, timing=timing) as channels,
        ):
            proxy.black_hole()
            request = requests.kernel_info()
            await channels.send(request)
            assert not await channels.all_arrived()
            proxy.restore()
            await until_reply(channels.events(), request)
            async with asyncio.timeout(DEADLINE):
                while not await channels.all_arrived():
                    continue
            proxy.cut()
            assert not await channels.all_arrived()


async def test_what_can_not_be_opened_is_told_apart(jupyter: JupyterServer) -> None:
    async with client_of(jupyter) as client:
        with pytest.raises(NotFoundError):
            await Channels(client, NO_KERNEL, session_id="1f").open()
    wrong = ServerClient(client.address, TokenAuth(Secret("wrong")))
    async with wrong:
        with pytest.raises(AuthError):
            await Channels(wrong, NO_KERNEL, session_id="1f").open()
    with Proxy(jupyter.url) as proxy:
        proxy.cut(refuse=True)
        async with client_of(jupyter, url=proxy.url) as client:
            with pytest.raises(UnreachableError):
                await Channels(client, NO_KERNEL, session_id="1f").open()


async def test_a_kernel_that_is_gone_when_the_link_is_back(jupyter: JupyterServer) -> None:
    requests = Messages()
    with Proxy(jupyter.url) as proxy:
        async with client_of(jupyter, url=proxy.url) as client:
            model = await client.start_kernel("python3")
            async with opened(client, model.id, requests) as channels:
                await answered(channels, requests)
                jupyter.rest("DELETE", f"api/kernels/{model.id}")
                proxy.cut()
                with pytest.raises(NotFoundError):
                    await answered(channels, requests)


async def test_a_password_login_is_renewed_for_a_reconnect(start_jupyter: StartJupyter) -> None:
    server = start_jupyter(password="open sesame")
    requests = Messages()
    with Proxy(server.url) as proxy:
        address, _ = ServerAddress.parse(proxy.url)
        auth = PasswordAuth(Secret("open sesame"), address)
        async with (
            ServerClient(address, auth) as client,
            kernel(client) as kernel_id,
            opened(client, kernel_id, requests) as channels,
        ):
            await answered(channels, requests)
            spoiled = await client.headers()
            auth._headers = {**spoiled, "Cookie": "username-x=old"}
            events = channels.events()
            proxy.cut()
            await until(events, LinkRestored)
            assert (await client.headers())["Cookie"] != "username-x=old"


class NoServer:
    """A proxy that takes every websocket, and closes it at once."""

    def __init__(self) -> None:
        self.taken = 0

    async def take(self, connection: ServerConnection) -> None:
        self.taken += 1
        await connection.close()


async def test_a_proxy_that_closes_each_websocket_at_once_is_given_up() -> None:
    """Pauses grow, and the patience ends, though every connection can be opened."""
    proxy = NoServer()
    async with serve(proxy.take, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        address, _ = ServerAddress.parse(f"http://127.0.0.1:{port}/")
        async with ServerClient(address, TokenAuth(Secret("x"))) as client:
            channels = Channels(client, NO_KERNEL, session_id="ab", patience=2.0)
            await channels.open()
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(UnreachableError, match="did not come back within 2 s"):
                    _ = [event async for event in channels.events()]
            await channels.close()
    assert proxy.taken < 30


@pytest.mark.attacks
async def test_frames_that_are_no_messages_end_nothing() -> None:
    torn = [b"", b"\x00" * 8, b"\xff" * 40, "text", "{}", '{"channel": 5}', "[" * 100_000]
    good = stream("r", "text")

    async def send(connection: ServerConnection) -> None:
        for frame in [*torn, encode_legacy(good)]:
            await connection.send(frame)
        await connection.wait_closed()

    async with serve(send, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        client = ServerClient(ServerAddress(f"http://127.0.0.1:{port}/"), TokenAuth(Secret("t")))
        async with client, opened(client, NO_KERNEL, Messages()) as channels:
            events = channels.events()
            async with asyncio.timeout(DEADLINE):
                seen = [await anext(events) for _ in range(len(torn) + 1)]
            await events.aclose()  # type: ignore[attr-defined]
    assert [type(event) for event in seen] == [*[FrameDamaged] * len(torn), Message]


@pytest.mark.attacks
async def test_a_message_of_any_size_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor asked for again and again: the sentence says which limit, and how to raise it."""
    monkeypatch.setenv("JRC_MAX_MESSAGE", "1")
    opened_links = 0

    async def send(connection: ServerConnection) -> None:
        nonlocal opened_links
        opened_links += 1
        await connection.send(b"x" * 999_999)
        await connection.send([b"x" * 400_000] * 4)
        await connection.wait_closed()

    async with serve(send, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        client = ServerClient(ServerAddress(f"http://127.0.0.1:{port}/"), TokenAuth(Secret("t")))
        async with client, opened(client, NO_KERNEL, Messages()) as channels:
            events = channels.events()
            async with asyncio.timeout(DEADLINE):
                assert type(await anext(events)) is FrameDamaged
                with pytest.raises(UnreachableError, match="more than 1 MB") as caught:
                    await anext(events)
    assert caught.value.hint is not None
    assert "export JRC_MAX_MESSAGE=4" in caught.value.hint
    assert opened_links == 1
