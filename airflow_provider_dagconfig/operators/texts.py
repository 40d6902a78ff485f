"""
Keeps texts as they are written in a DAG with ``render_template_as_native_obj=True``, and masks variables with secret names.

In such a DAG a template's result is read as Python: the text ``1.10`` becomes the number 1.1, ``1e3`` becomes 1000.0, ``1,2``
becomes a tuple, and ``'x'`` loses its quotes. That is intended for a structure (a dict of ``env_vars``, a list of ``arguments``, a
volume), but never for a process, a label or an image's name, which need a text.
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
"""The operator's parameters that contain texts. If one is a template as a whole, the template makes the structure."""


def as_written(parameter: str, unrendered: Any, rendered: Any, environment: jinja2.Environment, context: Mapping[str, Any]) -> Any:
    """
    Return a parameter with its texts as they are written.

    :param unrendered: the value in the DAG file.
    :param rendered: the value after native rendering.
    :param environment: the DAG's; a text is rendered again in it, as in other DAGs.
    :param context: the task's.
    """

    def render(text: str) -> str:
        template = environment.from_string(text)
        return "".join(map(str, template.root_render_func(template.new_context({**context}))))

    if parameter in TEXTS:
        return _render_text(unrendered, rendered, render)
    if parameter not in OF_TEXTS or isinstance(unrendered, str):
        return rendered
    if parameter == "env_vars" and isinstance(unrendered, list | tuple):
        return [_render_entry(*pair, render) for pair in zip(unrendered, rendered, strict=True)]
    return _render_texts(unrendered, rendered, render)


def _render_text(unrendered: Any, rendered: Any, render: Callable[[str], str]) -> Any:
    """Return a text rendered as a text. None stays: the template gave no value."""
    return render(unrendered) if isinstance(unrendered, str) and rendered is not None else rendered


def _render_texts(unrendered: Any, rendered: Any, render: Callable[[str], str]) -> Any:
    if isinstance(unrendered, Mapping) and isinstance(rendered, Mapping):
        return {key: _render_text(unrendered[key], value, render) for key, value in rendered.items()}
    if isinstance(unrendered, list | tuple) and isinstance(rendered, list | tuple):
        return [_render_text(*pair, render) for pair in zip(unrendered, rendered, strict=True)]
    return rendered


def _render_entry(unrendered: Any, rendered: Any, render: Callable[[str], str]) -> Any:
    """Return an entry of a list of variables. Only its name and value must be texts, not all that ``valueFrom`` contains."""
    if not (isinstance(unrendered, Mapping) and isinstance(rendered, Mapping)):
        return rendered
    texts = {key: _render_text(unrendered[key], rendered[key], render) for key in ("name", "value") if key in unrendered}
    return {**rendered, **texts}


def mask_listed_variables(env_vars: Any) -> None:
    """Let Airflow mask values of a list that it would mask in a dict because of their names, in the Rendered tab and in logs."""
    for entry in env_vars if isinstance(env_vars, list | tuple) else ():
        value, name = (entry.get("value"), str(entry.get("name"))) if isinstance(entry, Mapping) else (None, "")
        # Only those: Airflow logs a warning for each short text that it is asked to mask.
        if isinstance(value, str) and redact(value, name) != value:
            mask_secret(value, name)
