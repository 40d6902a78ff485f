"""The explanation of a pod's end: whose change caused it, and both remedies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_dagconfig.kubectl.explanation import explain
from airflow_provider_dagconfig.kubectl.limit_range import limit_range_remedy
from airflow_provider_dagconfig.kubectl.look_back import EarlierRun, LookBack, Past
from airflow_provider_dagconfig.kubectl.outcome import End, Outcome
from airflow_provider_dagconfig.kubectl.quota import quota_remedy
from airflow_provider_dagconfig.models import DagConfig, HistoryEntry, Override, Quantity, RowChange

NOW = datetime(2026, 11, 23, 21, 30, tzinfo=timezone.utc)
JOB = ("collection", "us_markets")
CONFIG = dataclasses.replace(
    DagConfig.defaults(*JOB),
    memory_limit=Quantity.parse("2Gi"),
    version=5,
    origin="financial_screener.dag_configuration, row 1",
    sources=dict.fromkeys(DagConfig.defaults(*JOB).sources, "row"),
)
RAISE = [
    "To give it more from the next run on:",
    "SELECT financial_screener.update_dag_config('collection', 'us_markets', p_memory_limit => '4Gi');",
]
BACK = LookBack(NOW, "collection")
ROLLBACK = ["To take that change back:", "airflow dagconfig rollback 17"]


def entry(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, **more: Any) -> HistoryEntry:
    operation = "INSERT" if old is None else "DELETE" if new is None else "UPDATE"
    facts = {"audit_id": 17, "changed_by": "dba", "session_user_name": None, "changed_at": NOW - timedelta(minutes=20)}
    facts |= {"reason": "smaller nodes", "row_version": 5, "changed_columns": tuple((old or {}).keys() | (new or {}).keys())}
    of = {"table_name": "dag_configuration", "dag_name": JOB[0], "job_name": JOB[1], "group_name": None, "override_id": None}
    return HistoryEntry(**{**facts, **of, "operation": operation, "old_values": old, "new_values": new, **more})


def lowered(old: str = "4Gi", new: str = "2Gi") -> HistoryEntry:
    return entry({"memory_limit": old}, {"memory_limit": new})


def past(found: HistoryEntry | None, *later: HistoryEntry) -> LookBack:
    return dataclasses.replace(BACK, pasts={"memory_limit": Past(found, later)})


def out_of_memory(back: LookBack | None, config: DagConfig = CONFIG) -> list[str]:
    """The explanation below the first line."""
    limits = {"limits": {"memory": "2Gi"}}
    pod = {"metadata": {"name": "collect"}, "spec": {"containers": [{"name": "base", "resources": limits}]}}
    lines = explain(Outcome(End.OUT_OF_MEMORY, "OOMKilled", exit_code=137), pod, config, back=back).splitlines()
    assert lines[0].startswith("Pod collect was OOMKilled: it needed more than memory_limit = 2Gi of collection/us_markets")
    return lines[1:]


@pytest.mark.parametrize(
    ("back", "says"),
    [
        pytest.param(None, [], id="nobody-asked"),
        pytest.param(
            past(lowered()),
            ["dba changed memory_limit from 4Gi to 2Gi 20 minutes ago (version 5: smaller nodes).", *ROLLBACK],
            id="lowered",
        ),
        pytest.param(
            past(lowered(old="1Gi")),
            ["dba changed memory_limit from 1Gi to 2Gi 20 minutes ago (version 5: smaller nodes)."],
            id="raised, which nobody wants back",
        ),
        pytest.param(
            past(entry({"memory_limit": "4Gi", "batch_size": 7}, {"memory_limit": "2Gi", "batch_size": 8})),
            [
                "dba changed memory_limit from 4Gi to 2Gi 20 minutes ago (version 5: smaller nodes).",
                "To take that change back, which changed batch_size too:",
                "airflow dagconfig rollback 17",
            ],
            id="with-another-column",
        ),
        pytest.param(
            past(lowered(), entry({"batch_size": 7}, {"batch_size": 8}, audit_id=18)),
            ["dba changed memory_limit from 4Gi to 2Gi 20 minutes ago (version 5: smaller nodes).", *ROLLBACK],
            id="another-change-after-it",
        ),
        pytest.param(
            past(
                entry({"memory_limit": "4Gi", "batch_size": 7}, {"memory_limit": "2Gi", "batch_size": 8}),
                entry({"batch_size": 8}, {"batch_size": 9}, audit_id=18),
            ),
            [
                "dba changed memory_limit from 4Gi to 2Gi 20 minutes ago (version 5: smaller nodes).",
                "To set what it was before:",
                "SELECT financial_screener.update_dag_config('collection', 'us_markets', p_memory_limit => '4Gi');",
            ],
            id="a-change-after-it-that-forbids-the-rollback",
        ),
        pytest.param(
            past(entry(None, {"memory_limit": "2Gi"}, changed_by="system", reason=None, row_version=1)),
            ["memory_limit has been 2Gi since system made the row, 20 minutes ago (version 1)."],
            id="never-changed",
        ),
        pytest.param(past(None), ["memory_limit has never been changed since the history begins."], id="no-entry"),
        pytest.param(
            BACK,
            ["Who set memory_limit cannot be read from the audit now. To see it: airflow dagconfig history collection us_markets"],
            id="no-answer",
        ),
    ],
)
def test_a_failure_names_the_change_behind_it_and_both_ways_out(back: LookBack | None, says: list[str]) -> None:
    assert out_of_memory(back) == [*says, *RAISE]


def test_a_person_who_raised_it_meanwhile_is_named_and_there_is_nothing_left_to_do() -> None:
    assert out_of_memory(past(lowered(old="2Gi", new="6Gi"))) == [
        "Meanwhile dba has changed memory_limit from 2Gi to 6Gi 20 minutes ago (version 5: smaller nodes): the next try runs with"
        " it."
    ]


def test_what_the_try_read_at_its_start_tells_where_the_database_does_not_answer() -> None:
    last = RowChange(17, "dba", NOW - timedelta(minutes=20), "smaller nodes", None, "UPDATE", {"memory_limit": ("4Gi", "2Gi")})
    assert out_of_memory(BACK, dataclasses.replace(CONFIG, row_change=last)) == out_of_memory(past(lowered()))


def test_an_earlier_run_with_more_is_named() -> None:
    earlier = EarlierRun("scheduled__2026-11-22", NOW - timedelta(hours=30), {"memory_limit": "4Gi"})
    lines = out_of_memory(dataclasses.replace(past(lowered()), earlier=earlier))
    assert lines[1] == "It ran with memory_limit = 4Gi until yesterday: run scheduled__2026-11-22 succeeded."
    assert lines[2:4] == ROLLBACK

    had_less = dataclasses.replace(earlier, values={"memory_limit": "1Gi"})
    assert out_of_memory(dataclasses.replace(past(lowered()), earlier=had_less)) == out_of_memory(past(lowered()))


OVERRIDE = Override(
    *(7, *JOB, {"memory_limit": "2Gi"}, NOW - timedelta(hours=1), NOW + timedelta(hours=8, minutes=30), "small nodes"),
    *("ann", NOW - timedelta(hours=1)),
)
OVERRIDDEN = dataclasses.replace(CONFIG, overrides=(OVERRIDE,), sources={"memory_limit": OVERRIDE.source})
END = ["To end the override:", "airflow dagconfig override --end 7"]


@pytest.mark.parametrize(
    ("row", "without", "way_back"),
    [
        pytest.param({"memory_limit": "4Gi"}, " Without it, memory_limit would be 4Gi.", END, id="lowered-it"),
        pytest.param({"memory_limit": "1Gi"}, " Without it, memory_limit would be 1Gi.", [], id="raised-it"),
        pytest.param(None, "", END, id="the-row-is-not-known"),
    ],
)
def test_an_override_is_named_and_ended_where_the_row_has_more(row: Any, without: str, way_back: list[str]) -> None:
    lines = out_of_memory(dataclasses.replace(BACK, row=row), OVERRIDDEN)
    told = f"memory_limit is from override 7 until 06:00 UTC. ann made it 1 hour ago (small nodes).{without}"
    assert lines[:-1] == [told, *way_back, RAISE[0]]
    assert lines[-1].startswith("SELECT financial_screener.override_dag_config('collection', 'us_markets', p_ends_at => ")


def test_without_one_override_the_next_one_counts() -> None:
    older = dataclasses.replace(OVERRIDE, override_id=6, values={"memory_limit": "3Gi"})
    lines = out_of_memory(BACK, dataclasses.replace(OVERRIDDEN, overrides=(OVERRIDE, older)))
    assert lines[0].endswith("Without it, memory_limit would be 3Gi.")


def test_what_a_run_was_triggered_with_is_mended_by_another_conf() -> None:
    by_run = dataclasses.replace(CONFIG, sources={"memory_limit": "run"})
    assert out_of_memory(dataclasses.replace(BACK, dag_id="house prices"), by_run) == [
        "memory_limit is from the run's conf.",
        "To give it more, trigger the DAG with another conf:",
        """airflow dags trigger --conf '{"dagconfig": {"us_markets": {"memory_limit": "4Gi"}}}' 'house prices'""",
    ]


def test_a_row_that_was_deleted_is_brought_back() -> None:
    defaults = DagConfig.defaults(*JOB)
    deleted = entry({"memory_limit": "4Gi"}, None, reason=None)
    assert out_of_memory(past(deleted), defaults) == [
        "dba deleted the row 20 minutes ago, in which memory_limit was 4Gi.",
        "To bring the row back:",
        "airflow dagconfig rollback 17",
        *RAISE,
    ]
    assert out_of_memory(BACK, defaults)[0] == "memory_limit is the default: collection/us_markets has no row."


def test_a_command_goes_to_the_database_that_the_task_has() -> None:
    lines = out_of_memory(dataclasses.replace(past(lowered()), options=("--conn-id", "screener")))
    assert "airflow dagconfig rollback 17 --conn-id screener" in lines


def test_hostile_texts_are_told_in_their_line() -> None:
    hostile = "\x1b]0;x\x07\n[red]"
    found = entry({"memory_limit": hostile}, {"memory_limit": "2Gi"}, changed_by=hostile, reason=hostile)
    lines = out_of_memory(past(found))
    assert lines[0].startswith(r"\x1b]0;x\x07\n[red] changed memory_limit from \x1b]0;x\x07\n[red] to 2Gi")
    assert all(line.isprintable() for line in lines)


def test_a_deadline_names_who_lowered_it_below_the_jobs_last_lines() -> None:
    found = entry({"timeout_seconds": 1800}, {"timeout_seconds": 600})
    pod = {"metadata": {"name": "collect"}, "spec": {"activeDeadlineSeconds": 600}}
    back = dataclasses.replace(BACK, pasts={"timeout_seconds": Past(found)})
    text = explain(Outcome(End.DEADLINE_EXCEEDED, "DeadlineExceeded"), pod, CONFIG, ["at asset 400"], back=back)
    assert text.splitlines()[1:] == [
        "The last lines of its log:",
        "  at asset 400",
        "dba changed timeout_seconds from 1800 to 600 20 minutes ago (version 5: smaller nodes).",
        *ROLLBACK,
        RAISE[0],
        "SELECT financial_screener.update_dag_config('collection', 'us_markets', p_timeout_seconds => 1200);",
    ]


def test_a_limit_range_names_who_went_beyond_it() -> None:
    sentence = 'pods "collect" is forbidden: maximum memory usage per Container is 1536Mi, but limit is 2Gi'
    told = limit_range_remedy(sentence, CONFIG, past(lowered(old="1536Mi"))).splitlines()
    assert told[1] == "dba changed memory_limit from 1536Mi to 2Gi 20 minutes ago (version 5: smaller nodes)."
    assert told[2:4] == ROLLBACK
    assert "p_memory_limit => '1536Mi');" in told[-1]

    too_much_before = limit_range_remedy(sentence, CONFIG, past(lowered(old="1792Mi")))
    assert "rollback" not in too_much_before


QUOTA = 'pods "collect" is forbidden: exceeded quota: compute, requested: {}, used: {}, limited: {}'


def test_a_quota_that_is_used_up_names_who_asked_for_more() -> None:
    sentence = QUOTA.format("limits.memory=2Gi,pods=1", "limits.memory=7Gi,pods=3", "limits.memory=8Gi,pods=9")
    assert quota_remedy(sentence, CONFIG, past(lowered(old="1Gi"))).splitlines() == [
        ". It asks for memory_limit = 2Gi of collection/us_markets (financial_screener.dag_configuration, row 1).",
        "dba changed memory_limit from 1Gi to 2Gi 20 minutes ago (version 5: smaller nodes).",
        *ROLLBACK,
    ]


def test_what_is_more_than_the_whole_quota_is_lowered_with_its_request() -> None:
    sentence = QUOTA.format("limits.memory=2Gi", "limits.memory=0", "limits.memory=512Mi")
    told = quota_remedy(sentence, CONFIG).splitlines()
    assert told[0].endswith(", and the whole quota is 512Mi: it never fits.")
    assert [line.rpartition(", ")[2] for line in told[2:]] == ["p_memory_request => '512Mi');", "p_memory_limit => '512Mi');"]


@pytest.mark.parametrize(
    "sentence",
    [
        QUOTA.format("limits.memory=3Gi", "limits.memory=7Gi", "limits.memory=8Gi"),
        QUOTA.format("pods=1", "pods=9", "pods=9"),
        "status unknown for quota: compute",
        "failed quota: compute: must specify limits.cpu",
    ],
    ids=["another-containers", "pods", "new", "must-specify"],
)
def test_a_quota_of_other_values_names_no_value_of_the_row(sentence: str) -> None:
    assert quota_remedy(sentence, CONFIG) == ""
