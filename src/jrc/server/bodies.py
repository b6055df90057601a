"""The bodies of answers, within limits: bytes are counted unpacked, as they come."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from jrc.errors import ProtocolError
from jrc.profile.limits import MAX_DOCUMENT, MB, raised

if TYPE_CHECKING:
    import httpx

PIECE = 1 << 18
"""Bytes that are unpacked at a time: a kilobyte may unpack to a megabyte."""

ENCODINGS = "gzip"
"""What jrc asks for, and unpacks within limits."""


async def read_body(
    response: "httpx.Response", asked: str, most: int, *, document: bool = False
) -> bytes:
    """The whole body of an answer.

    Args:
        response: whose body nobody has read.
        asked: ``GET https://host/api``, for sentences.
        most: bytes.
        document: the answer holds a file.

    Raises:
        ProtocolError: it is larger, or packed in a way that jrc did not ask for.
        httpx.HTTPError: it breaks off.
    """
    declared = response.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > most:
        raise _too_large(asked, most, document=document)
    body = bytearray()
    async with aclosing(unpacked(response, asked)) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > most:
                raise _too_large(asked, most, document=document)
    return bytes(body)


async def lines_of(response: "httpx.Response", asked: str, most: int) -> AsyncGenerator[str, None]:
    """The lines of an answer, as they come.

    Args:
        response: whose body nobody has read.
        asked: for sentences.
        most: bytes of a line.

    Raises:
        ProtocolError: a line is larger, or the answer is packed in a way that jrc did not ask for.
        httpx.HTTPError: it breaks off.
    """
    rest = b""
    async with aclosing(unpacked(response, asked)) as pieces:
        async for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            if any(len(line) > most for line in (*lines, rest)):
                raise ProtocolError(f"{asked} answered a line of more than {most:,} bytes.")
            for line in lines:
                yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")


async def unpacked(response: "httpx.Response", asked: str) -> AsyncGenerator[bytes, None]:
    """The bytes of an answer, unpacked piece by piece: never much more than a piece at a time."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        async for raw in response.aiter_raw():
            yield raw
        return
    if encoding not in ("gzip", "x-gzip"):
        raise ProtocolError(f"{asked} answered in an encoding that jrc did not ask for.")
    async for piece in _inflated(response.aiter_raw(), asked):
        yield piece


async def _inflated(packed: AsyncIterator[bytes], asked: str) -> AsyncGenerator[bytes, None]:
    import zlib

    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    empty = True
    try:
        async for raw in packed:
            empty = empty and not raw
            while raw and not unpacking.eof:
                yield unpacking.decompress(raw, PIECE)
                raw = unpacking.unconsumed_tail
        yield unpacking.flush()
    except zlib.error as error:
        raise ProtocolError(f"{asked} answered what can't be unpacked.") from error
    # The answer to a HEAD, or a 304, names an encoding and has no body.
    if not (unpacking.eof or empty):
        raise ProtocolError(f"{asked} answered a part of what was packed.")


def _too_large(asked: str, most: int, *, document: bool) -> ProtocolError:
    what = "a file" if document else "this"
    return ProtocolError(
        f"{asked} answered more than {most / MB:g} MB, the limit for {what}.",
        hint=raised(MAX_DOCUMENT, most) if document else None,
    )
