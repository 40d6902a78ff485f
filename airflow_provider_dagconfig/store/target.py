"""The address of a configuration store, and the one way to connect to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from airflow_provider_dagconfig.exceptions import DagConfigError, DagConfigUnreachableError
from airflow_provider_dagconfig.models import DEFAULT_SCHEMA
from airflow_provider_dagconfig.store.errors import DATABASE_ERRORS, Location, Purpose
from airflow_provider_dagconfig.store.roles import ROLES_SOURCE, Roles, roles_of
from airflow_provider_dagconfig.store.sessions import Session
from airflow_provider_dagconfig.wording import IN_A_URL, printable_error

CONNECTION_DEFAULTS: dict[str, Any] = {"connect_timeout": 10, "application_name": "airflow-provider-dagconfig"}
"""Seconds that the client waits for a host that does not answer, and the name that pg_stat_activity shows."""


@dataclass(frozen=True)
class Target:
    """A database and the schema in it."""

    connect: Callable[[], Any]
    """Opens a psycopg connection."""
    location: Location

    @classmethod
    def from_url(cls, url: str, schema: str = DEFAULT_SCHEMA) -> Target:
        """
        Take a database from its URL: ``postgresql://USER:PASSWORD@HOST:5432/DATABASE``.

        :raises DagConfigUnreachableError: it is not such a URL. The message does not show it: it may contain a password.
        """
        parameters = _read_url(url)
        # libpq takes the parts that the URL lacks from the environment or the system.
        defaults = {option.keyword.decode(): (option.val or b"").decode() for option in pq.Conninfo.get_defaults()}
        user, host, port, database = (
            parameters.get(name) or defaults.get(name) or fallback
            for name, fallback in (("user", ""), ("host", "localhost"), ("port", "5432"), ("dbname", ""))
        )
        options = ("--url", _shown_url(parameters), *(("--schema", schema) if schema != DEFAULT_SCHEMA else ()))
        return cls(
            connect=lambda: psycopg.connect(**{**CONNECTION_DEFAULTS, **parameters}),
            location=Location(f"database {user}@{host}:{port}/{database or user}", schema, user, options),
        )

    @property
    def schema(self) -> str:
        return self.location.schema

    @contextmanager
    def session(self, purpose: Purpose = "reading", tell: Callable[[str], None] = lambda _: None) -> Iterator[Session]:
        """
        Open a connection where each statement is its own transaction, and close it at the end. Errors say what to do.

        :param tell: is called with a message about who holds the lock, before a statement is tried again.
        """
        with self.explain_errors(purpose), closing(self.connect()) as connection:
            yield Session(connection, self.location, self.connect, tell)

    @contextmanager
    def explain_errors(self, purpose: Purpose = "reading") -> Iterator[None]:
        """Turn errors of the database into errors of the store."""
        try:
            yield
        except DATABASE_ERRORS as error:
            raise self.location.explain(error, purpose=purpose, roles=self.roles) from printable_error(error, lines=True)

    def roles(self) -> Roles:
        """Return the names of this installation's roles, read on another connection; the defaults where they cannot be read."""
        with suppress(*DATABASE_ERRORS, DagConfigError), closing(self.connect()) as connection:
            session = Session(connection, self.location, self.connect, lambda _: None)
            for row in session.rows(ROLES_SOURCE, {"schema": self.schema}):
                return roles_of(row["source"])
        return Roles()


def _read_url(url: str) -> dict[str, Any]:
    """Read a connection URL. No error shows it."""
    scheme, separator, rest = url.partition("://")
    # A raw @ or / in a password shifts the parts of a URL, and a message would then show a part of the password as the host.
    is_url = bool(separator) and scheme.partition("+")[0] in ("postgresql", "postgres")
    try:
        if is_url and rest.count("@") == urlsplit(url).netloc.count("@") <= 1:
            return dict(conninfo_to_dict(f"postgresql://{rest}"))
    except (ValueError, *DATABASE_ERRORS):  # ValueError: a raw [ or ], which only an IPv6 address may have
        pass
    raise DagConfigUnreachableError(
        f"This is no URL of a PostgreSQL database. It has the form postgresql://USER:PASSWORD@HOST:5432/DATABASE; {IN_A_URL}"
    )


def _shown_url(parameters: Mapping[str, Any]) -> str:
    """Return a connection URL without its passwords, which the environment or ~/.pgpass can supply."""
    user, host, port, database = (str(parameters.get(name) or "") for name in ("user", "host", "port", "dbname"))
    others = {name: value for name, value in parameters.items() if name not in ("user", "port", "dbname", *_SECRET_PARAMETERS)}
    if re.fullmatch(r"[\w.-]+", host):
        del others["host"]
    else:
        # A socket's directory, an IPv6 address, or several hosts.
        host = ""
    where = (f"{quote(user, safe='')}@" if user else "") + host + (f":{port}" if port and host else "")
    if port and not host:
        others["port"] = port
    query = f"?{urlencode(others, quote_via=quote)}" if others else ""
    return f"postgresql://{where}/{quote(database, safe='')}{query}"


_SECRET_PARAMETERS = ("password", "sslpassword", "oauth_client_secret")
