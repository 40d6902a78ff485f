"""The database roles that may read and change the configuration, under the names that this installation uses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from psycopg import sql


@dataclass(frozen=True)
class Roles:
    """The names of the two roles; SQL reads them without quotes."""

    reader: str = "dagconfig_reader"
    editor: str = "dagconfig_editor"


ROLES_SOURCE = sql.SQL("""
    SELECT p.prosrc AS source
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = %(schema)s AND p.proname = 'dagconfig_roles' AND p.pronargs = 0
""")
"""Query for the source of the function with the names. Any user may read it, even one without rights in the schema."""


def roles_of(source: Any) -> Roles:
    """
    Return the names in the function's source.

    :param source: the result of :data:`ROLES_SOURCE`; None where the function does not exist, and the names are the defaults.
    """
    names = re.findall(r"'(\w+)'", source or "")
    return Roles(*names) if len(names) == 2 else Roles()
