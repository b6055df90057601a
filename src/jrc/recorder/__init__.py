"""The recorder: our small code inside a remote ipykernel, and the client's side of it.

``in_kernel`` runs over there; ``install`` brings it there, ``protocol`` speaks with it, ``tracker``
and ``recording`` make one gapless sequence of what arrives, ``journal`` reads what it left on disk.
"""
