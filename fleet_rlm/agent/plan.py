"""What a run would do and send first, without doing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec import to_builtins

from fleet_rlm.agent.conversation import Earlier
from fleet_rlm.agent.request import Request
from fleet_rlm.agent.workspace import Workspace
from fleet_rlm.core.events import Limits
from fleet_rlm.core.redaction import REDACTED, Redactor, encodable
from fleet_rlm.lm.windows import window
from fleet_rlm.rlm.describe import prompt_text

_DOES = {
    "direct": "ask the model once: the data fits one prompt",
    "agent": "let the agent decide; it may delegate to a recursive language model",
    "rlm_only": "let one recursive language model write code over the data",
    "tools_only": "let the agent run code over the data, without recursion",
}


@dataclass(frozen=True)
class Plan:
    """A checked request, told in words; with a workspace, as a turn of the session called `session`."""

    request: Request
    workspace: Workspace | None = None
    session: str | None = None

    def text(self) -> str:
        """The plan as plain text: model, way of working, limits, and all that would be told of the data."""
        asked = self.request
        stand_in = " (a rule-based stand-in, not a language model)" if asked.lm.offline else ""
        limits: Limits = asked.budget.limits()
        told = {"calls": limits.calls, "tokens": limits.tokens, "usd": limits.usd, "seconds": limits.seconds}
        budget = ", ".join(f"{value:g} {name}" for name, value in told.items() if value is not None) or "no limit"
        lines = [
            f"Question: {asked.task}",
            f"Model:    {asked.lm.name}{stand_in}; sub-queries: {asked.sub_lm.name}",
            f"Way:      {asked.mode} - {_DOES[asked.mode]}",
            f"Budget:   {budget}; depth {limits.depth}, at most {limits.children} sub-RLMs",
            f"Sandbox:  {'none is needed' if asked.mode == 'direct' else asked.sandbox}",
            "",
            "Sent to the model about your data"
            + (", whole:" if asked.text is not None else " (the values stay on this machine):"),
            asked.text if asked.text is not None else self._descriptions(),
            *self._conversation(),
        ]
        return self._shown("\n".join(lines).rstrip())

    def _shown(self, text: str) -> str:
        """Without secrets, for a notebook keeps it; that they would be sent is said."""
        clean = Redactor({*self.request.lm.secrets, *self.request.sub_lm.secrets}).text(text)
        told = f"\n\nSecrets are shown as {REDACTED}; the model would be sent them as they are."
        return clean if clean == encodable(text) else clean + told

    def _conversation(self) -> Iterator[str]:
        """The turns and the memory as the model gets them; an RLM alone has them as variables."""
        if self.workspace is None:
            return
        earlier = Earlier.fitting(self.workspace.history, window(self.request.lm.lm) or self.request.settings.window)
        yield f"\nSession:  {self.session}, {earlier.total:,} earlier turns, sent are the latest {len(earlier.shown):,}"
        if earlier.shown:
            yield f"\n{earlier.text()}"
        yield f"\nMemory:\n{self.workspace.memory_text()}"

    def _descriptions(self) -> str:
        return "\n\n".join(prompt_text(to_builtins(variable)) for variable in self.request.context)

    def __repr__(self) -> str:
        return self.text()
