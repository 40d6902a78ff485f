"""The YAML file of `export`: whatever a row holds comes back from it, and nothing of it reaches a terminal raw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from plugins.command_line import Answer

from airflow_provider_dagconfig.cli.document import Document, read_document, write_document

Run = Callable[..., Answer]
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
odd = st.text(st.sampled_from("\x01\t\n\r\x1b\x7f\x85\xa0\xad\u200b\u202e\u2028\u2029\ufeff\U000e0001 '\":#-{}[]&*!|>%@`\\ü日"))
texts = odd | st.text(characters) | st.sampled_from(["null", "~", "no", "1e3", "14:30", "2026-11-24", "<<", "=", "x" * 1000])
names = texts.filter(bool)


@given(
    dag=names, job=names, group=names, description=texts, exchanges=st.lists(st.from_regex(r"[\w.-]+", fullmatch=True), min_size=1)
)
def test_every_text_comes_back_and_none_is_raw(dag: str, job: str, group: str, description: str, exchanges: list[str]) -> None:
    document = Document(
        jobs={(dag, job): {"description": description, "memory_limit": "4Gi"}},
        groups={group: {"display_name": f"x{description}", "exchanges": exchanges, "description": description}},
    )

    text = write_document(document)

    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    again = read_document(text, "the export")
    assert (again.jobs, again.groups) == (
        {(dag, job): {"memory_limit": "4Gi", "description": description}},
        {group: {"display_name": f"x{description}", "exchanges": exchanges, "description": description}},
    )


def test_a_description_that_is_none_is_none_again_by_an_export(store_cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    for words in (["set", "calculate_indicators"], ["groups", "set", "lse"]):
        store_cli(*words, "description=")
    assert store_cli("export", str(file)).code == 0
    for words in (["set", "calculate_indicators"], ["groups", "set", "lse"]):
        store_cli(*words, "description=made since")

    assert store_cli("apply", str(file), "--yes").code == 0

    assert "made since" not in store_cli("export").out
    assert store_cli("apply", str(file)).out == "Nothing to do: the database is as the file says.\n"
