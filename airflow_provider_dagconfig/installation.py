"""Which Airflow the pods are of, among those that share a namespace: the store's id, or what ``[dagconfig] installation`` says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow.providers.common.compat.sdk import conf

from airflow_provider_dagconfig.kubectl import names

MAX_LENGTH = 40


class InstallationError(ValueError):
    """There is no id that can be used. The message says where it is to be put right."""


@dataclass(frozen=True)
class Installation:
    """
    The id of the store.

    :param installation_id: None where the store's table has lost its row.
    :param created_at: when the id was made.
    :param table: the table's full name, for messages.
    """

    installation_id: str | None
    created_at: datetime | None
    table: str

    def in_force(self) -> str:
        """
        Give the id that goes into the pods: the option's, else the store's.

        :raises InstallationError: the option is no label, or there is neither.
        """
        option = configured_installation()
        if option is not None:
            return option
        if self.installation_id is None:
            raise InstallationError(
                f"{self.table} has no row, so the store has no id for its pods. Its owner may run:"
                f" INSERT INTO {self.table} DEFAULT VALUES;"
            )
        return self.installation_id


def configured_installation() -> str | None:
    """
    Give what ``[dagconfig] installation`` says; None where it is not set.

    :raises InstallationError: it is no label. Blank is none either: what was to tell two Airflows apart got lost.
    """
    # raw: a % is taken as it stands, and refused below; else Airflow's parser ends with a traceback.
    option: str | None = conf.get("dagconfig", "installation", fallback=None, raw=True)
    if option is None:
        return None
    if len(option.strip()) > MAX_LENGTH or not names.is_label(option.strip()):
        raise InstallationError(
            f"The option installation of [dagconfig] (AIRFLOW__DAGCONFIG__INSTALLATION) is {option[:100]!r}: write at most"
            f" {MAX_LENGTH} lower case letters, digits and '-', with a letter or digit at both ends, such as staging; or remove"
            " it, and the store's own id counts"
        )
    return option.strip()
