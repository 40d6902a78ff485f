from __future__ import annotations

import math
import re
import string

import pytest
from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
from hypothesis import example, given
from hypothesis import strategies as st
from plugins.airflow_ids import keys, run_ids, task_instances

from airflow_provider_dagconfig.kubectl import names

RFC_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


def is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def words_in(name: str) -> str:
    """The name without the digest at its end."""
    return name.rpartition("-")[0]


@given(task_instances, st.none() | st.text(max_size=250))
def test_a_pods_name_is_an_rfc_1123_label_for_every_id_that_airflow_accepts(ids, name):
    pod = names.pod_name(*ids, name=name)
    assert RFC_1123_LABEL.fullmatch(pod)
    assert len(pod) <= 63


@given(task_instances)
def test_a_pods_name_starts_like_its_task(ids):
    task = names.slug(ids[2])
    assert names.pod_name(*ids).startswith(task[:12].rstrip("-"))


@given(task_instances, keys)
def test_a_pods_name_starts_like_the_name_it_was_given(ids, name):
    word = names.slug(name)
    assert names.pod_name(*ids, name=name).startswith(word[:12].rstrip("-"))


@given(task_instances)
def test_a_pods_name_holds_the_beginning_of_its_dags_id(ids):
    dag = names.slug(ids[0])
    assert dag[:12].rstrip("-") in words_in(names.pod_name(*ids))


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        pytest.param(("etl", "weekly", "load", -1), "load-etl-weekly", id="short ones stay whole"),
        pytest.param(("etl", "weekly", "load", 3), "load-etl-weekly-3", id="the map index of a mapped one"),
        pytest.param(("etl", "weekly", "load", None), "load-etl-weekly", id="None is not mapped"),
        pytest.param(
            ("etl", "scheduled__2025-10-28T21:30:00+00:00", "load", -1),
            "load-etl-20251028t213000",
            id="a run by its date",
        ),
        pytest.param(("Größe", "été", "us_markets.collect", -1), "us-markets-collect-gro-e-ete", id="accents and case"),
        pytest.param(("dag", "run", "數據", -1), "dag-run", id="a task without a latin letter"),
        pytest.param(("_", "~", "數據", -1), "pod", id="ids without a latin letter"),
        pytest.param(("_", "~", "_", 0), "pod-0", id="ids without a latin letter, mapped"),
        pytest.param(
            ("data_collection_equities", "scheduled__2025-10-28T21:30:00+00:00", "collect", 2),
            "collect-data-collection-equities-20251028t213000-2",
            id="the reference's",
        ),
    ],
)
def test_a_pods_name_is_made_of_words_of_its_ids(ids, words):
    assert words_in(names.pod_name(*ids)) == words


@given(st.lists(task_instances, unique=True, min_size=2, max_size=20))
def test_names_differ_where_ids_differ(all_ids):
    assert len({names.pod_name(*ids) for ids in all_ids}) == len(all_ids)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("a", "b-c", "d", -1), ("a", "b", "c-d", -1), id="where one ends and the next begins"),
        pytest.param(("a", "b", "c", 1), ("a", "b", "c-1", -1), id="a map index or a task's end"),
        pytest.param(("a", "b", "c", -1), ("a", "b", "c", 0), id="not mapped or mapped first"),
        pytest.param(("dag", "run", "Task", -1), ("dag", "run", "task", -1), id="case"),
        pytest.param(("dag", "run", "a_b", -1), ("dag", "run", "a.b", -1), id="punctuation"),
        pytest.param(("dag", "run", "é", -1), ("dag", "run", "e\N{COMBINING ACUTE ACCENT}", -1), id="normalization"),
        pytest.param(("dag", "run", "t" * 249 + "a", -1), ("dag", "run", "t" * 249 + "b", -1), id="the last character"),
        pytest.param(("a", "\U0001f600", "t", -1), ("a", "\ud83d\ude00", "t", -1), id="a character or its surrogates"),
        pytest.param(('a","b', "c", "d", -1), ("a", 'b","c', "d", -1), id="quotes"),
    ],
)
def test_names_differ_however_alike_ids_look(one, other):
    assert names.pod_name(*one) != names.pod_name(*other)


@given(task_instances, st.lists(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True), unique=True, min_size=2))
def test_names_differ_where_installations_differ_and_only_in_the_digest(ids, installations):
    pods = [names.pod_name(*ids, installation=installation) for installation in (None, *installations)]
    assert len(set(pods)) == len(pods)
    assert len({words_in(pod) for pod in pods}) == 1
    assert all(RFC_1123_LABEL.fullmatch(pod) and len(pod) <= 63 for pod in pods)


def test_an_installation_is_not_taken_for_an_id():
    assert names.digest("a", "b", "c", "d", -1) == names.pod_name("b", "c", "d", installation="a").rpartition("-")[2]
    assert names.pod_name("b", "c", "d", installation="a") != names.pod_name("a", "b", "c")


def test_the_digest_has_more_than_fifty_bits():
    assert names._DIGEST_LENGTH * math.log2(len(set(names._DIGEST_ALPHABET))) > 50
    digests = [names.digest("dag", str(number)) for number in range(2000)]
    assert {letter for text in digests for letter in text} == set(names._DIGEST_ALPHABET)


def test_workers_with_another_release_find_the_pod_that_runs():
    """The name must stay what it is for as long as pods run: this one may only change with a note in the changelog."""
    ids = ("data_collection_equities", "scheduled__2025-10-28T21:30:00+00:00", "us_markets.collect", 0)
    assert names.pod_name(*ids) == "us-markets-colle-data-collection-20251028t213000-0-clvbv4f7qt54"


@given(run_ids | keys)
@example("")
@example("-" * 63)
@example("a" * 63)
@example("a" * 64)
@example("a" + "." * 63 + "b")
def test_a_labels_value_is_valid_whatever_the_text(text):
    value = names.label_value(text)
    assert LABEL_VALUE.fullmatch(value)
    assert len(value) <= 63
    assert names.is_label_value(value)


@given(st.from_regex(LABEL_VALUE, fullmatch=True, alphabet=string.printable).filter(lambda text: len(text) <= 63))
def test_a_valid_text_is_its_own_labels_value(text):
    assert names.label_value(text) == text


@given(st.lists(run_ids, unique=True, min_size=2, max_size=20))
def test_labels_differ_where_texts_differ(texts):
    assert len({names.label_value(text) for text in texts}) == len(texts)


@given((run_ids | keys).filter(is_utf8))
def test_selectors_written_for_kubernetes_pod_operator_find_our_pods(text):
    theirs = make_safe_label_value(text)
    if LABEL_VALUE.fullmatch(theirs):
        assert names.label_value(text) == theirs


@pytest.mark.parametrize(
    ("key", "valid"),
    [
        ("app", True),
        ("App.kubernetes_io-name", True),
        ("app.kubernetes.io/name", True),
        ("a" * 63, True),
        ("a" * 64, False),
        (f"{'a.' * 126}a/{'a' * 63}", True),
        (f"{'a.' * 127}a/name", False),
        ("", False),
        ("/name", False),
        ("example.com/", False),
        ("Example.com/name", False),
        ("a/b/c", False),
        ("-app", False),
        ("app-", False),
        ("two words", False),
        ("app\n", False),
        ("größe", False),
    ],
)
def test_a_labels_key_is_a_qualified_name(key, valid):
    assert names.is_qualified_name(key) is valid
