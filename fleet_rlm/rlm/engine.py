"""FleetRLM: dspy.RLM over a sandbox that already holds the data.

Prompts, signatures, typed SUBMIT and the two optimisable predictors (`generate_action`, `extract`) are dspy's. The
loop around them is ours, because dspy's blocks its event loop for every cell, sends every input at every iteration and
loses the trajectory on any fault: here values were sent once and are described, cells are awaited and keep everything
they printed, each iteration is a span, an unreadable reply is asked again with the fault named, a prompt that outgrows
the window is shortened, and a nearly spent budget ends in an answer from what is known.

The private dspy names this relies on are in `PRIVATE`, pinned by `tests/rlm/test_dspy_contract.py`.
"""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import dspy
import msgspec
from dspy.predict.rlm import _strip_code_fences
from dspy.primitives.repl_types import REPLHistory

from fleet_rlm.core.errors import BudgetExhausted, ModelError
from fleet_rlm.core.events import Delta, Display, Note
from fleet_rlm.core.journal import Record, rebuilding
from fleet_rlm.core.log import MAX_VALUE, Span
from fleet_rlm.lm.metered import calling_as
from fleet_rlm.lm.windows import CHARS_PER_TOKEN
from fleet_rlm.rlm.describe import prompt_text
from fleet_rlm.rlm.history import CUTS, OUTPUTS, WINDOW_SHARE, length, repeats, shortened
from fleet_rlm.rlm.recovery import DEATH, Recovery
from fleet_rlm.rlm.scope import Scope
from fleet_rlm.rlm.unreadable import Unreadable
from fleet_rlm.sandbox.base import CellError, CellResult, Sandbox
from fleet_rlm.sandbox.errors import SandboxDied

PRIVATE = (
    "_action_signature_for_current_factory",
    "_process_execution_result",
    "_get_output_fields_info",
)
"""Methods of dspy.RLM called here, besides `_strip_code_fences`; dspy 3.4 has no public seam for them."""

REPEATED = 3
"""Repetitions of a cell with the same output: the first is told to the model, this many end the loop."""

LIVE_AFTER = 0.5
"""Seconds after which a cell's output is also streamed; shorter cells are told by their result alone."""


