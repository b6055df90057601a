"""HTTP through a tunnel: no connection carries a request before the keeper has proved itself."""

import asyncio
from collections.abc import Iterable
from functools import partial

import httpcore
import httpx

from jrc.tunnel.entrance import Entrance, NoKeeperError


class TunnelTransport(httpx.AsyncHTTPTransport):
    """Connections to the keeper of a tunnel, whatever host and port a URL names.

    Args:
        entrance: of the tunnel.
    """

    def __init__(self, entrance: Entrance) -> None:
        super().__init__(verify=False, trust_env=False)
        if not isinstance(self._pool, httpcore.AsyncConnectionPool):
            # httpx keeps its connections elsewhere: never go on without the proof.
            raise TypeError("this version of httpx is not known to jrc")
        # As many connections as httpx makes elsewhere.
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_Proven(entrance),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except NoKeeperError as error:
            # httpcore takes the cause away, by which it is known that another try may help.
            raise error from ConnectionRefusedError()


class _Proven(httpcore.AsyncNetworkBackend):
    """Opens connections to the keeper."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._tcp = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  it is the keeper's place
        port: int,  # noqa: ARG002
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        place = self._entrance.find()
        stream = await self._tcp.connect_tcp(*place, timeout)
        try:
            client = partial(stream.get_extra_info, "client_addr")
            await self._entrance.prove(
                place, client, stream.write, stream.read, broken=httpcore.NetworkError
            )
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
