"""What people type and did not mean: read as it was meant, or answered with what to write."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from plugins.command_line import Answer

DAG, JOB = "data_collection_equities", "us_markets"
SET, GROUP = ["set", DAG, JOB], ["groups", "set", "us_markets"]
OVERRIDE = ["override", DAG, JOB, "memory_limit=8Gi", "--reason", "x"]
Run = Callable[..., Answer]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([*SET, "memory_limit=4", "Gi"], "write memory_limit=4Gi"),
        ([*SET, "memory_limit", "4Gi"], "write memory_limit=4Gi"),
        ([*SET, "memory_limit", "=", "4Gi"], "write memory_limit=4Gi"),
        ([*SET, "memory_limit", "=4Gi"], "write memory_limit=4Gi"),
        ([*SET, "memory_limit:4Gi"], "write memory_limit=4Gi"),
        ([*SET, "--memory-limit=4Gi"], "write memory_limit=4Gi"),
        ([*SET, "memory_limit=4GB"], "write 4G or 4Gi"),
        ([*SET, "cpu_limit=500 m"], "write 500m"),
        ([*SET, "timeout_seconds=1h"], "write 3600"),
        ([*SET, "retry_delay_minutes=1h30m"], "write 90"),
        ([*SET, "batch_size=1,000"], "write 1000"),
        ([*SET, "batch_size=many"], "write one, such as 5"),
        ([*SET, "description=two", "words"], "write 'description=two words'"),
        ([*SET, "memory=4Gi"], "Did you mean 'memory_limit'?"),
        ([*GROUP, "exchanges=NYSE", "NASDAQ"], "write exchanges=NYSE,NASDAQ"),
        ([*GROUP, "NYSE,NASDAQ"], "write exchanges=NYSE,NASDAQ"),
        ([*GROUP, "exchanges=NYSE NASDAQ"], "write NYSE,NASDAQ"),
        ([*OVERRIDE, "2h"], "write --for 2h"),
        (["override", "end", "7"], "override --end 7"),
        (["override", "list"], "override --list"),
    ],
    ids=lambda each: " ".join(each[2:]) if isinstance(each, list) else "",
)
def test_what_cannot_be_read_is_answered_with_what_to_write(store_cli: Run, words: list[str], meant: str) -> None:
    answer = store_cli(*words)

    assert (answer.code, meant in answer.err) == (2, True), answer


@pytest.mark.parametrize(
    ("words", "column", "value"),
    [
        ([*SET, "memory-limit=4Gi"], "memory_limit", "4Gi"),
        ([*SET, "MEMORY_LIMIT=4Gi"], "memory_limit", "4Gi"),
        (["set", "Memory-Limit=4Gi", f"{DAG}/{JOB}"], "memory_limit", "4Gi"),
        ([*OVERRIDE, "--until", "tomorrow"], "memory_limit", "8Gi"),
        ([*GROUP, "exchanges=NYSE, LSE, "], "exchanges", ["NYSE", "LSE"]),
        ([*GROUP, "exchanges=[NYSE,LSE]"], "exchanges", ["NYSE", "LSE"]),
        ([*GROUP, "exchanges=NYSE;LSE"], "exchanges", ["NYSE", "LSE"]),
        ([*GROUP, "exchanges=ARRAY['NYSE','LSE']"], "exchanges", ["NYSE", "LSE"]),
    ],
    ids=lambda each: " ".join(each[1:]) if isinstance(each, list) else "",
)
def test_what_can_be_read_as_it_was_meant_is(store_cli: Run, words: list[str], column: str, value: object) -> None:
    assert store_cli(*words).code == 0

    if words[0] == "groups":
        rows = json.loads(store_cli("groups", "list", "-o", "json").out)
        assert {row["group_name"]: row[column] for row in rows}["us_markets"] == value
    else:
        assert json.loads(store_cli("get", DAG, JOB, "-o", "json").out)[column] == value


def test_a_group_with_an_equals_sign_in_its_name_can_be_changed(store_cli: Run) -> None:
    assert store_cli("groups", "add", "a=b", "exchanges=LSE").code == 0
    assert store_cli("groups", "set", "a=b", "priority=3").code == 0
