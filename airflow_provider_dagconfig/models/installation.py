"""The id that separates the pods of one store from those of another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


class InstallationError(ValueError):
    """There is no usable id. The message says where to correct it."""


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

    def in_force(self, option: str | None) -> str:
        """
        Return the id for the pods: that of the option ``[dagconfig] installation``, otherwise the store's.

        :raises InstallationError: neither exists.
        """
        if option is not None:
            return option
        if self.installation_id is None:
            raise InstallationError(
                f"{self.table} has no row, so the store has no id for its pods. Its owner may run:"
                f" INSERT INTO {self.table} DEFAULT VALUES;"
            )
        return self.installation_id
