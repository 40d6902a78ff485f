"""
The present schema, as SQL by subject: of any database, to compare it with another; of a new one, for migrations/schema/.

Tables, columns, defaults, constraints, indexes, triggers, functions, views, comments and privileges are read from the catalogs.
The files, run in the order of their names in an empty database, create the schema again; they contain no rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from plugins.postgres import Database, new_database, running_server
from psycopg.rows import dict_row

from airflow_provider_dagconfig.store.migrate import migrate

FOLDER = Path(__file__).parents[2] / "migrations" / "schema"
SCHEMA = "financial_screener"
POSTGRES = 16
"""The major version whose catalogs the files are made from; other versions write some expressions differently."""

SUBJECTS = {
    "1_jobs": ["dag_configuration", "dagconfig_defaults", "update_dag_config", "delete_dag_config"],
    "2_groups": ["exchange_groups", "get_exchange_groups", "update_exchange_group", "delete_exchange_group"],
    "3_overrides": [
        *("dag_configuration_overrides", "dag_configuration_override_periods", "effective_dag_config", "get_dag_config"),
        *("dagconfig_validate_overrides", "dagconfig_touch", "override_dag_config", "end_override"),
    ],
    "4_ceilings": [
        *("dagconfig_ceilings", "dagconfig_ceilings_guard", "dagconfig_stamp_ceiling", "dagconfig_check_ceiling", "set_ceiling"),
        *("remove_ceiling", "dagconfig_hold_to_ceilings", "ceiling_violations"),
    ],
    "5_audit": [
        *("dag_configuration_audit", "dagconfig_changed_columns", "dagconfig_author", "dagconfig_write_audit"),
        *("audit_dag_configuration", "dagconfig_stamp", "dagconfig_set_author", "dagconfig_expect_version", "dagconfig_row_at"),
        *("dag_config_at", "exchange_group_at"),
    ],
    "6_reversal": ["dagconfig_restore", "rollback_change", "rollback_dag_config"],
    "7_rules": [
        *("quantity_value", "dagconfig_is_name", "dagconfig_is_exchange_list", "dagconfig_rules", "dagconfig_broken_rules"),
        *("dagconfig_validate", "dagconfig_keeps_rules", "dagconfig_make_keeps_rules", "rule_violations", "enforce_rules"),
    ],
    "8_roles": [
        *("dagconfig_functions", "dagconfig_sequences", "dagconfig_readable", "dagconfig_grant_functions", "dagconfig_roles"),
        *("dagconfig_name_roles", "dagconfig_revoke", "grant_roles"),
    ],
    "9_installation": ["dagconfig_installation", "dagconfig_comments"],
}
"""File to its objects. A constraint that is a rule is in the file of the rules, a trigger in that of its function."""

_RELATIONS = """
    SELECT c.oid, c.relname AS name, c.relkind AS kind, c.reloptions AS options, obj_description(c.oid, 'pg_class') AS comment,
        CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid, true) END AS definition
    FROM pg_class AS c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'v') ORDER BY c.relname
"""
_COLUMNS = """
    SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS is_required,
        a.attidentity AS identity, pg_get_expr(d.adbin, d.adrelid) AS value, col_description(a.attrelid, a.attnum) AS comment,
        pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) IS NOT NULL AND a.attidentity = '' AS is_serial
    FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_CONSTRAINTS = """
    SELECT conname AS name, conrelid::regclass::text AS relation, pg_get_constraintdef(oid) AS definition, convalidated AS valid
    FROM pg_constraint
    WHERE conrelid = %(oid)s AND contype <> 'n' AND starts_with(conname, 'rule_') = %(of_rules)s
    ORDER BY contype <> 'p', contype <> 'u', conname
"""
_INDEXES = """
    SELECT pg_get_indexdef(i.indexrelid) AS definition FROM pg_index AS i
    WHERE i.indrelid = %(oid)s AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid) ORDER BY 1
"""
_FUNCTIONS = """
    SELECT p.oid, p.proname AS name, p.oid::regprocedure::text AS signature, pg_get_functiondef(p.oid) AS definition,
        obj_description(p.oid, 'pg_proc') AS comment, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
    FROM pg_proc AS p WHERE p.pronamespace = %(schema)s::regnamespace ORDER BY p.proname, 3
"""
_TRIGGERS = """
    SELECT pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN '' ELSE ' -- ' || t.tgenabled::text END AS definition
    FROM pg_trigger AS t WHERE t.tgfoid = %(oid)s AND NOT t.tgisinternal ORDER BY t.tgrelid::regclass::text, t.tgname
"""
_GRANTS = """
    SELECT g.kind, g.name, a.grantee, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS privileges
    FROM (
        SELECT 'TABLE', c.oid::regclass::text, c.relacl, c.relowner FROM pg_class AS c WHERE c.oid = %(oid)s
        UNION ALL
        SELECT 'SEQUENCE', s.oid::regclass::text, s.relacl, s.relowner
        FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        WHERE d.refobjid = %(oid)s AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass
        UNION ALL
        SELECT 'FUNCTION', p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
        FROM pg_proc AS p WHERE p.oid = %(oid)s
        UNION ALL
        SELECT 'SCHEMA', n.nspname, n.nspacl, n.nspowner FROM pg_namespace AS n WHERE n.oid = %(oid)s
        UNION ALL
        SELECT 'COLUMN ' || t.attname, t.attrelid::regclass::text, t.attacl, c.relowner
        FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid WHERE c.oid = %(oid)s AND t.attacl IS NOT NULL
    ) AS g (kind, name, acl, owner)
    CROSS JOIN LATERAL (
        SELECT CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE e.grantee::regrole::text END, e.privilege_type
        FROM aclexplode(g.acl) AS e WHERE e.grantee <> g.owner
    ) AS a (grantee, privilege_type)
    GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3
"""
HEAD = """\
-- The schema as the migrations make it: {subject}. Written by `make schema` and checked by the tests; nothing applies it. The
-- reasons are in the migrations.
"""


