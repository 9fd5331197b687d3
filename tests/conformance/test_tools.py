"""Host tools are functions of the code: concurrent, revocable, and with the caller's context variables."""

from __future__ import annotations

import contextvars
import threading

from tests.conformance.backends import Local, Make


def test_tools_are_called_and_revoked(make: Make) -> None:
    sandbox = make(tools={"double": lambda x: x * 2})
    assert "42" in sandbox.run("print(double(21))").text()
    sandbox.run("kept = double")
    del sandbox.tools["double"]
    assert sandbox.run("double(1)").error is not None
    assert sandbox.run("kept(1)").error is not None


def test_a_failing_tool_raises_in_the_code(local: Local) -> None:
    class QuotaExceeded(Exception):
        pass

    def fail(kind: str) -> None:
        raise {"value": ValueError, "quota": QuotaExceeded}[kind](f"no {kind}")

    sandbox = local(tools={"fail": fail})
    code = "try:\n    fail('value')\nexcept ValueError as error:\n    print('caught', error)\nfail('quota')"
    result = sandbox.run(code)
    assert result.printed == "caught no value\n"
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("QuotaExceeded", "no quota")


def test_exceptions_in_a_result_stay_exceptions(local: Local) -> None:
    sandbox = local(tools={"both": lambda: ["fine", KeyError("lost"), 3]})
    assert sandbox.run("[type(x).__name__ for x in both()]").value == "['str', 'KeyError', 'int']"


def test_async_and_sync_tools_see_the_callers_context_variables(local: Local) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    async def asked_async() -> str:
        return who.get()

    sandbox = local(tools={"asked": lambda: who.get(), "asked_async": asked_async})
    who.set("somebody")
    assert sandbox.run("asked(), asked_async()").value == "('somebody', 'somebody')"


def test_calls_from_threads_run_concurrently(make: Make) -> None:
    together = threading.Barrier(8, timeout=10)

    def meet(i: int) -> int:
        together.wait()
        return i

    sandbox = make(tools={"meet": meet})
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool: found = list(pool.map(meet, range(8)))\nprint(found)"
    )
    assert "[0, 1, 2, 3, 4, 5, 6, 7]" in sandbox.run(code).text()
