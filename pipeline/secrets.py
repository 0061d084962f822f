"""Secrets in settings: where one is recognised, what to use instead, and how one is taken out of a text.

Settings are written to manifests, logs, reports and Prefect's database, so none may hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

_ALWAYS = r"passwords?|passwd|pwd|passphrase|secrets?|credentials?|signature|sig|authorization|apikey|accesskey|authkey"
_PAIRS = (
    r"(?:api|access|account|auth|private|shared|sas|session|security|bearer|client|refresh|hf|hub|storage|tracker)"
    r"_(?:key|token)|connection_string|key_pair_id"
)
_SECRET_NAME = re.compile(rf"(?:^|_)(?:{_ALWAYS}|{_PAIRS})(?:_|$)|^(?:key|token|auth)$")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_USER = re.compile(
    r"(?<=://)(?:[^\s@/:?#\"']*:(?!\d+[/\"'])[^\s@\"']+|(?<=http://)[^\s@/?#\"']+|(?<=https://)[^\s@/?#\"']+)@"
)
"""``user:password@`` after a protocol, and ``token@`` of HTTP; ``abfs://container@account`` has no password."""
_QUERY = re.compile(r"(?<=[?&;#])([\w.%-]+)=([^\s&;#\"'\\]+)")
_OPTION = re.compile(r"([A-Za-z][\w.-]*)[\"']?\s*[=:]\s*([^\s,}]+)")
_TOKEN = re.compile(
    r"\b(?:hf_\w{30,}|gh[opsur]_\w{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16})\b"
)
"""Tokens that are known by how they begin: Hugging Face, GitHub, GitLab, AWS."""
_WORDS = (
    r"(?:[Ss]ig(?:nature)?|[Tt]oken|[Kk]ey|[Kk]ey_?[Ii]d|[Cc]redentials?|[Pp]assword|[Ss]ecret|[Pp]assphrase|[Pp]wd)"
)
SECRET_WORDS = rf"://[^\s@/:?#]*:(?!\d+/)[^\s@]+@|https?://[^\s@/?#]+@|{_WORDS}[\"']?\s*[=: ]"
"""As a JSON schema's pattern: a form's setting that a secret may be in. It finds somewhat more than ``find_secret``."""
HIDDEN = "***"

_FOR_PROTOCOL = {
    ("s3", "s3a"): "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ("gs", "gcs"): "GOOGLE_APPLICATION_CREDENTIALS",
    ("abfs", "abfss", "az", "adl"): "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    ("hf",): "HF_TOKEN",
}


def is_secret_name(name: str) -> bool:
    """Whether a setting, option or parameter of this name holds a secret: ``password``, ``X-Amz-Signature``."""
    words = _CAPITAL.sub("_", unquote(name)).lower()
    return bool(_SECRET_NAME.search(re.sub(r"[^a-z0-9]+", "_", words).strip("_")))


def redact(text: str) -> str:
    """The text without the user and password of its addresses, secrets of their queries, and well-known tokens."""
    if "://" in text:
        text = _USER.sub(f"{HIDDEN}@", text)
        text = _QUERY.sub(lambda m: f"{m[1]}={HIDDEN}" if is_secret_name(m[1]) else m[0], text)
    return _TOKEN.sub(HIDDEN, text)


def redact_option(word: str) -> str:
    """A word of a command, ``--name=value``, without the value where the name is that of a secret."""
    name, equals, _ = word.partition("=")
    return f"{name}={HIDDEN}" if equals and is_secret_name(name.rpartition(".")[2]) else redact(word)


def find_secret(values: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """(parts of the setting's name, what to use instead) for each value of a configuration that holds a secret."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield from find_secret(value, (*names, str(name)))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from find_secret(value, names)
    elif _has_secret(values, names[-1] if names else ""):
        yield names, instead_of(names, str(values))


def _has_secret(value: Any, name: str) -> bool:
    if value is None or isinstance(value, bool) or value == "":
        return False
    if is_secret_name(name):
        return True
    if not isinstance(value, str):
        return False
    if re.match(r"-|[\w.]+=", value):  # an option, as run.beam.options has them
        option = value.lstrip("-").partition("=")[0]
        if is_secret_name(option) or any(is_secret_name(found[1]) for found in _OPTION.finditer(value)):
            return True
    return redact(value) != value


def instead_of(names: tuple[str, ...], value: str) -> str:
    """The environment variables that the setting's secret belongs in."""
    for protocols, variables in _FOR_PROTOCOL.items():
        if any(f"{protocol}://" in value for protocol in protocols):
            return variables
    if "://" in value:
        protocol = re.sub(r"\W", "", value.partition("://")[0].rpartition(":")[2]).upper()
        if protocol in {"HTTP", "HTTPS"} and names[:2] == ("corpus", "fetch"):
            return "NETRC, the path of a netrc file with machine, login and password"
        return f"FSSPEC_{protocol}, a JSON object of fsspec's options for {protocol.lower()}://"
    if names[:2] == ("run", "beam"):
        return "the variables that the runner reads, as GOOGLE_APPLICATION_CREDENTIALS or AWS_SECRET_ACCESS_KEY"
    if "track" in ".".join(names):
        return "WANDB_API_KEY, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    leaf = re.sub(r"\W+", "_", names[-1] if names else "secret").upper()
    return f"a variable that the code which needs it reads, as {leaf}"
