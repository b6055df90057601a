"""Taking secrets out of what is shown or sent: pure. In doubt, too much is taken out.

Two ways together: values that are known to be secret are replaced wherever they stand, also quoted
for a URL or for JSON; and what looks like a secret is replaced, too.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

MASK = "***"

SHORTEST = 4
"""Characters; a known secret that is shorter is replaced as a whole word only."""

_WORDS = {
    *("authentication", "default", "disabled", "enabled", "environment", "false", "keyring"),
    *("nobody", "none", "password", "plain", "secret", "secrets", "server", "system"),
    *("token", "true", "user"),
}
"""Values of variables such as AUTH_TYPE and of ``auth`` in a profile: they name a kind of secret.
To replace them everywhere would spoil the text."""

_NAMES_A_KIND = re.compile(r"(?:^|[_-])(?:auth|type|method|kind)$", re.IGNORECASE)

_SECRET_NAME = re.compile(
    r"token|passw|passphrase|secret|credential|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|(?:key|certificate|cert)[_-]data|cookie|xsrf|csrf|authorization|signature|webhook"
    r"|connection[_-]?string|(?:^|[_-])(?:auth|key|pwd|dsn|sig|pat|jwt|salt)$",
    re.IGNORECASE,
)

# Every repetition in front of something is bounded: a log may hold a line of any length.
_QUOTE = r"(?:\\{0,8}[\"'])?"
_VALUE = r"(?:\\{0,8}\"(?:[^\"\n])*\"?|\\{0,8}'(?:[^'\n])*'?|[^\s,;&\"'<>]+)"
_KEY = (
    r"(?:token|passw(?:or)?d|passphrase|secret|credentials?|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|(?:key|certificate)[_-]data|cookies?|_xsrf|csrf|signature)[\w.\-]{0,60}"
)

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, replacement, flags in (
        # A private key, also one whose end is cut off.
        (
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
            MASK,
            re.DOTALL,
        ),
        # …or whose beginning is: a line of nothing but base64.
        (r"^[ \t>|]*[A-Za-z0-9+/]{40,}={0,2}[ \t]*$", MASK, re.MULTILINE),
        # Whole headers, as a line, in a dict or as a pair.
        (
            r"((?:proxy-)?authorization|(?:set-)?cookie|x-xsrftoken|x-(?:api|auth)[\w-]*)"
            rf"({_QUOTE}\s*[:=,]\s*b?)(?!\*\*\*$)(?:\\*\"[^\"\n]*\"?|\\*'[^'\n]*'?|[^\s\"'][^\r\n]*)",
            rf"\1\2{MASK}",
            re.IGNORECASE | re.MULTILINE,
        ),
        # User and password in a URL.
        (r"([a-z][a-z0-9+.\-]{0,20}://)[^\s/?#\"'<>]{0,2000}@", rf"\1{MASK}@", re.IGNORECASE),
        (
            r"([a-z][a-z0-9+.\-]{0,20}://)[^\s/:@\"'<>]{1,200}:(?!\d+/)[^\s@\"'<>]{0,2000}@",
            rf"\1{MASK}@",
            re.IGNORECASE,
        ),
        # A query, a variable, a field of JSON, YAML, TOML or a log.
        (
            r"([?&;#](?:code|state|sig|key|auth|session|ticket|jwt|sso)=)[^\s&#\"'<>]+",
            rf"\1{MASK}",
            re.IGNORECASE,
        ),
        (rf"({_KEY}{_QUOTE}\s*[:=]\s*b?){_VALUE}", rf"\1{MASK}", re.IGNORECASE),
        (
            r"(?<![\w\-])(--[\w\-]{0,60}(?:token|password|secret|key)(?:[ \t]+|=))(?!-)\S+",
            rf"\1{MASK}",
            re.IGNORECASE,
        ),
        # What follows the name of a scheme.
        (r"\b(bearer|basic|negotiate)[ \t]+[\w.~+/=\-]{6,}", rf"\1 {MASK}", re.IGNORECASE),
        (
            r"\b(token)[ \t]+(?=[\w.~+/=\-]*\d|[\w.~+/=\-]{16})[\w.~+/=\-]{6,}",
            rf"\1 {MASK}",
            re.IGNORECASE,
        ),
        # Forms that are nothing else: JWT, Tornado's signed cookie, keys of well-known services.
        (r"\beyJ[\w\-]{8,}(?:\.[\w\-]*){0,2}", MASK, 0),
        (r"\b2\|1:\d+\|[^\s\";,]+", MASK, 0),
        (r"\bk8s-aws-v1\.[\w\-=]+", MASK, 0),
        (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", MASK, 0),
        (r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|hf_)[\w\-]{10,}", MASK, 0),
        # A Jupyter token has 48 hex digits; a kernel's id has dashes and stays.
        (r"(?<![0-9A-Za-z])[0-9a-fA-F]{32,}(?![0-9A-Za-z])", MASK, 0),
        (
            r"(?<![\w+\-])(?=[\w+\-]*[a-z])(?=[\w+\-]*[A-Z])(?=[\w+\-]*\d)[\w+\-]{40,}={0,2}",
            MASK,
            0,
        ),
    )
)


class Redactor:
    """Takes secrets out.

    Args:
        secrets: values that are known to be secret.
        home: the person's home folder, which is shortened to ``~``; empty to keep it.
    """

    def __init__(self, secrets: Iterable[str] = (), *, home: str = "") -> None:
        self._secrets = frozenset(secrets)
        self._known = _alternatives(self._secrets)
        self._home = home.rstrip("/\\")

    def learn(self, secrets: Iterable[str]) -> None:
        """From now on these are known to be secret, too."""
        more = self._secrets.union(secrets)
        if more != self._secrets:
            self._secrets, self._known = more, _alternatives(more)

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text.replace(self._home, "~") if len(self._home) > 1 else text

    def value(self, value: object) -> object:
        """A value of JSON without secrets: those in its texts, and all below a key that says so."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._below(str(key), value[key]) for key in value}
        if isinstance(value, list | tuple):
            return [self.value(part) for part in value]
        return value

    def _below(self, key: str, value: object) -> object:
        secret = is_secret_name(key) and not _is_kind(key, value)
        return _masked(value) if secret else self.value(value)


