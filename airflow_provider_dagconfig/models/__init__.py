"""
The models of the configuration store's rows: quantities, a job's configuration, an exchange group, an override, a change.

All of them are frozen, and checked when they are made. They know neither Airflow nor the database: the store reads the rows, and
kubectl/manifest.py turns the values into a pod.

columns.py defines what a column is. config.py and exchange_group.py define the columns, each in one place with all its facts.
ceiling.py has the most that a platform allows.
"""

from __future__ import annotations

from airflow_provider_dagconfig.models.as_json import json_number
from airflow_provider_dagconfig.models.columns import (
    BooleanColumn,
    Column,
    DecimalColumn,
    NumberColumn,
    QuantityColumn,
    TextColumn,
    TimeColumn,
    names_of,
)
from airflow_provider_dagconfig.models.config import (
    CONFIG_COLUMNS,
    LONGEST_TIMEOUT_SECONDS,
    MOST_RETRIES,
    OVERRIDE_COLUMNS,
    RETRY_PAUSE,
    DagConfig,
)
from airflow_provider_dagconfig.models.exchange_group import (
    GROUP_COLUMNS,
    GROUP_DEFAULTS,
    LAST_MINUTE,
    ExchangeGroup,
    ExchangesColumn,
    is_exchange_code,
    usable_exchanges,
)
from airflow_provider_dagconfig.models.in_words import because, cut, in_force, value_text
from airflow_provider_dagconfig.models.installation import Installation, InstallationError
from airflow_provider_dagconfig.models.invalid_row import InvalidRowError, shortened
from airflow_provider_dagconfig.models.moments import Unreadable, ago, in_range, parse_duration, read_moment, time_of_day
from airflow_provider_dagconfig.models.names import is_name, meant_name
from airflow_provider_dagconfig.models.quantity import Quantity, Resource
from airflow_provider_dagconfig.models.records import (
    CEILINGS,
    KEPT_BY_THE_STORE,
    Change,
    GroupRow,
    HistoryEntry,
    JobRow,
    Override,
    RowChange,
    RuleViolation,
)
from airflow_provider_dagconfig.models.statements import DEFAULT_SCHEMA, command_line, literal, quoted_schema, shell_word

__all__ = [
    "CEILINGS",
    "CONFIG_COLUMNS",
    "DEFAULT_SCHEMA",
    "GROUP_COLUMNS",
    "GROUP_DEFAULTS",
    "KEPT_BY_THE_STORE",
    "LAST_MINUTE",
    "LONGEST_TIMEOUT_SECONDS",
    "MOST_RETRIES",
    "OVERRIDE_COLUMNS",
    "RETRY_PAUSE",
    "BooleanColumn",
    "Change",
    "Column",
    "DagConfig",
    "DecimalColumn",
    "ExchangeGroup",
    "ExchangesColumn",
    "GroupRow",
    "HistoryEntry",
    "Installation",
    "InstallationError",
    "InvalidRowError",
    "JobRow",
    "NumberColumn",
    "Override",
    "Quantity",
    "QuantityColumn",
    "Resource",
    "RowChange",
    "RuleViolation",
    "TextColumn",
    "TimeColumn",
    "Unreadable",
    "ago",
    "because",
    "command_line",
    "cut",
    "in_force",
    "in_range",
    "is_exchange_code",
    "is_name",
    "json_number",
    "literal",
    "meant_name",
    "names_of",
    "parse_duration",
    "quoted_schema",
    "read_moment",
    "shell_word",
    "shortened",
    "time_of_day",
    "usable_exchanges",
    "value_text",
]
