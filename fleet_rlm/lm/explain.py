"""Why a model call failed, in one sentence a user can act on.

dspy's errors are kept as the cause; the sentence never quotes a key. What the provider itself said is repeated only
where it helps, cut to a line and cleaned of secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fleet_rlm.core.errors import ModelError, QuotaExhausted
from fleet_rlm.core.redaction import Redactor
from fleet_rlm.lm.catalog import close_models
from fleet_rlm.lm.providers import KEYS

_LONGEST = 240


def explain(error: Exception, name: str, secrets: Iterable[str] = ()) -> ModelError:
    """The error to raise for a failed call of the model `name`; `error` is its cause.

    Args:
        secrets: keys the client was given, besides those in the environment.
    """
    known = next((cause for cause in _causes(error) if isinstance(cause, ModelError)), None)
    if known is not None:
        return known
    explained = ModelError(Redactor(secrets).text(_sentence(error, name)))
    explained.__cause__ = error
    return explained


def spent(error: Exception) -> QuotaExhausted:
    """The error to raise for a call that the server's gateway refused for a quota or a budget, in its words."""
    said = _said(error).removesuffix(f" ({getattr(error, 'provider_code', None)})")
    return QuotaExhausted(said)


def _sentence(error: Exception, name: str) -> str:
    import dspy  # a second to import; whoever has such an error has paid for it

    status = getattr(error, "status", None)
    if isinstance(error, dspy.LMNotConfiguredError):
        return f"{name} needs a key: set {_keys(error, name)} in the environment, or use another model"
    if isinstance(error, dspy.LMAuthError):
        if status == 403:
            return f"{name}: your key is not allowed to use it (403); choose another model or ask for access"
        return f"{name}: the key was refused ({status or 401}); check {_keys(error, name)}, or the api_key you gave"
    if isinstance(error, dspy.LMBillingError):
        return f"{name}: the account has no credit left; add credit with the provider or choose another model"
    if isinstance(error, dspy.LMRateLimitError):
        pause = getattr(error, "retry_after", None)
        when = f"in {pause:g} s" if pause else "in a minute"
        return f"{name} takes no more calls for now (429); try again {when}, or choose another model"
    if isinstance(error, dspy.ContextWindowExceededError):
        return f"the prompt is too long for {name}; choose a model with a larger context window, or ask about less data"
    if isinstance(error, dspy.LMUnsupportedModelError) or status == 404:
        return _unknown(error, name)
    if any("Timeout" in type(cause).__name__ for cause in _causes(error)):
        return f"{name} did not answer in time; try again, or choose a faster model"
    if isinstance(error, (dspy.LMTransportError, ConnectionError)):
        return f"{name} cannot be reached ({_said(error)}); check the network, and that its server is running"
    if isinstance(error, dspy.LMServerError):
        return f"{name}: the provider failed ({status or 'no status'}); try again in a minute or choose another model"
    if isinstance(error, dspy.LMInvalidRequestError):
        return f"{name}: the provider rejected the request ({_said(error)})"
    if isinstance(error, (dspy.LMConfigurationError, dspy.LMUnsupportedFeatureError, ImportError)):
        return f"{name} cannot be used as it is set up ({_said(error)})"
    if isinstance(error, dspy.LMProviderError):
        return f"{name}: what came back is not a model's reply ({_said(error)}); check the address it is called at"
    return f"{name}: the call failed ({type(error).__name__}: {_said(error)})"


def _keys(error: Exception, name: str) -> str:
    keys = getattr(error, "env_keys", ()) or KEYS.get(name.partition("/")[0], ())
    return " or ".join(keys) or "the provider's key"


def _unknown(error: Exception, name: str) -> str:
    import dspy

    if not isinstance(error, dspy.LMUnsupportedModelError):
        return f"{name}: nothing is served there (404: {_said(error)}); check the address, which usually ends in /v1"
    close = [match for match in close_models(name) if match != name]
    hint = f"did you mean {' or '.join(close)}?" if close else "check its name"
    return f"{name} does not exist, or your key may not use it; {hint}"


def _said(error: Exception) -> str:
    """The provider's own words: the first line, which leaves out dspy's advice to programmers."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    line = text.strip().partition("\n")[0].rstrip(". ")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
