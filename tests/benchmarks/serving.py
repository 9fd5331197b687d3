"""The server under load: a real Jupyter server, real kernels, and clients in processes of their own.

First events are those of real turns, answered by the stand-in. For the load, threads in the kernels write into real
logs at a given rate, which no model and no sandbox would do so evenly: from there on everything is the server's own
way, outlet, iopub, feed, store and sockets. A latency is from the moment an event is stamped in its kernel to the
moment a client has read it. A second server that has nothing to do is asked the same as the loaded one, at the same
time: what it takes longer is due to the machine, which kernels, clients and both servers share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.benchmarks.measure import Bar, Row, at_most, figure
from tests.server.serving import ROOT, TOKEN, Serving

RATE = 50
TEXT = "x" * 300

OF_THE_SERVER = (
    "Processor time by thread, 20 sessions x 50 events/s for 12 s, two runs on a busy machine (load average 10.1 and "
    "7.6): the server 0.22 and 0.24 ms an event (its main thread 0.14 and 0.16, the thread of the store 0.04, zmq "
    "0.03). In one kernel, in the second run, the thread of the control channel took 0.24 ms, the one that emits 0.20, "
    "zmq 0.05. At 50 events a second each leaves its kernel alone, for a message waits 10 ms at most for the next "
    "event, and each has a watcher of its own to be sent to; the server reads what has come within 4 ms together."
)

EMIT = """
def _emit(rate, seconds, text):
    import threading, time
    from ipykernel.kernelbase import Kernel
    from fleet_rlm.core.events import Delta, RunEnd, RunStart
    from fleet_rlm.core.log import RunLog
    from fleet_rlm.core.run import Run
    from fleet_rlm.core.settings import Settings
    from fleet_rlm.agent.runtime import new_run
    hosting = Kernel.instance().control_handlers["fleet_request"].__self__._hosting
    session = next(iter(hosting._sessions.values()))
    log = RunLog(*new_run(Settings.from_environ()))
    def work():
        due = time.monotonic()
        for _ in range(int(rate * seconds)):
            due += 1 / rate
            time.sleep(max(0, due - time.monotonic()))
            log.emit(Delta(channel="text", text=text))
        log.emit(RunEnd(status="ok", answer="done"))
        log.close()
    log.emit(RunStart(task="load", mode="direct", model="none", session=session.id))
    hosting._begun(Run(log), session, 0)
    threading.Thread(target=work, daemon=True).start()
    return log.run
"""


def rows(quick: bool) -> list[Row]:
    """A turn's first event; twenty sessions at once; two hundred watchers of one run."""
    sessions, seconds, watchers = (4, 3, 20) if quick else (20, 60, 200)
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as directory:
        limits = {"FleetApp.max_kernels": "64"}
        home, aside = Path(directory, "loaded"), Path(directory, "idle")
        home.mkdir()
        aside.mkdir()
        with Serving(home, limits, FLEET_LM="fleet/offline") as server, Serving(aside) as neighbour:
            first = _first_events(server, 5 if quick else 40)
            names = [f"s{number}" for number in range(sessions)]
            asyncio.run(_opened(server, names))
            load = _loaded(server, neighbour, names, seconds)
            crowd = asyncio.run(_crowd(server, names[0], watchers, min(seconds, 10)))
    p95 = _p95(first)
    return [
        Row(
            "first event of a turn on a warm kernel, from the message on a WebSocket",
            "s",
            figure(first),
            bars=[at_most(f"<= 200 ms (p95 {p95 * 1000:.0f} ms)", p95, 0.2)],
        ),
        Row(
            f"{sessions} sessions x {RATE} events/s for {seconds} s: an event from kernel to client",
            "s",
            figure(load.latencies),
            bars=[
                at_most(f"<= 20 ms p95 ({_p95(load.latencies) * 1000:.1f} ms)", _p95(load.latencies), 0.02),
                Bar(f"none lost ({load.lost} of {load.sent:,})", load.lost == 0),
                at_most(f"server's memory <= 400 MB ({load.memory / 1e6:.0f} MB)", load.memory, 400e6),
                at_most(
                    f"other requests p95 <= 2x idle ({load.busy * 1000:.1f} of {load.idle * 1000:.1f} ms)",
                    load.busy,
                    2 * load.idle,
                ),
            ],
            limit=f"The same request to a second server on the machine, which has nothing to do, had a p95 of "
            f"{load.beside * 1000:.1f} ms during the load and {load.beside_idle * 1000:.1f} ms before it. Of two "
            f"processors the loaded server used {load.cpu:.2f}; the kernels and the client of twenty sessions, which "
            f"would be elsewhere, share the rest with both servers. {OF_THE_SERVER}",
        ),
        Row(
            f"{watchers} watchers of one run at {RATE} events/s: an event from kernel to client",
            "s",
            figure(crowd.latencies),
            bars=[Bar(f"none lost ({crowd.lost} of {crowd.sent:,})", crowd.lost == 0)],
        ),
    ]


@dataclass
class Load:
    """What was seen under a load; latencies in seconds, memory in bytes."""

    latencies: list[float] = field(default_factory=list)
    sent: int = 0
    lost: int = 0
    memory: int = 0
    idle: float = 0.0
    busy: float = 0.0
    beside_idle: float = 0.0  # of the server that has nothing to do, before the load and under it
    beside: float = 0.0
    cpu: float = 0.0  # processors that the loaded server used


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _first_events(server: Serving, turns: int) -> list[float]:
    times = []
    with server.drive() as talk:
        for turn in range(turns + 2):
            begin = time.perf_counter()
            talk.say("message", content="how many errors?", session_id="s0", execution_mode="direct")
            talk.until("events")
            if turn >= 2:
                times.append(time.perf_counter() - begin)
            talk.until("ended")
    return times


