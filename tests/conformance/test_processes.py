"""What code forks by itself is an ordinary process: it prints, has no host, and ends where a script would."""

from __future__ import annotations

from tests.conformance.backends import Local

FORK = "import os\npid = os.fork()\n"
JOIN = "\nos.waitpid(pid, 0)[1] >> 8"
INHERITED = """
import os
def inheritable(fd):
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False
[fd for fd in range(3, 200) if inheritable(fd)]
"""


def test_what_a_forked_process_prints_is_captured(local: Local) -> None:
    code = "import multiprocessing\ndef work():\n    print('from work')\n    1 / 0\nprint('before')\n"
    start = "process = multiprocessing.get_context('fork').Process(target=work)\nprocess.start()\nprocess.join()\n"
    printed = local().run(f"{code}{start}print('after', process.exitcode)").printed
    assert printed.startswith("before\nfrom work\n")
    assert "ZeroDivisionError" in printed
    assert printed.endswith("after 1\n")


def test_a_forked_process_ends_at_the_end_of_the_cell(local: Local) -> None:
    sandbox = local(tools={"ask": lambda n: n * 10})
    for _ in range(3):  # one that went on would sooner or later answer in place of the sandbox, or take its messages
        result = sandbox.run(f"{FORK}if pid: {JOIN.strip()}\nprint('end of', 'parent' if pid else 'child')")
        assert result.printed == "end of child\nend of parent\n"
        assert sandbox.run("ask(4)").value == "40"


def test_a_forked_process_has_the_exit_status_of_a_script(local: Local) -> None:
    sandbox = local()
    for ending, status in {"pass": 0, "exit()": 0, "exit(7)": 7, "exit('words')": 1}.items():
        assert sandbox.run(f"{FORK}if not pid: {ending}\nelse: print(os.waitpid(pid, 0)[1] >> 8)").printed == (
            f"{status}\n"
        )
    failed = sandbox.run(f"{FORK}if not pid: raise ValueError('of the child'){JOIN}")
    assert "ValueError: of the child" in failed.printed
    assert failed.value == "1"
    assert failed.error is None


def test_a_forked_process_has_no_host(local: Local) -> None:
    sandbox = local(tools={"ask": lambda n: n * 10})
    for call in ("ask(1)", "SUBMIT('child')"):
        result = sandbox.run(f"{FORK}if not pid: {call}{JOIN}")
        assert "use threads" in result.printed
        assert result.value == "1"
        assert result.submitted is None


def test_programs_that_code_starts_hold_no_channel_open(local: Local) -> None:
    found = local().run(INHERITED)
    assert found.value == "[]"
