"""A port-forward that stays up: pick a pod, supervise kubectl, keep one stable local port."""

TUNNEL_DOWN = "jrc's tunnel is down"
"""The ``reason`` in the body of a 503 that the tunnel itself answers, and not the server."""

Address = tuple[str, int]
"""Host and port of one end of a connection."""
