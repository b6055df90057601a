"""A Jupyter Server, as it is installed."""

from typing import TYPE_CHECKING

from jrc.server.kinds.kind import Kind

if TYPE_CHECKING:
    from jrc.server.kinds.recognition import Ask, Detected, Probed


class JupyterServer(Kind):
    """Kernels, sessions and files."""

    name = "server"
    refused_hint = "Where the server runs, `jupyter server list` shows its token."

    def recognise(self, probed: "Probed") -> "Detected | Ask | None":
        from jrc.server.kinds.recognition import Ask, Detected, read_versions, wanted_auth

        versions, address = read_versions(probed.api), probed.address
        if versions is None:
            return None
        status_url, login_url = address.rest("api", "status"), address.rest("login")
        status, login = probed.answers.get(status_url), probed.answers.get(login_url)
        if status is None:
            return Ask((status_url,))
        if status.refused and login is None:
            return Ask((login_url,))
        return Detected(
            kind=self.name,
            title=f"Jupyter Server {versions.server}",
            auth=wanted_auth(status, login, address),
            url=address.base_url,
            version=versions.server,
        )


KIND = JupyterServer()
