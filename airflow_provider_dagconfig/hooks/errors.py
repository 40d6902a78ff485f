"""The store's errors as Airflow's: an except clause for either class catches them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_dagconfig import exceptions
from airflow_provider_dagconfig.exceptions import DagConfigError


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Raise an error of the store as one that is an AirflowException too, with the same class name, message and attributes."""
    try:
        yield
    except AirflowException:
        raise
    except DagConfigError as error:
        mapped = _AIRFLOW_CLASSES[type(error)](*error.args)
        vars(mapped).update(vars(error))
        raise mapped from error.__cause__


_AIRFLOW_CLASSES: dict[type[DagConfigError], type[DagConfigError]] = {
    error: type(error.__name__, (error, AirflowException), {"__doc__": error.__doc__, "__module__": error.__module__})
    for error in vars(exceptions).values()
    if isinstance(error, type) and issubclass(error, DagConfigError)
}
