"""Checks of the way to the server: name, TCP and TLS, one check each."""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from jrc.doctor.check import Context, Finding, doubtful, fine, known, needless
from jrc.errors import UnreachableError
from jrc.server.address import ServerAddress
from jrc.server.connection import tls_context
from jrc.server.http_errors import from_exception
from jrc.tasks import in_daemon_thread

CONNECT_SECONDS = 8.0

SOON_DAYS = 14
"""A certificate that ends earlier causes a warning: to renew it may take time."""


async def dns(context: Context) -> Finding:
    """The host's name is known."""
    address = _address(context)
    host, port, proxy = way_out(address)
    try:
        found = await in_daemon_thread(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), name="doctor"
        )
    except OSError as error:
        raise from_exception(error, f"the name {host}", _place(address, proxy)) from error
    numbers = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    through = "The proxy " if proxy else ""
    if numbers == [host]:
        return fine(f"{through}{host} is an address; no name to look up.", addresses=numbers)
    return fine(f"{through}{host} is {', '.join(numbers)}.", addresses=numbers)


async def tcp(context: Context) -> Finding:
    """Something listens there."""
    address = _address(context)
    host, port, proxy = way_out(address)
    place = _place(address, proxy)
    began = time.monotonic()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError as error:
        raise UnreachableError(
            f"{place.host} does not answer: no connection within {CONNECT_SECONDS:g} s.",
            hint="Check the network or VPN; a firewall may drop the packets.",
        ) from error
    except OSError as error:
        raise from_exception(_one_of(error), f"a connection to {host}", place) from error
    seconds = time.monotonic() - began
    peer = writer.get_extra_info("peername")
    writer.transport.abort()
    what = "The proxy" if proxy else "The port"
    return fine(
        f"{what} {port} of {peer[0]} takes connections.",
        connect_seconds=round(seconds, 4),
        proxy=f"{host}:{port}" if proxy else None,
    )


async def tls(context: Context) -> Finding:
    """The certificate is valid, and stays so for a while."""
    address = _address(context)
    if way_out(address)[2]:
        return needless("A proxy is on the way: the next check includes TLS.")
    parts = urlsplit(address.base_url)
    trust = tls_context(address, context.way)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=trust)
    except TimeoutError as error:
        raise UnreachableError(
            f"{address.host} accepted the connection, but no TLS handshake.",
            hint="Is TLS spoken at this port? Try the URL with http instead of https.",
        ) from error
    except OSError as error:
        raise from_exception(error, "the TLS handshake", address) from error
    protocol = writer.get_extra_info("ssl_object").version()
    certificate: Mapping[str, Any] = writer.get_extra_info("peercert") or {}
    writer.transport.abort()
    return judge_certificate(address.host, protocol, certificate, now=time.time())


def judge_certificate(
    host: str, protocol: str, certificate: Mapping[str, Any], *, now: float
) -> Finding:
    """The finding for a TLS connection.

    Args:
        host: for the sentence.
        protocol: ``TLSv1.3``.
        certificate: as ``SSLSocket.getpeercert`` gives it; empty when it was not verified.
        now: seconds since 1970.
    """
    if not certificate:
        return doubtful(
            f"{protocol}, but the certificate of {host} is not checked.",
            "Anybody between can read your token. Better: log in again without --insecure.",
            protocol=protocol,
        )
    days = int((ssl.cert_time_to_seconds(str(certificate["notAfter"])) - now) // 86400)
    details = {"protocol": protocol, "certificate_days": days}
    if days < SOON_DAYS:
        return doubtful(
            f"The certificate of {host} ends in {days} day{'' if days == 1 else 's'}.",
            "Ask the server's administrator to renew it.",
            **details,
        )
    return fine(f"{protocol}; the certificate is valid for {days} more days.", **details)


def way_out(address: ServerAddress) -> tuple[str, int, bool]:
    """Host and port to connect to first, and whether that is a proxy of the environment."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(address.base_url)
    host = parts.hostname or ""
    if not address.is_loopback and not proxy_bypass(host):
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if proxy:
            there = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            with suppress(ValueError):
                return there.hostname or "", there.port or 80, True
    return host, parts.port or (443 if address.is_tls else 80), False


def _address(context: Context) -> ServerAddress:
    if context.address is None:
        context.address, _ = ServerAddress.parse(known(context.profile).url)
    return context.address


def _place(address: ServerAddress, proxy: bool) -> ServerAddress:
    """What the sentence of an error names: the proxy where there is one."""
    host, port, _ = way_out(address)
    return ServerAddress(f"http://{host}:{port}/") if proxy else address


def _one_of(error: OSError) -> OSError:
    """asyncio packs the failures of several addresses into one."""
    text = str(error)
    refused = "Connect call failed" in text and not isinstance(error, ConnectionRefusedError)
    return ConnectionRefusedError(text) if refused and error.errno is None else error
