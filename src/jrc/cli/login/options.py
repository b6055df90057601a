"""The options of ``jrc login`` for a server inside a Kubernetes cluster."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Wanted:
    """What the options of ``jrc login`` say; empty where they say nothing."""

    context: str | None = None
    namespace: str | None = None
    target: str | None = None
    port: int | None = None
    token_from: str | None = None
    base_url: str | None = None

    def __bool__(self) -> bool:
        """Whether any of them was given."""
        return any(getattr(self, field.name) is not None for field in fields(self))
