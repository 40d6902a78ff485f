"""
The checksums of files that builds before the first release applied. They identify databases of such builds, to bring them over.

The files were reordered once, before the release. Since then migrations are only added, and this list does not grow.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from airflow_provider_dagconfig.models import quoted_schema

_CHECKSUMS = {
    "009_rules.sql": (
        "98715d1b798bcc87",
        "6dee11fe6c0712be",
        "f2f76dc3401bfc8a",
    ),
    "010_audit.sql": (
        "3bcdb45ceac17494",
        "db77af1e258d673d",
        "541cf7fc34353c40",
        "20b61497b42c8a76",
    ),
    "011_changes.sql": ("445c18e5f8224aa7",),
    "012_overrides.sql": (
        "b7aefdd9e7f817f2",
        "4c762abc48a41902",
        "ee0448dae3969a11",
    ),
    "013_reversal.sql": (
        "420f6ba94954ffd1",
        "62bc523b8fc40b5e",
    ),
    "014_roles.sql": (
        "32d18381562934f1",
        "f150ca2579f5f696",
        "f3eedb707caf4826",
        "a79d1eafca682c76",
    ),
    "015_adopted_audit.sql": ("5942e21b55ec304a",),
    "011_audit.sql": ("4db5de90fef97302",),
    "012_changes.sql": ("60ae051daba6cb2d",),
    "014_reversal.sql": ("d13d8f5e4dc2b465",),
    "015_roles.sql": ("55881701d1112849",),
    "016_ceilings.sql": ("846d82ee1ff63da4",),
    "016_readable.sql": ("0f94e956d60645fe",),
    "017_installation.sql": ("fee641aa4e16cae4",),
}
"""File to the first 16 digits of the SHA-256 that it had in one build after another, without that of today's file."""


def is_of_earlier_build(file: str, checksum: str) -> bool:
    """
    Return whether an earlier build applied this file.

    :param file: the recorded name: ``009_rules.sql``.
    :param checksum: its recorded SHA-256.
    """
    return checksum[:16] in _CHECKSUMS.get(file, ())


# Today's files do not replace these when they are applied over an earlier build.
_DROP_OBSOLETE_OBJECTS = sql.SQL("""
    DO $$
    BEGIN
        DROP FUNCTION IF EXISTS {schema}.dagconfig_restore_job(jsonb, text[]);
        DROP FUNCTION IF EXISTS {schema}.dagconfig_restore_group(jsonb, text[]);
        DROP FUNCTION IF EXISTS {schema}.grant_roles();

        -- It was written with a backslash.
        IF pg_catalog.to_regclass({overrides}) IS NOT NULL THEN
            ALTER TABLE {schema}.dag_configuration_overrides
            DROP CONSTRAINT IF EXISTS override_has_a_reason,
            ADD CONSTRAINT override_has_a_reason CHECK (reason ~ '[^[:space:]]');
        END IF;

        -- What they held names and exchanges to is a part of other rules now.
        ALTER TABLE {schema}.dag_configuration
        DROP CONSTRAINT IF EXISTS rule_dag_name_characters,
        DROP CONSTRAINT IF EXISTS rule_job_name_characters;
        ALTER TABLE {schema}.exchange_groups
        DROP CONSTRAINT IF EXISTS rule_group_name_characters,
        DROP CONSTRAINT IF EXISTS rule_display_name_characters,
        DROP CONSTRAINT IF EXISTS rule_exchanges_characters;

        -- Before there was an index for it, two changes at the same time may have taken one version: the first keeps it.
        IF pg_catalog.to_regclass({versions}) IS NULL THEN
            UPDATE {schema}.dag_configuration_audit AS later SET row_version = NULL
            FROM {schema}.dag_configuration_audit AS a
            WHERE
                a.audit_id < later.audit_id AND a.table_name = later.table_name AND a.row_version = later.row_version
                AND coalesce(a.group_name, a.dag_name) = coalesce(later.group_name, later.dag_name)
                AND coalesce(a.job_name, '') = coalesce(later.job_name, '');
        END IF;
    EXCEPTION
        -- From before there were versions, and overrides.
        WHEN undefined_column THEN NULL;
    END
    $$
""")


def drop_obsolete_objects(connection: psycopg.Connection[Any], schema: str) -> None:
    """Drop or change what an earlier build made and today's files do not replace."""
    name = quoted_schema(schema)
    connection.execute(
        _DROP_OBSOLETE_OBJECTS.format(
            schema=sql.Identifier(schema),
            overrides=sql.Literal(f"{name}.dag_configuration_overrides"),
            versions=sql.Literal(f"{name}.dag_configuration_audit_version"),
        )
    )
