"""What a kind of server is: how it is recognised, which credentials it takes, how it is opened."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jrc.errors import UsageError
from jrc.server.address import ServerAddress

if TYPE_CHECKING:
    from jrc.profile.model import Profile
    from jrc.profile.secret import Secret
    from jrc.server.auth import Auth
    from jrc.server.authorized import Relogin
    from jrc.server.client import ServerClient
    from jrc.server.connection import Talk, Way
    from jrc.server.kinds.recognition import Ask, Detected, Identity, Probed


class Kind(ABC):
    """A kind of server. What a subclass does not say is as with a Jupyter Server.

    Attributes:
        name: in profiles and in ``--json``.
        api: the path below a profile's URL that answers without credentials.
        refused_hint: what to do about a token that is refused at a login.
        makes_tokens: it makes the token itself, on a page or for a user name and a password, and
            starts the server that it is for.
    """

    name: str
    api: tuple[str, ...] = ("api",)
    refused_hint: str = ""
    makes_tokens: bool = False

    @abstractmethod
    def recognise(self, probed: "Probed") -> "Detected | Ask | None":
        """Tell from answers whether this kind of server gave them. No input or output.

        Returns:
            what was found; None where it is another kind; or what to ask first.

        Raises:
            JrcError: it is of this kind, and jrc can't use it.
        """

    def check_kernel_env(self, env: Mapping[str, str], profile: str) -> None:  # noqa: ARG002
        """Check the variables that kernels are to be started with. Called where there are some.

        Args:
            env: the variables.
            profile: the name of the profile, for the sentence.

        Raises:
            UsageError: this kind of server can't start kernels with them.
        """
        raise UsageError(
            f"--kernel-env is for gateways; '{profile}' is a Jupyter Server, which starts "
            "every kernel with its own environment.",
            hint="Set variables in the code: import os; os.environ[…] = …",
        )

    async def find_server(
        self,
        profile: "Profile",  # noqa: ARG002
        address: ServerAddress,
        auth: "Auth",  # noqa: ARG002
        way: "Way",  # noqa: ARG002
        talk: "Talk",  # noqa: ARG002
        *,
        start: bool = True,  # noqa: ARG002
    ) -> ServerAddress:
        """The server that has the kernels.

        Args:
            profile: whose server it is, which, and what it is started with.
            address: of the profile, as it is reached from here.
            auth, way: how to ask there.
            talk: called with what takes its time.
            start: start the server if it is down.

        Raises:
            UnreachableError: it is down, and is not to be started.
        """
        return address

    def client(
        self,
        profile: "Profile",  # noqa: ARG002
        address: ServerAddress,
        auth: "Auth",
        way: "Way",
        *,
        relogin: "Relogin | None" = None,
        kernel_env: Mapping[str, str] | None = None,  # noqa: ARG002
        talk: "Talk | None" = None,  # noqa: ARG002
    ) -> "ServerClient":
        """A client for the server that has the kernels.

        Args:
            profile: who uses it.
            address, auth, way, relogin: see ``ServerClient``.
            kernel_env: checked variables for kernels.
            talk: called with what takes its time.
        """
        from jrc.server.client import ServerClient

        return ServerClient(address, auth, way, relogin=relogin)

    async def identify(
        self, profile: "Profile", address: ServerAddress, auth: "Auth", way: "Way"
    ) -> "Identity":
        """Check the credentials, and ask whose they are. Nothing is started for it.

        Raises:
            AuthError: the server does not accept them.
        """
        from jrc.server.kinds.recognition import Identity

        async with self.client(profile, address, auth, way) as client:
            await client.verify()
            return Identity(await client.user())

    def token_page(self, address: ServerAddress) -> str:
        """The page on which a person makes a token. Only where the kind makes tokens."""
        raise NotImplementedError

    async def make_token(
        self, address: ServerAddress, way: "Way", user: str, password: "Secret", note: str
    ) -> "Secret":
        """A token for a user name and a password. Only where the kind makes tokens.

        Args:
            address, way: where, and how to get there.
            user, password: who wants it.
            note: what the token is for, for the list of a person's tokens.

        Raises:
            AuthError: they are not accepted.
        """
        raise NotImplementedError
