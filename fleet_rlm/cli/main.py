"""`fleet`: parse, start, show. Every command ends in an exit code (`fleet_rlm.cli.asking`)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fleet_rlm.cli import options
from fleet_rlm.cli.answering import check_answerable
from fleet_rlm.cli.asking import NO_ANSWER, NOT_BEGUN, OK, STOPPED, ask, console, exit_code, followed, report_of
from fleet_rlm.cli.database import db_command
from fleet_rlm.cli.server import lab_command, openapi_command, serve_command
from fleet_rlm.cli.sessions import chat_command, opened, session_of, sessions_command
from fleet_rlm.core.errors import FleetError, ModelError, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from fleet_rlm.core.run import Run


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code."""
    try:
        args = options.parser(COMMANDS).parse_args(argv)
        return int(args.do(args))
    except SystemExit as end:
        return int(end.code or 0)
    except (UserError, ModelError) as error:  # `ask` raises none of a run that had begun
        print(f"fleet: {error}", file=sys.stderr)
        return NOT_BEGUN
    except FleetError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return NO_ANSWER
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:  # the reader of a pipe has left, as in `fleet models | head -1`; rich answers the same way
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_ANSWER


def run_command(args: argparse.Namespace) -> int:
    """`fleet run`."""
    from fleet_rlm.cli.inputs import read_inputs

    context = read_inputs(args.inputs)
    if args.plan:
        print(_plan(args, context))
        return OK
    run = ask(args.question, context, args, _screen(args))
    return _told(run, args)


def _plan(args: argparse.Namespace, context: dict[str, Any]) -> str:
    given = {"context": context or None, **options.engine(args)}
    if args.session is not None:
        with opened(args.session) as session:
            return session.plan(args.question, **given).text()
    from fleet_rlm.agent.runtime import plan

    return plan(args.question, **given).text()


def resume_command(args: argparse.Namespace) -> int:
    """`fleet resume`."""
    from fleet_rlm.core.runs import open_run

    run, changes = open_run(args.run), options.changes(args)
    check_answerable(args.approve or run.approvals)
    with session_of(run) as session:
        going = session.resume(run, **changes) if session else run.resume(**changes)
        return _told(followed(going, _screen(args), told=session.notices if session else ()), args)


def branch_command(args: argparse.Namespace) -> int:
    """`fleet branch`."""
    from fleet_rlm.core.runs import open_run

    run, changes = open_run(args.run), options.changes(args)
    check_answerable(args.approve or run.approvals)
    with session_of(run) as session:
        going = session.branch(run, args.span, **changes) if session else run.branch(args.span, **changes)
        return _told(followed(going, _screen(args), told=session.notices if session else ()), args)


def diff_command(args: argparse.Namespace) -> int:
    """`fleet diff`."""
    a, b = (_read_run(name) for name in (args.a, args.b))
    print(a.diff(b))
    return OK


def runs_command(args: argparse.Namespace) -> int:
    """`fleet runs`."""
    from fleet_rlm.core.runs import open_run, run_ids

    if not run_ids():
        print("there is no run yet; fleet run QUESTION --with FILE makes one")
    for run_id in run_ids()[: args.limit]:
        run = open_run(run_id)
        print(f"{run.id}  {run.status:<9}  {run.usage.llm_calls:>4} calls  {' '.join(run.task.split())[:80]}")
    return OK


def _read_run(name: str) -> Run:
    """The run of a log file, or of an id."""
    from fleet_rlm.core.run import Run
    from fleet_rlm.core.runs import open_run

    return Run.from_jsonl(name) if os.path.exists(name) else open_run(name)


def _screen(args: argparse.Namespace) -> Console | None:
    return None if args.quiet or args.json else console()


def _told(run: Run, args: argparse.Namespace) -> int:
    """Print what became of a run; returns the exit code."""
    from fleet_rlm.cli.outcome import as_json, print_answer, print_outcome

    out, report = console(), report_of(run, args.html)
    if args.json:
        sys.stdout.buffer.write(as_json(run, report) + b"\n")
    elif args.quiet:
        print_answer(run, out)
    else:
        print_outcome(run, out, report=report)
    return exit_code(run)


def demo_command(args: argparse.Namespace) -> int:
    """`fleet demo`."""
    from fleet_rlm.cli.demo.questions import QUESTIONS, print_demo

    out = console()
    if args.story:
        from fleet_rlm.cli.demo.story import print_story

        return print_story(args, options.engine(args), out)
    chosen = QUESTIONS if args.all else QUESTIONS[args.question - 1 : args.question]
    codes = [print_demo(question, args, out) for question in chosen]
    return max(codes)


def show_command(args: argparse.Namespace) -> int:
    """`fleet show`."""
    from fleet_rlm.cli.outcome import print_outcome
    from fleet_rlm.core.report import plain_lines

    run, out = _read_run(args.log), console()
    out.print(run.task, style="bold", highlight=False, markup=False)
    for line in plain_lines(run.tree):
        out.print(line, soft_wrap=True, highlight=False, markup=False)
    print_outcome(run, out, report=report_of(run, args.html))
    return OK


def models_command(args: argparse.Namespace) -> int:
    """`fleet models`."""
    from fleet_rlm.lm.resolve import known_models

    print("\n".join([*known_models(), "... and any other name dspy knows, written provider/model"]))
    return OK


def doctor_command(args: argparse.Namespace) -> int:
    """`fleet doctor`."""
    from fleet_rlm.agent.doctor import checks

    found = checks()
    for check in found:
        print(f"{'ok     ' if check.ok else 'MISSING'}  {check.name:<10}  {check.detail}")
        if check.way_out:
            print(f"{'':21}{check.way_out}")
    return OK if all(check.ok for check in found) else NO_ANSWER


COMMANDS: dict[str, options.Command] = {
    "run": run_command,
    "demo": demo_command,
    "chat": chat_command,
    "sessions": sessions_command,
    "resume": resume_command,
    "branch": branch_command,
    "diff": diff_command,
    "runs": runs_command,
    "show": show_command,
    "models": models_command,
    "db": db_command,
    "serve": serve_command,
    "lab": lab_command,
    "openapi": openapi_command,
    "doctor": doctor_command,
}
