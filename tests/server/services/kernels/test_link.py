"""A link to a real kernel that sends what it should not, or at an awkward moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.server.serving import Serving, Talk

HEAD = """
from ipykernel.kernelbase import Kernel
from jupyter_client.session import DELIM
from fleet_rlm.server import wire
station = Kernel.instance().control_handlers[wire.REQUEST].__self__
loop = Kernel.instance().control_thread.io_loop
"""

MALFORMED = """
def garbage():
    signed = [b'{"msg_type": "fleet_events"}', b"{}", b"{}", b"[]"]
    station._put([*station._asker, DELIM, station._session.sign(signed), *signed])
loop.add_callback(garbage)
"""

SENDS_AS_A_REQUEST_COMES = """
import select
def at_that_moment():
    select.select([station._stream.socket.fileno()], [], [], 30)
    station._send_now(wire.ALIVE, {"runs": {}}, station._asker)
loop.add_callback(at_that_moment)
"""


@contextmanager
def conversation(server: Serving, session: str) -> Iterator[tuple[Talk, str]]:
    """A session that has answered once, and the id of its kernel."""
    with server.drive() as talk:
        talk.ask("First", session_id=session, execution_mode="direct")
        talk.until("ended")
        yield talk, server.kernel_id_of(session)
    server.client.delete(f"{server.base}sessions/{session}").raise_for_status()


def test_a_message_that_cannot_be_read_is_left_out_and_the_next_are_read(server: Serving) -> None:
    with conversation(server, "garbled") as (talk, kernel):
        with server.executing(kernel, HEAD + MALFORMED * 3, interrupt=False):
            pass
        server.until_logged(f"a message of kernel {kernel} cannot be read")
        talk.ask("Second", session_id="garbled", execution_mode="direct")
        assert talk.until("ended")["status"] == "ok"


def test_a_request_that_comes_just_when_the_kernel_sends_is_heard(server: Serving) -> None:
    """Sending takes the signal that a request has come, so whoever sends must look."""
    with conversation(server, "talkative") as (talk, kernel):
        with server.executing(kernel, HEAD + SENDS_AS_A_REQUEST_COMES, interrupt=False):
            pass
        talk.say("command", command="list_documents", session_id="talkative")
        talk.until("command_result")
