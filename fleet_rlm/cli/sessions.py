"""Sessions in a terminal: `fleet sessions`, `fleet chat`, and the session of `fleet run --session`."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from fleet_rlm.cli import options
from fleet_rlm.cli.answering import check_answerable
from fleet_rlm.cli.asking import OK, console, followed
from fleet_rlm.core.errors import FleetError

if TYPE_CHECKING:
    from rich.console import Console

    from fleet_rlm.core.run import Run
    from fleet_rlm.sessions.session import Session

HELP = """\
/load PATH_OR_URL   load a document for all turns to come
/memory             what stands in every prompt
/turns              what was asked so far
/files              what lies in the session's volume
/export FILE        all of it into one file
/quit               leave (also Ctrl-D); the session stays"""


def opened(name: str, *, new: bool = True) -> Session:
    """The session of this name, or, if `new`, a new one; what was found on opening it goes to standard error."""
    from fleet_rlm.sessions.session import Session

    session = Session(name) if new else Session.open(name)
    for notice in session.notices:
        print(f"note: {notice}", file=sys.stderr)
    return session


def session_of(run: Run) -> AbstractContextManager[Session | None]:
    """The session a run is a turn of, opened; None for a run outside of any."""
    start = run.tree.start
    return nullcontext() if start is None or start.session is None else opened(start.session, new=False)


def sessions_command(args: argparse.Namespace) -> int:
    """`fleet sessions`."""
    from fleet_rlm.sessions.shelf import Shelf

    entries = Shelf().entries()
    for entry in entries:
        print(f"{entry.updated_at[:16]}  {entry.turns:>6,} turns  {entry.name}")
    if not entries:
        print("there is no session yet; fleet chat --session NAME makes one")
    return OK


def chat_command(args: argparse.Namespace) -> int:
    """`fleet chat`."""
    check_answerable(args.approve)
    out = console()
    with opened(args.session) as session:
        print(f"session {session.name}, {len(session.turns):,} turns; /help says what else there is, /quit leaves")
        while (line := _line()) is not None:
            if not line:
                continue
            if line in ("/quit", "/exit"):
                break
            try:
                if line.startswith("/"):
                    print(_command(session, line))
                else:
                    _ask(session, line, args, out)
            except FleetError as error:  # of this line alone; the conversation goes on
                print(f"fleet: {error}", file=sys.stderr)
    return OK


def _line() -> str | None:
    """The next line; None at the end of the input. Ctrl-C clears a line."""
    while True:
        try:
            return input("> ").strip()
        except EOFError:
            print()
            return None
        except KeyboardInterrupt:
            print()


def _ask(session: Session, question: str, args: argparse.Namespace, out: Console) -> None:
    from fleet_rlm.cli.outcome import print_answer

    run = followed(session.start(question, **options.engine(args)), None if args.quiet else out, told=session.notices)
    print_answer(run, out)


def _command(session: Session, line: str) -> str:
    name, _, rest = line.partition(" ")
    if name == "/load" and rest:
        document = session.load(rest.strip())
        return f"loaded {document.alias}: {document.kind}, {document.chars:,} characters"
    if name == "/export" and rest:
        return f"written to {session.export(rest.strip())}"
    if name == "/memory":
        return session.memory.text()
    if name == "/turns":
        return (
            "\n".join(f"{turn.status:<9}  {' '.join(turn.question.split())[:100]}" for turn in session.turns) or "none"
        )
    if name == "/files":
        files = [f"{entry.path}  {entry.bytes:,} bytes" for entry in session.volume.tree() if not entry.is_folder]
        return "\n".join(files) or "none"
    return HELP
