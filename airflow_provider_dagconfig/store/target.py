"""Where a configuration store is, and the one way to reach it."""

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
"""They bound the wait for a host that does not answer, in seconds, and say in pg_stat_activity who is there."""


@dataclass(frozen=True)
class Target:
    """A database and the schema in it."""

    connect: Callable[[], Any]
    """Opens a psycopg connection."""
    location: Location

    @classmethod
    def from_url(cls, url: str, schema: str = DEFAULT_SCHEMA) -> Target:
        """
        Take a database by its URL: ``postgresql://USER:PASSWORD@HOST:5432/DATABASE``.

        :raises DagConfigUnreachableError: it is no such URL. The message does not show it: it may hold a password.
        """
        parameters = _parameters(url)
        # What the URL leaves out, libpq takes from the environment or the system.
        defaults = {option.keyword.decode(): (option.val or b"").decode() for option in pq.Conninfo.get_defaults()}
        user, host, port, database = (
            parameters.get(name) or defaults.get(name) or otherwise
            for name, otherwise in (("user", ""), ("host", "localhost"), ("port", "5432"), ("dbname", ""))
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
        Open a connection where each statement is its own transaction; close it at the end; explain what goes wrong.

        :param tell: is told whom a statement waits for, before it is tried again.
        """
        with self.explained(purpose), closing(self.connect()) as connection:
            yield Session(connection, self.location, self.connect, tell)

    @contextmanager
    def explained(self, purpose: Purpose = "reading") -> Iterator[None]:
        """Make errors of the store of the database's."""
        try:
            yield
        except DATABASE_ERRORS as error:
            raise self.location.explain(error, purpose=purpose, roles=self.roles) from printable_error(error, lines=True)

    def roles(self) -> Roles:
        """Look, on a connection of its own, what this installation calls its roles: the default names where that cannot be seen."""
        with suppress(*DATABASE_ERRORS, DagConfigError), closing(self.connect()) as connection:
            session = Session(connection, self.location, self.connect, lambda _: None)
            for row in session.rows(ROLES_SOURCE, {"schema": self.schema}):
                return roles_of(row["source"])
        return Roles()


def _parameters(url: str) -> dict[str, Any]:
    """Read a connection URL without ever showing it."""
    scheme, separator, rest = url.partition("://")
    # A raw @ or / in a password moves the borders of the parts, and a message would then show a piece of it as the host.
    is_url = bool(separator) and scheme.partition("+")[0] in ("postgresql", "postgres")
    try:
        if is_url and rest.count("@") == urlsplit(url).netloc.count("@") <= 1:
            return dict(conninfo_to_dict(f"postgresql://{rest}"))
    except (ValueError, *DATABASE_ERRORS):  # ValueError: a raw [ or ], which are an IPv6 address's
        pass
    raise DagConfigUnreachableError(
        f"This is no URL of a PostgreSQL database. It has the form postgresql://USER:PASSWORD@HOST:5432/DATABASE; {IN_A_URL}"
    )


def _shown_url(parameters: Mapping[str, Any]) -> str:
    """Write a connection URL without its passwords, which the environment or ~/.pgpass can give."""
    user, host, port, database = (str(parameters.get(name) or "") for name in ("user", "host", "port", "dbname"))
    others = {name: value for name, value in parameters.items() if name not in ("user", "port", "dbname", *_SECRET)}
    if re.fullmatch(r"[\w.-]+", host):
        del others["host"]
    else:
        # A socket's folder, an IPv6 address, several hosts.
        host = ""
    where = (f"{quote(user, safe='')}@" if user else "") + host + (f":{port}" if port and host else "")
    if port and not host:
        others["port"] = port
    query = f"?{urlencode(others, quote_via=quote)}" if others else ""
    return f"postgresql://{where}/{quote(database, safe='')}{query}"


_SECRET = ("password", "sslpassword", "oauth_client_secret")
