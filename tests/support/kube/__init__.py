"""A stand-in Kubernetes cluster that the real kubectl forwards through.

``Kube`` runs the API server in a thread of its own, so that blocking and asynchronous tests can use
it alike; ``kube.do(…)`` runs a function on it inside that thread.
"""

from tests.support.kube.kube import Kube

__all__ = ["Kube"]
