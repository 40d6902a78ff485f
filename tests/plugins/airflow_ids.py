"""Hypothesis strategies for the ids of a task instance in Airflow. Not a pytest plugin: it is imported."""

from __future__ import annotations

import re

from airflow.sdk.definitions._internal.node import validate_key
from hypothesis import strategies as st


def _is_key(text: str) -> bool:
    try:
        validate_key(text)
    except ValueError:
        return False
    return True


def _examples(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


_WORD_CHARACTERS = st.characters(exclude_categories=("Cs",)).filter(lambda c: re.fullmatch(r"[\w.-]", c) is not None)

keys = (
    st.text(st.sampled_from("abzAZ019_.-"), min_size=1, max_size=250)
    | st.text(_WORD_CHARACTERS, min_size=1, max_size=250)
    | _examples("_", "-", ".", "___", "a" * 250, "é" * 250, "數據", "us_markets.collect", "a\n", "ﷺ" * 250, "Straße")
).filter(_is_key)
"""Dag and task ids: all that Airflow's validate_key accepts."""

run_ids = (
    st.from_regex(r"[A-Za-z0-9_.~:+-]{1,250}", fullmatch=True)
    | st.datetimes().map(lambda moment: f"scheduled__{moment.isoformat()}+00:00")
    | st.datetimes().map(lambda moment: f"manual__{moment.isoformat()}+00:00_Zz9")
    | st.text(min_size=1, max_size=250)
    | _examples("~", "::", "run of\tMonday/1", "\x00", "a\n", "\udce9t\udce9", "\N{PILE OF POO}" * 250)
)
"""Run ids: the default of [scheduler] allowed_run_id_pattern, Airflow's own ids, and others that a setting may allow."""

map_indexes = st.just(-1) | st.integers(min_value=0, max_value=2**31 - 1)

task_instances = st.tuples(keys, run_ids, keys, map_indexes)
"""(dag_id, run_id, task_id, map_index)"""
