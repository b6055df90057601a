"""Profiles that tests save."""

from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.profile.store import ProfileStore
from tests.support.kube import Kube


def save_lab(kube: Kube, *, context: str = "stub", target: str = "svc/jupyter") -> None:
    """Save the profile ``lab``, which leads into the stand-in cluster."""
    route = Route(context, "default", target, 80, str(kube.kubeconfig))
    profile = Profile("lab", "http://127.0.0.1:20999/", kubernetes=route)
    ProfileStore(Paths.from_environment()).save(profile, make_default=True)