class _Catalog:
    def __init__(self, database: Database, schema: str) -> None:
        self.connection = psycopg.connect(database.url, row_factory=dict_row)
        self.connection.execute("SELECT set_config('search_path', '', false)")
        self.schema = schema

    def ask(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        return self.connection.execute(query, {"schema": self.schema, **parameters}).fetchall()  # type: ignore[call-overload, no-any-return]

    def literal(self, text: str) -> str:
        return psycopg.sql.Literal(text).as_string(self.connection).strip()

    def said(self, kind: str, name: str, comment: str | None) -> list[str]:
        return [f"COMMENT ON {kind} {name} IS {self.literal(comment)};"] if comment is not None else []

    def grants(self, oid: int) -> list[str]:
        return [
            f"GRANT {row['privileges']} ON {row['kind']} {row['name']} TO {row['grantee']};" for row in self.ask(_GRANTS, oid=oid)
        ]

    def relation(self, row: dict[str, Any]) -> str:
        name, columns = f"{self.schema}.{row['name']}", self.ask(_COLUMNS, oid=row["oid"])
        if row["kind"] == "v":
            made = [f"CREATE VIEW {name} WITH ({', '.join(row['options'] or ())}) AS\n{row['definition']}"]
        else:
            parts = [_column(column) for column in columns]
            constraints = self.ask(_CONSTRAINTS, oid=row["oid"], of_rules=False)
            parts += [f"CONSTRAINT {each['name']} {each['definition']}" for each in constraints]
            made = [f"CREATE TABLE {name} (\n    " + ",\n    ".join(parts) + "\n);"]
            made += [f"{index['definition']};" for index in self.ask(_INDEXES, oid=row["oid"])]
        made += self.said("VIEW" if row["kind"] == "v" else "TABLE", name, row["comment"])
        for column in columns:
            made += self.said("COLUMN", f"{name}.{column['name']}", column["comment"])
        return "\n".join([*made, *self.grants(row["oid"])])

    def function(self, row: dict[str, Any]) -> str:
        triggers = [f"{trigger['definition']};" for trigger in self.ask(_TRIGGERS, oid=row["oid"])]
        # By default PUBLIC may call a new function.
        is_public = any(grant.endswith(" TO PUBLIC;") for grant in self.grants(row["oid"]))
        revoked = [] if is_public else [f"REVOKE ALL ON FUNCTION {row['signature']} FROM PUBLIC;"]
        said = self.said("FUNCTION", row["signature"], row["comment"])
        return "\n".join([f"{row['definition'].rstrip()};", *said, *revoked, *self.grants(row["oid"]), *triggers])

    def rules(self) -> str:
        lines = [
            f"ALTER TABLE {each['relation']} ADD CONSTRAINT {each['name']} {each['definition']};"
            for relation in self.ask(_RELATIONS)
            for each in self.ask(_CONSTRAINTS, oid=relation["oid"], of_rules=True)
        ]
        return "\n".join(["-- Made of the rules by enforce_rules().", *lines])


def _column(column: dict[str, Any]) -> str:
    if column["is_serial"]:
        return f"{column['name']} {'bigserial' if column['type'] == 'bigint' else 'serial'}"
    text = f"{column['name']} {column['type']}"
    if column["identity"]:
        return f"{text} GENERATED {'ALWAYS' if column['identity'] == 'a' else 'BY DEFAULT'} AS IDENTITY"
    if column["value"] is not None:
        text += f" DEFAULT {column['value']}"
    return f"{text} NOT NULL" if column["is_required"] else text


def described(database: Database, *, without: tuple[str, ...] = (), schema: str = SCHEMA) -> dict[str, str]:
    """Return each table, view and function by name, as the SQL that creates it; '' is the schema, rules the constraints."""
    catalog = _Catalog(database, schema)
    with catalog.connection:
        [namespace] = catalog.ask("SELECT oid FROM pg_namespace WHERE nspname = %(schema)s")
        parts = {"": "\n".join([f"CREATE SCHEMA {schema};", *catalog.grants(namespace["oid"])])}
        for relation in catalog.ask(_RELATIONS):
            parts[relation["name"]] = catalog.relation(relation)
        for function in catalog.ask(_FUNCTIONS):
            same_name = parts.get(function["name"])
            parts[function["name"]] = "\n".join(filter(None, [same_name, catalog.function(function)]))
        parts["rules"] = catalog.rules()
    return {name: text for name, text in parts.items() if name not in without}


def by_subject(parts: dict[str, str]) -> dict[str, str]:
    """Return the files of the present schema: name to text."""
    parts = dict(parts)
    files = {}
    for subject, names in SUBJECTS.items():
        texts = [parts.pop(name) for name in names]
        if subject == "1_jobs":
            texts.insert(0, parts.pop(""))
        if subject == "7_rules":
            texts.append(parts.pop("rules"))
        files[f"{subject}.sql"] = "\n\n".join([HEAD.format(subject=subject.partition("_")[2]).rstrip(), *texts]) + "\n"
    assert not parts, f"{', '.join(parts)}: say in SUBJECTS in which file it is"
    return files


def main() -> None:
    """Write the files."""
    with running_server(POSTGRES) as server, new_database(server) as database:
        migrate(database.url)
        files = by_subject(described(database, without=("dagconfig_migrations",)))
    FOLDER.mkdir(exist_ok=True)
    for former in FOLDER.glob("*.sql"):
        former.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
