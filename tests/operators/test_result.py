"""The file that a container wrote for XCom, and the value that the task returns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_dagconfig.operators.result import read_result


@pytest.mark.parametrize("text", [None, "", " ", "\n", "\t\r\n"])
def test_nothing_and_blanks_are_no_result(text: str | None) -> None:
    assert read_result(text) is None


@pytest.mark.parametrize("value", [{"rows": 7, "by": ["lse", None, 1.5]}, 0, "", False, "Zürich", []], ids=repr)
def test_json_comes_as_it_is(value: Any) -> None:
    assert read_result(f"{json.dumps(value)}\n") == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("[NaN]", "NaN or an infinite number", id="nan"),
        pytest.param('{"a": -Infinity}', "NaN or an infinite number", id="infinity"),
        pytest.param("1e999", "NaN or an infinite number", id="larger-than-a-float"),
        pytest.param("[" * 101 + "[]" + "]" * 101, "more than 100 lists or dicts", id="deep"),
        pytest.param("[" * 2048 + "]" * 2048, "more than 100 lists or dicts", id="deepest"),
        pytest.param(r'["a\u0000"]', "has a NUL", id="nul"),
        pytest.param(r'{"a\u0000": 1}', "has a NUL", id="nul-in-a-key"),
        pytest.param(r'"\ud800"', "half a character", id="half-a-character"),
    ],
)
def test_json_that_airflow_cannot_store_is_refused(text: str, says: str) -> None:
    with pytest.raises(AirflowException, match=r"do_xcom_push: .*so Airflow can't store it") as refusal:
        read_result(text)
    assert says in str(refusal.value)


def test_what_was_cut_is_said_to_be_cut() -> None:
    with pytest.raises(AirflowException, match=r"\(it was cut after 4096 bytes\).* At most 4,096 bytes get through"):
        read_result('"' + "x" * 4095)


def test_what_was_not_cut_is_not_said_to_be() -> None:
    with pytest.raises(AirflowException, match="is no JSON: ") as refusal:
        read_result("{'rows': 7}")
    assert "cut" not in str(refusal.value)
