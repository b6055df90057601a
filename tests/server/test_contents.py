"""Folders and files on a server that change while they are asked for."""

import pytest

from jrc.errors import UnreachableError
from jrc.server.address import ServerAddress
from jrc.server.auth import NoAuth
from jrc.server.client import ServerClient
from jrc.server.contents import list_folder
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio

FAILED = Reply(500, b'{"message": "Unhandled error"}', "application/json")
NONE = Reply(404, b'{"message": "No such file or directory"}', "application/json")
FOLDER = Reply(200, b'{"name": "runs", "path": "runs"}', "application/json")


async def listed(*replies: Reply) -> list[str]:
    paths = (f"/api/contents/runs?content={content}" for content in (1, 0))
    with Web(dict(zip(paths, replies, strict=True))) as web:
        address, _ = ServerAddress.parse(web.url)
        async with ServerClient(address, NoAuth()) as server:
            return [entry.name for entry in await list_folder(server, "runs")]


async def test_a_folder_that_is_deleted_while_it_is_listed_is_empty() -> None:
    """jupyter_server looks whether it is there, then lists it."""
    assert await listed(FAILED, NONE) == []


async def test_a_folder_that_can_not_be_listed_is_an_error() -> None:
    with pytest.raises(UnreachableError, match="The server failed at GET"):
        await listed(FAILED, FOLDER)
