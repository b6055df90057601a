"""Text that is not ours, as a terminal may show it: what steers one is shown, not sent.

Names of kernels, paths of sessions, versions, users and what a server says in an error are chosen
by others. ``visible`` is for such text inside a line of ours; what remote code prints goes through
``cli.remote_text``.
"""

import re
import sys

MOST_SHOWN = 8_000
"""Characters of one line; nobody reads more, and a server could send gigabytes of them."""

_STEERS = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
"""Control characters, and those that are not seen or change the order of the text around them."""

STEERING = re.compile(f"[{_STEERS}]")


def visible(text: str, most: int = MOST_SHOWN) -> str:
    """The text as one line in which everything can be seen.

    Args:
        text: it may hold anything.
        most: characters of it that are shown; ``…`` stands for the rest.
    """
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    return text if text.isascii() and text.isprintable() else STEERING.sub(escaped, text)


def escaped(found: re.Match[str]) -> str:
    """A character as a string of Python spells it: ``\\x1b``."""
    return found[0].encode("unicode_escape").decode()


def visible_lines(text: str) -> str:
    """A text of several lines, each as ``visible`` has it."""
    return "\n".join(visible(line) for line in text.split("\n"))


def log_to_stderr(form: str, *, verbose: int = 0) -> None:
    """Log to stderr, where each message is one line, whatever is in it.

    Args:
        form: as ``logging`` has it.
        verbose: 0 for warnings, 1 for what happens, 2 for everything.
    """
    import logging
    from copy import copy

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            record = copy(record)
            record.msg, record.args = visible(record.getMessage()), None
            return visible_lines(super().format(record))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(form))
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, handlers=[handler])