class FleetRLM(dspy.RLM):
    """A recursive language model over one sandbox.

    Args:
        signature: inputs and outputs, `prompt, context -> answer` by default.
        scope: log, budget and models of the run this belongs to.
        instructions: what the model is told about the sandbox and its functions.
        max_iters: turns of the loop before an answer is extracted from what is known.
        max_output_chars: characters of a cell's output shown to the model; the trace keeps all.
        calls: model calls it is told of, None for as many as it likes.
    """

    def __init__(
        self,
        signature: Any = "prompt, context -> answer",
        *,
        scope: Scope,
        instructions: str = "",
        max_iters: int = 20,
        max_output_chars: int = 10_000,
        calls: int | None = None,
    ) -> None:
        super().__init__(
            signature,
            max_iters=max_iters,
            max_llm_calls=calls if calls is not None else 1_000_000,
            max_output_chars=max_output_chars,
        )
        self.scope = scope
        action = self._action_signature_for_current_factory(SimpleNamespace(execution_instructions=instructions), "")
        text = action.instructions.replace("~500K char capacity", _capacity(scope))
        self.generate_action.signature = action.with_instructions(text)

    async def aforward(
        self,
        *,
        sandbox: Sandbox,
        variables: list[dict[str, str]],
        reopen: Callable[[], Awaitable[Sandbox]] | None = None,
    ) -> dspy.Prediction:
        """Run the loop in a sandbox whose namespace already holds every input and function.

        Args:
            sandbox: started and filled.
            variables: the inputs as `describe` describes them.
            reopen: gives another such sandbox if this one dies; the caller closes it.

        Returns:
            the outputs of the signature, `trajectory`, and `finished_early`: why it ended before SUBMIT, or None.

        Raises:
            BudgetExhausted: not even the finishing call is left.
            ModelError: the model failed, or gave nothing readable five times in a row.
            SandboxDied: the sandbox died and cannot be replaced.
        """
        fields = self._get_output_fields_info()
        # A text field takes any value: dspy writes a number or list out as text, where a type check would cost a turn.
        fields = [{"name": f["name"]} if f.get("type") == "str" else f for f in fields]
        loop = _Loop(self, sandbox, fields, [prompt_text(variable) for variable in variables], reopen)
        try:
            with self.scope.ledger.hold():
                return await loop.run()
        finally:
            await loop.recovery.aclose()

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Not offered: a run is async inside; use `fleet_rlm.run` for the blocking form."""
        raise TypeError("FleetRLM runs inside a run; call fleet_rlm.run(...) or await rlm.acall(...)")


class _Loop:
    """One execution of an RLM: the history, and what ends or mends an iteration."""

    def __init__(
        self,
        rlm: FleetRLM,
        sandbox: Sandbox,
        fields: list[dict[str, Any]],
        described: list[str],
        reopen: Callable[[], Awaitable[Sandbox]] | None,
    ) -> None:
        self.rlm = rlm
        self.scope = rlm.scope
        self.sandbox = sandbox
        self.fields = fields
        self.recovery = Recovery(reopen)
        self.described = described
        self.outputs = list(rlm.signature.output_fields)
        self.lm = rlm.generate_action.lm or self.scope.lm
        tokens = self.lm.window
        self.room = None if tokens is None else int(tokens * CHARS_PER_TOKEN * WINDOW_SHARE)
        self.history = REPLHistory(max_output_chars=rlm.max_output_chars)
        self.whole: list[str] = []
        self.is_cut = False
        self.unreadable = Unreadable(self.scope.log, self.lm.model)
        self.repeated = 0

    async def run(self) -> dspy.Prediction:
        for iteration in range(1, self.rlm.max_iters + 1):
            with self.scope.log.span("iteration", f"{iteration}/{self.rlm.max_iters}") as span:
                step = await self.iterate(f"{iteration}/{self.rlm.max_iters}")
                if isinstance(step, dspy.Prediction):
                    span.output = "submitted" if step.finished_early is None else "finished early"
                    return step
                self.history = step
        return await self.finish(f"all {self.rlm.max_iters} iterations are used")

    async def iterate(self, label: str) -> dspy.Prediction | REPLHistory:
        spent = self.scope.ledger.nearly_spent()
        if spent is not None and not self.scope.log.is_recorded("llm", "action"):
            return await self.finish(spent)
        try:
            action = await self.ask(
                self.rlm.generate_action, ("action", "step"), variables_info=self.described, iteration=label
            )
            code = _strip_code_fences(action.code or "")
        except BudgetExhausted as error:
            return await self.finish(str(error))
        except (dspy.AdapterParseError, SyntaxError) as error:
            fault = f"[Error] {self.unreadable.fault(error)}\nReply again with `reasoning` and `code`."
            self.whole.append(fault)
            return self.history.append(reasoning="", code="", output=fault)
        self.unreadable.was_read()
        self.scope.log.emit(Delta(channel="thought", text=action.reasoning or ""))
        code = edited(self.scope, code)
        result = await self.execute(code)
        text = result.text()
        outcome: Any = text
        self.whole.append(text)
        if result.submitted is not None and None in result.submitted.values():
            outcome = f"{text}\n[Error] SUBMIT was given None; submit a value, or say in words why there is none"
        elif result.submitted is not None:
            outcome = dspy.FinalOutput(result.submitted)
        elif result.error is not None:
            outcome = f"[Error] {text}"
        self.repeated = self.repeated + 1 if repeats(self.history, code, text) else 0
        if self.repeated >= REPEATED:
            return await self.finish(f"the same cell gave the same output {REPEATED + 1} times in a row")
        if self.repeated and result.submitted is None:
            outcome += "\n[Note] the same cell gave the same output as before: try another way, or SUBMIT what you know"
        step = self.rlm._process_execution_result(action, code, outcome, self.history, self.outputs)
        if isinstance(step, dspy.Prediction):
            step.finished_early = None
        return step

    async def execute(self, code: str) -> CellResult:
        """Run a cell; if that kills the sandbox, go on in another and tell the model what is lost."""
        await self.recovery.kept()
        self.sandbox.output_fields = self.fields
        try:
            result = await run_cell(self.scope, self.sandbox, code)
        except SandboxDied as error:
            self.sandbox, told = await self.recovery.replace(self.sandbox, error)
            self.scope.log.emit(Note(level="warning", text=told))
            if self.is_cut:
                await self.sandbox.aput(OUTPUTS, self.whole)
            return CellResult(error=CellError("SandboxDied", error.reason, told))
        if result.submitted is None:
            self.recovery.keep(self.sandbox, result)
        return result

    async def finish(self, reason: str) -> dspy.Prediction:
        """Extract the outputs from the work so far, with the call that was held back for it."""
        self.scope.log.emit(Note(level="warning", text=reason))
        self.history = self.history.append(reasoning="", code="", output=f"[Stopped here] {reason}")

        async def extract(fault: str | None) -> dspy.Prediction:
            if fault is not None:
                self.history = self.history.append(reasoning="", code="", output=f"[Error] {fault}")
            return await self.ask(self.rlm.extract, ("extract", "finish"), variables_info=self.described)

        extracted = await self.unreadable.asked(extract)
        return dspy.Prediction(
            trajectory=[entry.model_dump() for entry in self.history],
            final_reasoning="extracted from the work so far",
            finished_early=reason,
            **{name: getattr(extracted, name) for name in self.outputs},
        )

    async def ask(self, predictor: Any, role: tuple[str, Any], **inputs: Any) -> dspy.Prediction:
        """Call a predictor; where the history is or turns out too long for the window, with older outputs cut."""
        for cut in CUTS:
            if self.room is not None and length(self.history) > self.room:
                await self.shorten(*cut, f"the history fills {WINDOW_SHARE:.0%} of the context window")
        for then in (*CUTS, None):
            try:
                with calling_as(*role):
                    return await predictor.acall(repl_history=self.history, **inputs)
            except dspy.ContextWindowExceededError as error:
                if then is None:
                    raise ModelError(
                        f"the prompt does not fit the context window of {self.lm.model} even with its history "
                        "shortened; use a model with a larger window"
                    ) from error
                await self.shorten(*then, "the prompt outgrew the context window")
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def shorten(self, chars: int, whole: int, why: str) -> None:
        """Cut older outputs, and keep them whole in the sandbox."""
        await self.sandbox.aput(OUTPUTS, self.whole)
        self.is_cut = True
        self.history = shortened(self.history, chars, whole)
        self.scope.log.emit(Note(level="warning", text=f"{why}; older outputs are cut to {chars} characters"))


async def run_cell(scope: Scope, sandbox: Sandbox, code: str) -> CellResult:
    """Run one cell as a `code` span: what it printed and displayed goes to the log, its failure marks the span."""
    log = scope.log
    record = log.recorded("code")
    if record is not None and record.is_settled:
        return await _rebuild(scope, sandbox, code, record)
    with log.span("code", sandbox.name, code=code, record=record) as span:
        result = await sandbox.aexecute(code, timeout=scope.cell_timeout, on_output=_live(span))
        for bundle in result.displays:
            log.emit(Display(mimebundle=bundle))
        for file in result.artifacts:
            log.artifact(file.name, mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.path)
        span.output = result.text()
        if result.submitted is not None:
            short = len(msgspec.json.encode(result.submitted, enc_hook=repr)) <= MAX_VALUE
            span.attrs["submitted"] = result.submitted if short else True
        if result.error is not None:
            span.fail(result.error.type, result.error.message)
        return result


def edited(scope: Scope, code: str) -> str:
    """The code of the cell that is about to run, as a branch of the run wants it."""
    edit = scope.log.edit("code")
    return code if edit is None or edit.code is None else edit.code


async def _rebuild(scope: Scope, sandbox: Sandbox, code: str, record: Record) -> CellResult:
    """What a cell printed when it ran first; it is run again for its variables, on the replies it had then."""
    node, told = record.node, record.output
    submitted = node.attrs.get("submitted")
    if node.error_type == "SandboxDied":  # it left no variables, and would kill this one too
        told = next((note for note in record.notes_above if note.startswith(DEATH)), node.error)
    else:
        with rebuilding(node.id):
            again = await sandbox.aexecute(code, timeout=scope.cell_timeout)
        told = again.text() if told is None else told
        submitted = again.submitted if submitted is True else submitted
        if (again.error is None) != (node.error_type is None):
            now = "no error" if again.error is None else again.error.type
            text = f"{node.id} ended with {node.error_type or 'no error'} and, run again for its variables, with {now}"
            scope.log.emit(Note(level="warning", text=text))
    error = None if node.error_type is None else CellError(node.error_type, node.error or "", "")
    return CellResult(printed=told or "", error=error, submitted=submitted)


def _live(span: Span) -> Callable[[str, str], None]:
    waiting: list[Delta] = []
    begin = time.monotonic()

    def on_output(stream: str, text: str) -> None:
        waiting.append(Delta(span=span.id, channel="stderr" if stream == "stderr" else "stdout", text=text))
        if time.monotonic() - begin >= LIVE_AFTER:
            for delta in waiting:
                span.log.emit(delta)
            waiting.clear()

    return on_output


def _capacity(scope: Scope) -> str:
    chars = scope.query_chars
    return "its window is not known, keep prompts short" if chars is None else f"up to {chars:,} characters a prompt"