def is_secret_name(name: str) -> bool:
    """Whether the value of a variable, a header or a key of this name is likely a secret."""
    return _SECRET_NAME.search(name) is not None


def secrets_of_environment(environment: Mapping[str, str]) -> list[str]:
    """The values of the variables that look secret, and the user parts of URLs in the others.

    Args:
        environment: of a process.
    """
    found = [
        value
        for name, value in environment.items()
        if name not in ("PWD", "OLDPWD")
        and is_secret_name(name)
        and len(value) >= SHORTEST
        and value.lower() not in _WORDS
    ]
    for value in environment.values():
        for user in re.findall(r"://([^\s/?#@]+)@", value):
            found += [part for part in (user, user.partition(":")[2]) if len(part) >= SHORTEST]
    return found


def secrets_below(value: object, *, secret: bool = False) -> list[str]:
    """Every text in a tree of JSON or YAML that a key above it calls secret.

    Args:
        value: the tree.
        secret: a key above it did so already.
    """
    if isinstance(value, Mapping):
        # {name: DB_PASSWORD, value: …}, as in a list of variables
        named = is_secret_name(str(value.get("name", "")))
        return [
            text
            for key, part in value.items()
            for text in secrets_below(
                part, secret=secret or is_secret_name(str(key)) or (named and key == "value")
            )
            if not _is_kind(str(key), part)
        ]
    if isinstance(value, list | tuple):
        return [text for part in value for text in secrets_below(part, secret=secret)]
    return [value] if secret and isinstance(value, str) and len(value) >= SHORTEST else []


def _is_kind(key: str, value: object) -> bool:
    """Whether a field says which kind of secret there is, as ``auth = "token"`` does."""
    known = isinstance(value, str) and value.lower() in _WORDS
    return known and _NAMES_A_KIND.search(key) is not None


def _masked(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _masked(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(part) for part in value]
    return MASK if isinstance(value, str) and value else value


def _alternatives(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """One pattern for all the forms in which known secrets appear, the longest first."""
    forms = {form for secret in secrets for form in _forms(secret) if form.strip("* \t\r\n")}
    if not forms:
        return None
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(_pattern, longest_first)))


def _pattern(form: str) -> str:
    text = re.escape(form)
    return text if len(form) >= SHORTEST else rf"(?<!\w){text}(?!\w)"


def _forms(secret: str) -> set[str]:
    if not secret:
        return set()
    raw = secret.encode(errors="surrogatepass")
    quoted = quote(raw, safe="")
    forms = {
        secret,
        secret.strip() or secret,
        quoted,
        quote(raw),
        quote_plus(raw),
        re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quoted),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }
    if len(secret) >= SHORTEST:
        # The last character of base64 depends on what follows the secret.
        forms |= {
            encode(raw).decode().rstrip("=")[: len(raw) * 4 // 3]
            for encode in (base64.b64encode, base64.urlsafe_b64encode)
        }
    # A key of several lines may be quoted line by line.
    lines = secret.splitlines()
    forms |= {line for line in lines if len(lines) > 1 and len(line) >= 16}
    return {form for form in forms if form}
