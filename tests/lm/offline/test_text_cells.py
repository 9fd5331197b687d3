"""Searching, counting, ranking, reading and finding needles in texts drawn at random; gold by plain Python."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import pytest

from fleet_rlm.lm.offline import text_cells
from fleet_rlm.lm.offline.wording import CANNOT
from tests.lm.offline.bench import solve

WORDS = (
    "anvil", "brook", "copper", "dune", "elder", "fjord", "glade", "heath", "inlet", "juniper", "knoll", "larch",
    "moss", "oasis", "pebble", "reed",
)  # fmt: skip


def drawn(seed: int, count: int = 30, lines: int = 60) -> dict[str, str]:
    """Documents of random sentences."""
    chance = random.Random(seed)
    return {
        f"{chance.choice(['north', 'south'])}/page{index:02}.{chance.choice(['txt', 'md'])}": "\n".join(
            " ".join(chance.choice(WORDS) for _ in range(9)).capitalize() + "." for _ in range(lines)
        )
        for index in range(count)
    }


def hide(docs: dict[str, str], seed: int, *lines: str) -> list[tuple[str, int]]:
    """Put each line at a random place of a random document; the places, as (document, line number)."""
    chance, places = random.Random(seed), []
    for line in lines:
        name = chance.choice(sorted(docs))
        rows = docs[name].split("\n")
        rows.insert(chance.randrange(len(rows)), line)
        docs[name] = "\n".join(rows)
    for line in lines:
        name = next(name for name, text in docs.items() if line in text)
        places.append((name, docs[name].split("\n").index(line) + 1))
    return places


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_counts_of_lines_matches_and_documents(seed: int) -> None:
    docs = drawn(seed)
    lines = sum(text.count("\n") + 1 for text in docs.values())
    with_moss = [line for text in docs.values() for line in text.split("\n") if "moss" in line]
    assert solve("How many lines mention 'moss'?", pages=docs).bare.startswith(f"{len(with_moss)} lines")
    times = sum(text.count("reed") for text in docs.values())
    assert solve("How many times does 'reed' occur?", pages=docs).bare.startswith(f"{times} matches")
    hide(docs, seed, "a Quorum is needed", "no quorum yet")
    assert solve("How many documents mention quorum?", pages=docs).bare.startswith("2 documents mention")
    assert solve("How many lines mention \"Quorum\"?", pages=docs).bare.startswith("1 line mentions")  # fmt: skip
    assert solve("How many lines are there?", pages=docs).bare.startswith(f"{len(docs)} documents, {lines + 2} lines")


def test_ranks_and_sizes() -> None:
    docs = drawn(4)
    counts = Counter({name: text.count("fjord") for name, text in docs.items()})
    gold = sorted(counts, key=lambda name: (-counts[name], name))[:3]
    text = solve("Top 3 documents by mentions of `fjord`", pages=docs).bare
    assert re.findall(r"(?m)^- (\S+): \d+ matches", text) == gold
    largest = max(sorted(docs), key=lambda name: len(docs[name]))
    assert solve("Which document is the largest?", pages=docs).bare.startswith(largest)


@pytest.mark.parametrize("seed", range(6))
def test_needles_are_found_with_their_line(seed: int) -> None:
    chance = random.Random(100 + seed)
    docs = drawn(seed)
    keys = [f"{chance.choice(WORDS)}-{chance.choice(WORDS)}-{number}" for number in range(8)]
    codes = [chance.randrange(10**6, 10**7) for _ in keys]
    needles = [f"One of the special magic numbers for {key} is: {code}." for key, code in zip(keys, codes, strict=True)]
    places = hide(docs, seed, *needles)
    at = chance.randrange(len(keys))
    text = solve(f"What is the special magic number for {keys[at]}?", haystack=docs).bare
    assert text.startswith(str(codes[at]))
    assert f"{places[at][0]}:{places[at][1]}: {needles[at]}" in text
    one_text = " ".join(" ".join(docs.values()).split("\n"))
    assert solve(f"What is the special magic number for {keys[at]}?", haystack=one_text).bare.startswith(str(codes[at]))


def test_a_needle_that_is_not_there_is_not_invented() -> None:
    docs = drawn(7)
    hide(docs, 7, "The magic number for velvet-otter is 12345.")
    assert solve("What is the magic number for copper-lynx?", haystack=docs).bare.startswith(CANNOT)
    assert solve("What is the capital of Peru?", haystack=docs).bare.startswith(CANNOT)


def test_values_of_several_kinds_are_read() -> None:
    docs = drawn(8)
    hide(docs, 8, "cache_limit = 640", "Owner of the ferry line: Inga Ruud", "The permit expires on 3 May 2031.")
    assert solve("What is the cache limit?", pages=docs).bare.startswith("640")
    assert solve("Who is the owner of the ferry line?", pages=docs).bare.startswith("Inga Ruud")
    assert solve("When does the permit expire?", pages=docs).bare.startswith("3 May 2031")


def test_quotes_places_and_documents_with_both() -> None:
    docs = drawn(9)
    places = hide(docs, 9, "Zeppelin sighted at dawn", "zeppelin lost")
    text = solve("Quote the lines that mention a zeppelin", pages=docs).bare
    assert all(f"- {name}:{line}: " in text for name, line in places)
    first = sorted(docs)[0]
    docs[first] += "\nalpha test\nbeta test"
    hide(docs, 10, "alpha alone", "beta alone")
    both = [name for name in sorted(docs) if "alpha" in docs[name] and "beta" in docs[name]]
    text = solve("Which documents contain both 'alpha' and 'beta'?", pages=docs).bare
    assert re.findall(r"(?m)^- (\S+) \(", text) == both


def test_attributes_are_read_from_every_hit_by_sub_queries() -> None:
    docs = drawn(11)
    hide(docs, 11, "The lease of plot 7 has a renewal date of 2029-11-30.", "Renewal date unknown.")
    solved = solve("Which documents mention a renewal date, and what is the date?", pages=docs)
    assert "2029-11-30" in solved.bare
    assert "1 more document with `renewal date` but no date" in solved.bare
    assert len(solved.queries) == 2


def test_the_first_and_last_dated_line() -> None:
    docs = drawn(12)
    hide(docs, 12, "2020-02-03 09:00:00 FAULT valve 3", "2020-01-09 10:00:00 FAULT valve 1", "FAULT without date")
    assert "2020-02-03 09:00:00" in solve("When was the last FAULT?", pages=docs).bare.splitlines()[0]
    assert "2020-01-09 10:00:00" in solve("When was 'FAULT' first seen?", pages=docs).bare.splitlines()[0]


def test_a_named_file_is_all_that_is_read() -> None:
    docs = drawn(13) | {"data/fees.csv": "town,fee\nOre,5\nVik,11\nOre,7\n"}
    assert solve("What is the total fee per town in fees.csv?", pages=docs).bare.count("- Ore: 12") == 1
    name = sorted(docs)[3]
    gold = docs[name].count("larch")
    assert solve(f"How many times does 'larch' occur in {name}?", pages=docs).bare.startswith(f"{gold} matches")


def test_large_collections_are_divided_among_children_and_merged() -> None:
    docs = drawn(14, 24, 3000)
    assert sum(map(len, docs.values())) > text_cells.DIVIDE_ABOVE
    places = hide(docs, 14, "The toll for Hovland is 87 crowns.", "The toll for Sund is 31 crowns.")
    solved = solve("Which documents mention a toll, and what amount do they name?", recursive=True, pages=docs)
    assert len(solved.children) == text_cells.CHILDREN
    findings = [json.loads(child.answer) for child in solved.children]
    assert sum(len(found["hits"]) for found in findings) == 2
    assert all(f"{name}:{line}" in solved.bare for name, line in places)
    assert "87" in solved.bare
    assert "31" in solved.bare
    assert solved.queries
    alone = solve("Which documents mention a toll, and what amount do they name?", pages=docs)
    assert not alone.children
    assert alone.bare == solved.bare
    counted = solve("How many times does 'moss' occur?", recursive=True, pages=docs).bare
    assert counted.startswith(f"{sum(text.count('moss') for text in docs.values())} matches")
    lines = sum("moss" in line for text in docs.values() for line in text.split("\n"))
    assert f"- and {lines - 3} more" in counted
    places = solve("Which documents mention 'moss'?", recursive=True, pages=docs).bare
    assert len(re.findall(r"(?m)^- \S+ \(\d+ lines\): line \d+: ", places)) == len(docs)


def test_program_statements_are_told_from_mentions() -> None:
    source = {
        "a.py": 'import old\nold.retire(\n    "a",\n    remove=(4, 2),\n)\n',
        "b.py": '"""Say old.retire(x, remove=(9, 9)) to retire."""\n# old.retire("b", remove=(8, 8))\n',
        "c.py": 'from pkg import old\n\ndef f():\n    return old.retire("c", "gone in 7.7", remove=(5, 0))\n',
        "notes.txt": "nothing here",
    }
    text = solve("Which modules announce a removal by `old.retire`, and for which version?", source=source).bare
    assert re.findall(r"(?m)^- (\S+): (\S+)$", text) == [("a.py", "4.2"), ("c.py", "5.0")]
    assert 'a.py:2: `old.retire( "a", remove=(4, 2), )`' in text


def test_hits_that_were_not_read_are_counted_in_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_cells, "DIVIDE_ABOVE", 1000)
    monkeypatch.setattr(text_cells, "ITEMS", 2)
    docs = drawn(15)
    hide(docs, 15, *(f"The toll at gate {number} is {number} crowns." for number in range(100, 130)))
    text = solve("Which documents mention a toll, and what amount do they name?", recursive=True, pages=docs).bare
    assert "22 further hits were counted but not read." in text


def test_and_or_not_and_dates_hold_within_a_line() -> None:
    chance = random.Random(16)
    rows = [
        f"{chance.choice(['2031-02-03', '2031-02-04'])} {chance.choice(['GALE', 'CALM'])} {chance.choice(WORDS)} "
        f"{chance.choice(WORDS)}"
        for _ in range(200)
    ]
    for question, gold in (
        ("How many lines contain both GALE and moss?", sum("GALE" in row and "moss" in row for row in rows)),
        ("How many lines mention moss or reed?", sum("moss" in row or "reed" in row for row in rows)),
        ("How many lines do not contain GALE?", sum("GALE" not in row for row in rows)),
        ("How many lines contain GALE but not moss?", sum("GALE" in row and "moss" not in row for row in rows)),
        ("How many GALE lines on 2031-02-04?", sum(row.startswith("2031-02-04 GALE") for row in rows)),
    ):
        told = solve(question, weather="\n".join(rows)).bare
        assert re.match(rf"{gold} lines? mentions? ", told), (question, gold, told)


def test_documents_without_a_term_and_documents_named() -> None:
    docs = {"a.txt": "hail\nsun", "b.txt": "sun", "c.txt": "hail\nhail"}
    told = solve("Which files do not mention hail?", pages=docs).bare
    assert told.startswith("1 file mentions no `hail`")
    assert "- b.txt" in told
    assert solve("How many lines mention 'hail' in c.txt?", pages=docs).bare.startswith("2 lines")
    refused = solve("How many lines mention 'hail' in d.txt?", pages=docs).bare
    assert refused.startswith(CANNOT)
    assert "d.txt" in refused


def test_field_names_of_records_are_no_words_of_a_text() -> None:
    records = [{"ship": "Ann", "flags": ["x"]}, {"ship": "Bo", "flags": []}, {"ship": "Cy"}]
    assert solve("How many have flags?", fleet=records).bare.startswith(CANNOT)
    assert solve("How many rows are there?", fleet=records).bare.startswith("3 rows")
