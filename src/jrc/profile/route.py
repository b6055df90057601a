"""The way to a server inside a Kubernetes cluster, as a profile saves it."""

from dataclasses import dataclass, fields

IDLE_MINUTES = 30
"""After so long without a connection a tunnel that nobody asked to hold ends itself."""


@dataclass(frozen=True)
class Route:
    """Where ``kubectl port-forward`` leads for a profile.

    Attributes:
        context: kubectl's context; always a name, never "the current one".
        namespace: where the target lives.
        target: ``svc/NAME``, ``deploy/NAME``, ``sts/NAME``, ``pod/NAME`` or a label selector.
        port: the Service's port for ``svc/``, else the container's.
        kubeconfig: what ``KUBECONFIG`` was at login; empty for kubectl's default files.
        idle_minutes: when an unused tunnel ends itself; 0 means never.
    """

    context: str
    namespace: str
    target: str
    port: int
    kubeconfig: str = ""
    idle_minutes: int = IDLE_MINUTES

    def to_table(self) -> dict[str, str | int]:
        """What config.toml holds; what equals its default is left out."""
        table: dict[str, str | int] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                table[field.name] = value
        return table
