"""
The texts among the rendered parameters. In a DAG with ``render_template_as_native_obj=True`` what a process, a label or an image's
name gets stays as it is written; and the values of variables that are secret by their names are hidden.

There a template's result is read as Python: the text ``1.10`` becomes the number 1.1, ``1e3`` 1000.0, ``1,2`` a tuple, and ``'x'``
loses its quotes. That is meant where a structure is wanted (a dict of ``env_vars``, a list of ``arguments``, a volume), and never
where only a text will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import redact
from airflow.sdk.log import mask_secret

if TYPE_CHECKING:
    import jinja2

TEXTS = frozenset(
    {
        *("job_name", "dag_name", "exchange_group", "postgres_conn_id", "config_schema", "kubernetes_conn_id", "config_file"),
        *("cluster_context", "namespace", "image", "name", "hostname", "base_container_name"),
    }
)
"""The operator's parameters that are texts."""

OF_TEXTS = frozenset({"cmds", "arguments", "env_vars", "configmaps", "labels", "annotations", "node_selector"})
"""Those that hold texts; one that is a template as a whole gives the structure."""


def as_written(parameter: str, given: Any, rendered: Any, environment: jinja2.Environment, context: Mapping[str, Any]) -> Any:
    """
    Give a parameter with its texts as they are written.

    :param given: as the DAG's file has it.
    :param rendered: what became of it natively.
    :param environment: the DAG's, in which a text is rendered again, as in other DAGs.
    :param context: the task's.
    """

    def render(text: str) -> str:
        template = environment.from_string(text)
        return "".join(map(str, template.root_render_func(template.new_context({**context}))))

    if parameter in TEXTS:
        return _text(given, rendered, render)
    if parameter not in OF_TEXTS or isinstance(given, str):
        return rendered
    if parameter == "env_vars" and isinstance(given, list | tuple):
        return [_entry(*pair, render) for pair in zip(given, rendered, strict=True)]
    return _texts_in(given, rendered, render)


def _text(given: Any, rendered: Any, render: Callable[[str], str]) -> Any:
    """None stays: the template gave no value."""
    return render(given) if isinstance(given, str) and rendered is not None else rendered


def _texts_in(given: Any, rendered: Any, render: Callable[[str], str]) -> Any:
    if isinstance(given, Mapping) and isinstance(rendered, Mapping):
        return {key: _text(given[key], value, render) for key, value in rendered.items()}
    if isinstance(given, list | tuple) and isinstance(rendered, list | tuple):
        return [_text(*pair, render) for pair in zip(given, rendered, strict=True)]
    return rendered


def _entry(given: Any, rendered: Any, render: Callable[[str], str]) -> Any:
    """An entry of a list of variables. What its ``valueFrom`` holds is no text everywhere."""
    if not (isinstance(given, Mapping) and isinstance(rendered, Mapping)):
        return rendered
    texts = {key: _text(given[key], rendered[key], render) for key in ("name", "value") if key in given}
    return {**rendered, **texts}


def mask_listed_variables(env_vars: Any) -> None:
    """Let Airflow hide the values of a list that it would hide in a dict, by their names, in the Rendered tab and in logs."""
    for entry in env_vars if isinstance(env_vars, list | tuple) else ():
        value, name = (entry.get("value"), str(entry.get("name"))) if isinstance(entry, Mapping) else (None, "")
        # Only those: Airflow warns of a short text that it is asked to mask, whatever its name is.
        if isinstance(value, str) and redact(value, name) != value:
            mask_secret(value, name)
