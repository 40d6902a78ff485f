"""The database's roles that may read the configuration, and change it, under the names that this installation has given them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from psycopg import sql


@dataclass(frozen=True)
class Roles:
    """Their names, which SQL reads without quotes."""

    reader: str = "dagconfig_reader"
    editor: str = "dagconfig_editor"


ROLES_SOURCE = sql.SQL("""
    SELECT p.prosrc AS source
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = %(schema)s AND p.proname = 'dagconfig_roles' AND p.pronargs = 0
""")
"""The text of the function that has the names: everybody may read it, and who may not use the schema needs to know them."""


def roles_of(source: Any) -> Roles:
    """
    Read the names in the function's text.

    :param source: what :data:`ROLES_SOURCE` gives; None where the function is not there, and the roles have their default names.
    """
    names = re.findall(r"'(\w+)'", source or "")
    return Roles(*names) if len(names) == 2 else Roles()
