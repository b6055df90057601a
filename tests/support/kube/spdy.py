"""SPDY/3.1 framing from the server's side, as far as kubectl speaks it.

Source: the SPDY/3.1 draft, sections 2.2 (frames) and 2.6.10 (the name/value block and its zlib
dictionary). kubectl's library ignores flow control, and so does this module.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 0x01

_WORDS = (  # noqa: SIM905  a page of quoted words reads worse
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base content-encoding "
    "content-language content-length content-location content-md5 content-range content-type date "
    "etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
).split()
_MORE_WORDS = ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive"]
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, "
    "Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,"
    "sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _prefixed(word: str) -> bytes:
    return struct.pack(">I", len(word)) + word.encode()


DICTIONARY = b"".join(map(_prefixed, [*_WORDS, *_MORE_WORDS, "origin"])) + _TAIL.encode()
assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@dataclass(frozen=True)
class Data:
    """Payload of one stream."""

    stream: int
    payload: bytes
    last: bool


@dataclass(frozen=True)
class Control:
    """A control frame: the fields that its kind has."""

    kind: int
    number: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class Framer:
    """Bytes in, frames out, for one connection (the header compression has a memory)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Data | Control]:
        """The frames that are complete with ``data``."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= 8:
            word, flags_and_length = struct.unpack_from(">II", self._buffer, start)
            end = start + 8 + (flags_and_length & 0xFFFFFF)
            if len(self._buffer) < end:
                break
            body = bytes(memoryview(self._buffer)[start + 8 : end])
            start = end
            if word & 0x80000000:
                yield self._control(word & 0xFFFF, body)
            else:
                yield Data(word, body, bool(flags_and_length >> 24 & FIN))
        del self._buffer[:start]

    def _control(self, kind: int, body: bytes) -> Control:
        if kind == SYN_STREAM:
            (stream,) = struct.unpack_from(">I", body)
            return Control(kind, stream & 0x7FFFFFFF, self._headers(body[10:]))
        if kind in (RST_STREAM, PING):
            return Control(kind, struct.unpack_from(">I", body)[0])
        return Control(kind)

    def _headers(self, block: bytes) -> dict[str, str]:
        raw = self._inflate.decompress(block)
        (count,) = struct.unpack_from(">I", raw)
        words, at = [], 4
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", raw, at)
            words.append(raw[at + 4 : at + 4 + length].decode())
            at += 4 + length
        return {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}

    def syn_reply(self, stream: int) -> bytes:
        block = self._deflate.compress(struct.pack(">I", 0))
        block += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control_frame(SYN_REPLY, struct.pack(">I", stream) + block)


def _control_frame(kind: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, len(body)) + body


def reset(stream: int, status: int) -> bytes:
    return _control_frame(RST_STREAM, struct.pack(">II", stream, status))


def pong(number: int) -> bytes:
    return _control_frame(PING, struct.pack(">I", number))


def data(stream: int, payload: bytes, *, last: bool = False) -> bytes:
    flags = FIN << 24 if last else 0
    return struct.pack(">II", stream, flags | len(payload)) + payload
