"""Airflow jobs that are configured by a row in PostgreSQL and run as pods through kubectl."""

from __future__ import annotations

from typing import Any

__version__ = "0.2.0.dev0"


def get_provider_info() -> dict[str, Any]:
    """
    Describe the provider to Airflow (entry point ``apache_airflow_provider``).

    :return: a document that is valid by Airflow's ``provider_info.schema.json``.
    """
    return {
        "package-name": "airflow-provider-dagconfig",
        "name": "DAG configuration",
        "description": "Jobs that are configured by a row in PostgreSQL and run as pods through kubectl.",
        "versions": [__version__],
        "hooks": [
            {
                "integration-name": "DAG configuration",
                "python-modules": ["airflow_provider_dagconfig.hooks.dag_config"],
            }
        ],
        "operators": [
            {
                "integration-name": "DAG configuration",
                "python-modules": [
                    "airflow_provider_dagconfig.operators.kubectl_run",
                    "airflow_provider_dagconfig.operators.sweep",
                ],
            }
        ],
        "triggers": [
            {
                "integration-name": "DAG configuration",
                "python-modules": ["airflow_provider_dagconfig.triggers.pod"],
            }
        ],
        "integrations": [
            {
                "integration-name": "DAG configuration",
                "tags": ["software"],
            }
        ],
        "cli": ["airflow_provider_dagconfig.cli.definition.get_dagconfig_commands"],
        "config": {
            "dagconfig": {
                "description": "Where the configuration store is, and how kubectl is run.",
                "options": {
                    "postgres_conn_id": {
                        "description": "The Airflow connection of the database that holds the configuration.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "dagconfig_db",
                        "default": "postgres_default",
                    },
                    "schema": {
                        "description": "The database schema that holds the configuration tables.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "job_settings",
                        "default": "financial_screener",
                    },
                    "installation": {
                        "description": (
                            "Which Airflow this is, among those that share a namespace: at most 40 lower case letters, digits and "
                            "'-'. Default: the id of the configuration store. Two Airflows with one store each need their own."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "staging",
                        "default": None,
                    },
                    "allow_run_overrides": {
                        "description": (
                            "Whether a run's conf may set values of jobs. False forbids it to all DAGs; true leaves it to the "
                            "parameter allow_run_overrides of each task."
                        ),
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": "False",
                        "default": "True",
                    },
                    "retries_from_row": {
                        "description": (
                            "Whether a row sets its task's retries (max_retries, retry_delay_minutes, retry_backoff_enabled). "
                            "False leaves them to the DAGs. The parameter retries_from_row of a task takes precedence."
                        ),
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": "False",
                        "default": "True",
                    },
                    "cluster_retries": {
                        "description": (
                            "How many failures that the job did not cause (evicted, preempted, a node lost, an API server away) do "
                            "not count against a task's retries, from 0 to 10, since it was last cleared."
                        ),
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": "5",
                        "default": "3",
                    },
                    "kubectl": {
                        "description": "The kubectl that tasks run: a name in PATH, or a path; ~ is the worker's home directory.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/opt/kubernetes/bin/kubectl",
                        "default": "kubectl",
                    },
                    "kubectl_keep_env": {
                        "description": (
                            "Environment variables that kubectl and its credential plugins get, even if they look like Airflow's: "
                            "names or globs, separated by commas. It takes precedence over kubectl_drop_env."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "PGP_HOME, VAULT_CONN_*",
                        "default": "",
                    },
                    "kubectl_drop_env": {
                        "description": (
                            "More environment variables that kubectl and its credential plugins do not get: names or globs, "
                            "separated by commas. They never get Airflow's (AIRFLOW*, PG*, *_CONN*)."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "SMTP_*, DATABASE_URL",
                        "default": "",
                    },
                },
            }
        },
    }
