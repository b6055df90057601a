"""One server with kernels: how it is reached, asked, recognised and opened.

``open`` leads from a profile to a ``client``, which speaks REST over ``authorized`` (credentials)
and ``http`` (requests). ``detect`` tells what stands at a URL, and ``kinds`` what differs between a
Jupyter Server, a hub and a gateway. The room knows no kernel: its websocket is ``kernel``'s.
"""
