"""``jrc logout``: forget the credentials of a profile."""

import os

from jrc.cli.lazy import plain_typer
from jrc.cli.profile import NameOrDefault, warn_of_keyring
from jrc.cli.terminal import Terminal
from jrc.profile.access import header_key
from jrc.profile.paths import Paths
from jrc.profile.secrets import SecretStore
from jrc.profile.store import ProfileStore

app = plain_typer(add_completion=False)


@app.command()
def logout(
    profile: NameOrDefault = None,
) -> None:
    """Forget the token or password of a profile. The profile itself stays.

    \b
    Example:
      jrc logout team
    """
    terminal, paths = Terminal(), Paths.from_environment()
    found = ProfileStore(paths).get(profile)
    secrets = SecretStore(paths)
    places = secrets.delete(found.name)
    for header in found.access.keyring_headers:
        secrets.delete(header_key(found.name, header))
    warn_of_keyring(terminal, secrets)
    what = "password" if found.auth == "password" else "token"
    if places:
        terminal.say(
            f"The {what} of '{found.name}' is removed from the {' and the '.join(places)}."
        )
    else:
        terminal.say(f"No {what} of '{found.name}' was saved.")
    if os.environ.get("JRC_TOKEN"):
        terminal.warn("JRC_TOKEN in the environment is still used. Unset it to end that too.")
    terminal.say(f"The profile stays. To log in again: jrc login --profile {found.name}")
