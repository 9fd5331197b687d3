"""What a kernel of ours sees of the server's environment: everything but secrets and what leads to them.

Whoever asks a question there may run code in that kernel, so nothing in it may open more than that person has: no key
of a provider, no database, no token of this server or of a Hub. A model is reached through the gateway instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fleet_rlm.core.redaction import SECRET_NAME
from fleet_rlm.lm.providers import KEYS

_FOREIGN = re.compile(
    r"JUPYTERHUB_.*|JPY_API_TOKEN|JUPYTER_TOKEN|CONFIGPROXY_.*|ENTRA_.*|AUTH_MODE|APP_ENV|ALLOW_DEBUG_AUTH|PUBLIC_URL"
    r"|PG(HOST|HOSTADDR|PORT|USER|DATABASE|SERVICE|SERVICEFILE|PASSFILE)|AWS_.*|AZURE_.*|GOOGLE_APPLICATION_.*"
    r"|OPENAI_.*|DSPY_.*|FLEET_LM|FLEET_SUB_LM|FLEET_HOME|DATABASE_.*|SSH_AUTH_SOCK|GPG_AGENT_INFO"
)
_KEYS = frozenset(name for names in KEYS.values() for name in names)
_WITH_PASSWORD = re.compile(r"://[^\s/@]*:[^\s/@]+@")


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environ` that a kernel may have."""
    return {
        name: value
        for name, value in environ.items()
        if name not in _KEYS
        and not SECRET_NAME.search(name)
        and not _FOREIGN.fullmatch(name)
        and not _WITH_PASSWORD.search(value)
    }
