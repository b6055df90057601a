"""Files on a server: the little of its contents interface that jrc needs.

Source: jupyter_server ``services/contents/handlers.py``.
"""

import base64
import binascii
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jrc.errors import JrcError, NotFoundError, ProtocolError, UnreachableError
from jrc.server.models import answer_of, list_of
from jrc.shapes import Reader

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.server.contents")

READ_SECONDS = 300.0
"""For a large file: the server encodes all of it before it sends the first byte."""


@dataclass(frozen=True)
class Entry:
    """A file in a folder.

    Attributes:
        name: without the folder.
        path: below the server's root, with ``/``.
        size: bytes; 0 when the server does not say.
        modified: POSIX time in seconds, of the server's clock; 0 when it does not say.
    """

    name: str
    path: str
    size: int
    modified: float


async def list_folder(server: "ServerClient", path: str) -> list[Entry]:
    """The files in a folder; none when there is no such folder.

    Raises:
        AuthError, UnreachableError, ProtocolError: see ``ServerClient``.
    """
    try:
        answer = await server.request(
            "GET", "api", "contents", *path.split("/"), params={"content": "1"}
        )
    except NotFoundError:
        return []
    except UnreachableError as error:
        # A folder that is deleted while the server lists it is a 500.
        if error.__cause__ is None and await find_file(server, path) is None:
            return []
        raise
    body = answer_of(f"GET api/contents/{path}", answer)
    return list_of(_entry, body.field("content"))


async def find_file(server: "ServerClient", path: str) -> Entry | None:
    """A file by its path below the server's root; None when there is none."""
    try:
        answer = await server.request(
            "GET", "api", "contents", *path.split("/"), params={"content": "0"}
        )
    except NotFoundError:
        return None
    return _entry(answer_of(f"GET api/contents/{path}", answer))


async def read_file(server: "ServerClient", path: str) -> bytes:
    """The bytes of a file.

    Raises:
        NotFoundError: there is no such file.
    """
    endpoint = f"GET api/contents/{path}"
    answer = await server.request(
        "GET",
        "api",
        "contents",
        *path.split("/"),
        params={"type": "file", "format": "base64", "content": "1"},
        seconds=READ_SECONDS,
        document=True,
    )
    try:
        return base64.b64decode(answer_of(endpoint, answer).field("content").text())
    except binascii.Error as error:
        raise ProtocolError(f"{endpoint} answered what is not base64.") from error


async def write_text(server: "ServerClient", path: str, text: str) -> None:
    """Make a file of text, or replace it.

    Raises:
        JrcError: the server does not write it.
    """
    await server.request(
        "PUT",
        "api",
        "contents",
        *path.split("/"),
        json={"type": "file", "format": "text", "content": text},
    )


async def rename_file(server: "ServerClient", path: str, new: str) -> None:
    """Give a file another path, in one step.

    Raises:
        JrcError: there is no such file, or there is one at the new path.
    """
    await server.request("PATCH", "api", "contents", *path.split("/"), json={"path": new})


async def delete_file(server: "ServerClient", path: str) -> None:
    """Delete a file or an empty folder. It is fine when it is gone already."""
    try:
        await server.request("DELETE", "api", "contents", *path.split("/"))
    except NotFoundError:
        return


async def wipe_file(server: "ServerClient", path: str) -> None:
    """Delete a file after emptying it: many servers keep deleted files in a trash."""
    try:
        await write_text(server, path, "")
    except JrcError as error:
        log.info("%s is not emptied before it is deleted: %s", path, error)
    await delete_file(server, path)


def _entry(body: Reader) -> Entry:
    modified = body.field("last_modified").time()
    return Entry(
        name=body.field("name").text(default=""),
        path=body.field("path").text(default=""),
        size=body.field("size").number(default=0),
        modified=0.0 if modified is None else modified.timestamp(),
    )
