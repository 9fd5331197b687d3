"""A week of a small company's files, made from a seed: logs, notes, tables and settings, with one incident in them."""

from __future__ import annotations

import csv
import json
import random
from datetime import datetime, timedelta
from pathlib import Path

SERVICES = ("cart", "checkout", "inventory", "mail", "payments", "search")
MONDAY = datetime(2026, 3, 2)
DAYS = 7
LINES = 1_600
"""Lines of one service's log of one day."""

PHRASE = "certificate has expired"
FAULT = f"TLS handshake failed: {PHRASE}"
CULPRIT = "payments"
START = MONDAY + timedelta(days=3, hours=14, minutes=7, seconds=31)
END = START + timedelta(hours=2, minutes=41)

_USUAL = (
    ("INFO", "request handled in {ms} ms"),
    ("INFO", "cache hit for key session:{n}"),
    ("INFO", "connection pool has {k} idle connections"),
    ("WARN", "slow query took {ms} ms"),
    ("WARN", "retry {k} of 3 after timeout"),
    ("ERROR", "upstream answered 503 for request {n}"),
    ("INFO", "health check passed"),
    ("INFO", "certificate check passed, {k} days left"),
)
_COMPLAINTS = ("parcel is late", "cannot change the address", "voucher is refused", "asks for an invoice")
_CHORES = ("reviews", "release notes", "index rebuild", "on call")
_WEIGHTS = (60, 20, 8, 4, 3, 1, 10, 2)


def write_files(to: Path, seed: int = 1971) -> Path:
    """Write the files below `to`; returns their folder. 58 files, some 4 million characters."""
    rng = random.Random(seed)
    folder = to / "week-10"
    for service in SERVICES:
        for day in range(DAYS):
            path = folder / "logs" / service / f"{MONDAY + timedelta(days=day):%Y-%m-%d}.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(_log(rng, service, day)) + "\n", "utf-8")
    _notes(folder / "notes", rng)
    _tables(folder / "tables", rng)
    _settings(folder / "settings", rng)
    return folder


def _log(rng: random.Random, service: str, day: int) -> list[str]:
    begin = MONDAY + timedelta(days=day)
    moments = sorted(rng.randrange(86_400) for _ in range(LINES))
    lines = []
    for moment in moments:
        level, text = rng.choices(_USUAL, _WEIGHTS)[0]
        text = text.format(ms=rng.randrange(3, 2_000), n=rng.randrange(10**8), k=rng.randrange(1, 90))
        lines.append((begin + timedelta(seconds=moment), level, text))
    if service == CULPRIT and day == (START - MONDAY).days:
        at = START
        while at < END:
            lines.append((at, "ERROR", f"{FAULT} (peer bank-gateway, attempt {rng.randrange(1, 4)})"))
            at += timedelta(seconds=rng.randrange(5, 60))
    return [f"{at:%Y-%m-%d %H:%M:%S} {level} {service} {text}" for at, level, text in sorted(lines)]


def _notes(folder: Path, rng: random.Random) -> None:
    folder.mkdir(parents=True)
    for day in range(DAYS):
        date = MONDAY + timedelta(days=day)
        people = rng.sample(("Ada", "Jon", "Mira", "Sam", "Yuki"), 3)
        items = "\n".join(f"- {name}: {rng.choice(_CHORES)}" for name in people)
        (folder / f"standup-{date:%m-%d}.md").write_text(f"# Stand-up {date:%A, %d %B %Y}\n\n{items}\n", "utf-8")
    with open(folder / f"standup-{END + timedelta(days=1):%m-%d}.md", "a", encoding="utf-8") as note:
        note.write(f"\n{START:%H:%M} yesterday: payments down, `{FAULT}`; renewed by hand at {END:%H:%M}\n")
    (folder / "runbook.md").write_text(
        "# Runbook\n\n## Certificates\n\nThe certificates of all services are renewed by hand every 90 days.\n"
        f"If a log says `{PHRASE}`: `ops cert renew SERVICE`, then restart it.\n\n"
        "## Search\n\nRebuild the index at night.\n",
        "utf-8",
    )


def _tables(folder: Path, rng: random.Random) -> None:
    folder.mkdir(parents=True)
    deploys: list[list[str]] = []
    tickets: list[list[str]] = []
    for day in range(DAYS):
        for service in rng.sample(SERVICES, 2):
            at = MONDAY + timedelta(days=day, seconds=rng.randrange(32_000, 64_000))
            deploys.append([f"{at:%Y-%m-%d %H:%M:%S}", service, f"{rng.randrange(1, 9)}.{rng.randrange(40)}.0", "ci"])
        for _ in range(40):
            at = MONDAY + timedelta(days=day, seconds=rng.randrange(86_400))
            seen = PHRASE if START < at < END else rng.choice(_COMPLAINTS)
            tickets.append([f"{at:%Y-%m-%d %H:%M:%S}", str(rng.randrange(10**6)), f"customer sees: {seen}"])
    _csv(folder / "deploys.csv", ["time", "service", "version", "by"], deploys)
    _csv(folder / "tickets.csv", ["time", "customer", "text"], tickets)


def _csv(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *sorted(rows)])


def _settings(folder: Path, rng: random.Random) -> None:
    folder.mkdir(parents=True)
    for service in SERVICES:
        settings = {"service": service, "port": rng.randrange(7_000, 9_000), "replicas": rng.randrange(2, 6)}
        (folder / f"{service}.json").write_text(json.dumps(settings, indent=2), "utf-8")
