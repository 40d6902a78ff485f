"""Texts in a DAG that renders natively: they stay texts where a parameter takes only texts."""

from __future__ import annotations

from typing import Any

import pytest
from plugins.postgres import Database

from airflow_provider_dagconfig.operators.kubectl_run import ConfiguredKubectlRunOperator
from airflow_provider_dagconfig.operators.texts import OF_TEXTS, TEXTS

LIKE_PYTHON = ["007", "1e3", "1.10", "1_000", "0x1F", "+5", "1,2", "'quoted'", "True", "[1, 2]"]
"""Each is another value to Python than the text, or no text at all."""


def rendered(native: bool = True, **arguments: Any) -> ConfiguredKubectlRunOperator:
    from airflow.sdk import DAG

    dag = DAG("data_collection_equities", render_template_as_native_obj=native)
    given = {"image": "busybox:latest", "job_name": "us_markets", **arguments}
    operator = ConfiguredKubectlRunOperator(dag=dag, task_id="collect", **given)
    context: Any = {"task": operator, "params": {"text": "1e3", "number": 7, "none": None, "dict": {"A": "1e3"}}}
    operator.render_template_fields(context)
    return operator


@pytest.fixture(autouse=True)
def _store(store: Database) -> None: ...


@pytest.mark.parametrize("native", [True, False])
def test_what_looks_like_a_python_value_stays_the_text_that_it_is(native: bool) -> None:
    templates = [f"{{{{ {text!r} }}}}" for text in LIKE_PYTHON]
    written = LIKE_PYTHON + LIKE_PYTHON
    operator = rendered(
        native,
        arguments=LIKE_PYTHON + templates,
        env_vars={f"V{number}": text for number, text in enumerate(LIKE_PYTHON + templates)},
        labels={"version": "1.10", "build": "{{ '1e3' }}"},
        image="{{ '1.10' }}",
    )
    assert operator.arguments == written
    assert list(operator.env_vars.values()) == written
    assert operator.labels == {"version": "1.10", "build": "1e3"}
    assert operator.image == "1.10"


def test_a_number_in_a_list_of_variables_stays_as_written_and_a_switch_beside_it_a_switch() -> None:
    key = {"name": "s", "key": "k", "optional": "{{ True }}"}
    operator = rendered(env_vars=[{"name": "A", "value": "{{ params.text }}"}, {"name": "B", "valueFrom": {"secretKeyRef": key}}])
    assert operator.env_vars[0] == {"name": "A", "value": "1e3"}
    assert operator.env_vars[1]["valueFrom"]["secretKeyRef"]["optional"] is True


def test_a_template_can_return_the_whole_structure() -> None:
    """The remedy that the error of a text in env_vars names."""
    operator = rendered(env_vars="{{ params.dict }}", arguments="{{ ['-n', params.text] }}")
    assert operator.env_vars == {"A": "1e3"}
    assert operator.arguments == ["-n", "1e3"]


def test_a_parameter_that_a_template_leaves_empty_is_none_and_not_its_name() -> None:
    operator = rendered(namespace="{{ params.none }}", env_vars={"A": "{{ params.none }}"})
    assert operator.namespace is None
    assert operator.env_vars == {"A": None}


def test_what_is_no_text_anywhere_is_read_as_python() -> None:
    operator = rendered(volumes=[{"name": "v", "configMap": {"name": "c", "defaultMode": "{{ 420 }}"}}])
    assert operator.volumes[0]["configMap"]["defaultMode"] == 420


def test_a_row_is_chosen_by_the_text() -> None:
    assert rendered(job_name="{{ '1e3' }}").job_name == "1e3"


def test_each_templated_parameter_is_known_to_hold_texts_or_structures() -> None:
    structures = {"dag_config", "env_from", "volumes", "volume_mounts"}
    assert set(ConfiguredKubectlRunOperator.template_fields) == TEXTS | OF_TEXTS | structures