async def _opened(server: Serving, names: list[str]) -> None:
    """Sessions in kernels of their own, each having answered once."""
    room = asyncio.Semaphore(4)
    headers = {"Authorization": f"token {TOKEN}"}
    async with httpx.AsyncClient(headers=headers, timeout=120, trust_env=False) as client:

        async def one(name: str) -> None:
            body = {"message": "how many errors?", "session": name, "mode": "direct"}
            async with room:
                (await client.post(f"{server.base}runs", json=body)).raise_for_status()

        await asyncio.gather(*(one(name) for name in names))


def _loaded(server: Serving, neighbour: Serving, names: list[str], seconds: float) -> Load:
    origins = [server.origin, neighbour.origin]
    idle, beside_idle = map(_p95, _probed(origins, min(seconds, 10)))
    load = Load(idle=idle, beside_idle=beside_idle)
    with _watching(server, [f"session={name}" for name in names], 1) as watching:
        for name in names:
            _emit(server, name, seconds)
        begin, used = time.perf_counter(), _cpu_seconds(server)
        busy, beside = _probed(origins, seconds * 0.8)
        load.cpu = (_cpu_seconds(server) - used) / (time.perf_counter() - begin)
        load.memory = server.memory()
        told = watching.result()
    load.busy, load.beside = _p95(busy), _p95(beside)
    load.sent = int(RATE * seconds + 2) * len(names)
    load.latencies, load.lost = told["latencies"], load.sent - told["events"]
    return load


def _cpu_seconds(server: Serving) -> float:
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _crowd(server: Serving, name: str, watchers: int, seconds: float) -> Load:
    with _watching(server, [f"session={name}"], watchers) as watching:
        _emit(server, name, seconds)
        told = watching.result()
    sent = int(RATE * seconds + 2) * watchers
    return Load(latencies=told["latencies"], sent=sent, lost=sent - told["events"])


def _emit(server: Serving, name: str, seconds: float) -> None:
    """Let the kernel of a session write events for so long."""
    kernel = server.kernel_id_of(name)
    with server.executing(kernel, f"{EMIT}\n_emit({RATE}, {seconds}, {TEXT!r})", interrupt=False):
        pass


class _Process:
    """Another process that answers with JSON when it has done."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.serving", *arguments]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._output = self._process.stdout
        assert self._output.readline() == "ready\n"

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def result(self) -> Any:
        """What it found out."""
        return json.loads(self._output.readline())


def _watching(server: Serving, queries: list[str], times: int) -> _Process:
    return _Process("watch", server.base, json.dumps(queries * times))


def _probed(origins: list[str], seconds: float) -> list[list[float]]:
    """The times of requests to each of some servers, asked in turn."""
    with _Process("probe", json.dumps(origins), str(seconds)) as probing:
        times: list[list[float]] = probing.result()
        return times


async def _watch(base: str, queries: list[str]) -> None:
    """Watch until a run of each has ended; tells how many events came, and latencies of a sample of them."""
    latencies: list[float] = []
    counts: list[int] = []
    ready = asyncio.Barrier(len(queries) + 1)

    async def one(query: str) -> None:
        address = f"{base.replace('http', 'ws', 1)}ws/execution/events?{query}"
        headers = {"Authorization": f"token {TOKEN}"}
        async with connect(address, additional_headers=headers, max_size=None, proxy=None, open_timeout=60) as socket:
            await ready.wait()
            following = 0
            async for text in socket:
                now = time.time()
                told = json.loads(text)
                if told["type"] == "ended":
                    break
                if told["type"] != "events":
                    continue
                assert told["from"] == following, f"{query}: {following} was due, not {told['from']}"
                following = told["to"] + 1
                latencies.extend(now - event["ts"] / 1e6 for event in told["events"])
            counts.append(following)

    tasks = [asyncio.create_task(one(query)) for query in queries]
    await ready.wait()
    print("ready", flush=True)
    await asyncio.gather(*tasks)
    print(json.dumps({"events": sum(counts), "latencies": latencies[:: max(1, len(latencies) // 20_000)]}), flush=True)


def _probe(origins: list[str], seconds: float) -> None:
    """Ask for something of the Jupyter server's own, twenty times a second."""
    times: list[list[float]] = [[] for _ in origins]
    with httpx.Client(headers={"Authorization": f"token {TOKEN}"}, trust_env=False) as client:
        for origin in origins:
            client.get(f"{origin}/api/status").raise_for_status()
        print("ready", flush=True)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for origin, found in zip(origins, times, strict=True):
                begin = time.perf_counter()
                client.get(f"{origin}/api/contents").raise_for_status()
                found.append(time.perf_counter() - begin)
                time.sleep(0.05 / len(origins))
    print(json.dumps(times), flush=True)


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("what", choices=["watch", "probe"])
    given.add_argument("address")
    given.add_argument("argument")
    chosen = given.parse_args()
    if chosen.what == "watch":
        asyncio.run(_watch(chosen.address, json.loads(chosen.argument)))
    else:
        _probe(json.loads(chosen.address), float(chosen.argument))
