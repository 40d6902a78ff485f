"""``airflow dagconfig doctor``: checks everything that the jobs need, and says what to do where something is missing."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_dagconfig.cli.connect import cluster_of, namespace_of, store_of
from airflow_provider_dagconfig.cli.definition import FAILED
from airflow_provider_dagconfig.cli.output import Cell, command, print_data, print_entry, print_table, say, when
from airflow_provider_dagconfig.cli.remedies import Remedies, breaks_name_rule, command_that_lowers
from airflow_provider_dagconfig.cli.rows import now
from airflow_provider_dagconfig.exceptions import DagConfigBusyError, DagConfigError, DagConfigNotAllowedError
from airflow_provider_dagconfig.kubectl.access import ClusterAccessError
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError
from airflow_provider_dagconfig.kubectl.questions import Questions
from airflow_provider_dagconfig.models import InstallationError, Quantity, quoted_schema, shortened
from airflow_provider_dagconfig.settings import configured_installation, configured_kubectl
from airflow_provider_dagconfig.store.checks import look_at, try_changes
from airflow_provider_dagconfig.store.errors import WHO_MAY_GRANT
from airflow_provider_dagconfig.store.migrate import State, status

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_dagconfig.models import RuleViolation
    from airflow_provider_dagconfig.store import Store
    from airflow_provider_dagconfig.store.checks import Look

_OLDEST_POSTGRES = 15
_MAX_CLOCK_DIFFERENCE = 30
"""Seconds; a larger difference is reported, because overrides begin and end by the database's clock."""
_NEEDED_PERMISSIONS = (
    ("create", "pods", "", "start a pod"),
    ("get", "pods", "", "look at a pod"),
    ("watch", "pods", "", "watch a pod"),
    ("update", "pods", "", "mark a pod as collected"),
    ("delete", "pods", "", "end a pod"),
    ("get", "pods", "log", "read a pod's log"),
)
_USEFUL_PERMISSIONS = (
    ("list", "events", "", "say why a pod does not start"),
    ("list", "pods", "", "watch the pods of deferrable tasks, in the triggerer; show and sweep pods"),
)


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    result: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


@command
def doctor(args: Namespace) -> None:
    """Check, print, and end with an exit code that scripts can use."""
    findings = []
    for finding in _run_checks(args):
        findings.append(finding)
        if args.output == "table":
            # Each finding is printed at once: a server that does not answer takes long.
            _say(finding)
    if args.output in ("json", "yaml"):
        print_data([vars(finding) for finding in findings], args.output)
    elif args.output == "plain":
        print_table([vars(finding) for finding in findings], "plain")
    else:
        _say_summary(findings)
    if any(finding.result == "fail" for finding in findings):
        sys.exit(FAILED)


_STYLES = {"ok": "green", "warn": "bold yellow", "fail": "bold red"}


def _say(finding: Finding) -> None:
    head = Cell(f"{finding.result:<4}  ", _STYLES[finding.result]), Cell(f"{finding.check:<11}  ", "bold")
    print_entry(head, finding.found, f"-> {finding.remedy}" if finding.remedy else "")


def _say_summary(findings: list[Finding]) -> None:
    results = [finding.result for finding in findings]
    counts = f"{results.count('ok')} ok, {results.count('warn')} to look at, {results.count('fail')} failed."
    say(counts, _STYLES["fail" if "fail" in results else "warn" if "warn" in results else "ok"])


def _run_checks(args: Namespace) -> Iterator[Finding]:
    yield from _check_database(args)
    if not args.no_cluster:
        yield from _check_cluster(args)


def _check_database(args: Namespace) -> Iterator[Finding]:
    try:
        store = store_of(args)
        look = look_at(store)
    except DagConfigError as error:
        yield Finding(
            "database",
            "fail",
            str(error),
            "Until it answers, no task can start. Look at the server, the network, the connection",
        )
        return
    yield from _check_server(store, look)
    migrated = yield from _check_migrations(store, look)
    yield _check_privileges(store, look)
    if migrated and look.may_change and not look.read_only:
        yield _check_changes(store)
    if migrated:
        yield _check_roles(store, look)
    if look.may_read and migrated:
        yield _check_installation(store)
        yield from _check_rows(store)
        yield from _check_ceilings(store)


def _check_server(store: Store, look: Look) -> Iterator[Finding]:
    version = f"PostgreSQL {look.version.split()[0]}, {store.location}"
    if look.major < _OLDEST_POSTGRES:
        yield Finding("database", "warn", version, f"Versions before {_OLDEST_POSTGRES} are not tested: upgrade the server")
    elif look.read_only:
        yield Finding("database", "warn", f"{version}: read-only", "Tasks can run; to change something, use the primary server")
    else:
        yield Finding("database", "ok", version)
    here = now()
    seconds = round(abs((look.clock - here).total_seconds()))
    if seconds > _MAX_CLOCK_DIFFERENCE:
        yield Finding(
            "clock",
            "warn",
            f"it is {when(look.clock)} there and {when(here)} here",
            "Overrides begin and end by the database's clock: set both by NTP",
        )


def _check_migrations(store: Store, look: Look) -> Generator[Finding, None, bool]:
    """Yield a finding; return whether the rest of the database can be checked."""
    command_line = store.location.command("migrate")
    if not look.has_tables:
        where = f"there is no schema {store.schema}" if not look.has_schema else f"the tables are not in {store.schema}"
        yield Finding("migrations", "fail", where, f"To make them: {command_line}; if they are in another schema: --schema NAME")
        return False
    try:
        states = status(store.target)
    except DagConfigNotAllowedError as error:
        yield Finding("migrations", "warn", str(error), "Ask as a user who may read the tables")
        return True
    except DagConfigError as error:
        yield Finding("migrations", "fail", str(error))
        return True
    finding = _check_states(states, command_line)
    yield finding
    return finding.result != "fail"


def _check_states(states: list[State], command_line: str) -> Finding:
    by_state: dict[str, list[str]] = {}
    for state in states:
        by_state.setdefault(state.state, []).append(state.file)
    if lacking := by_state.get("pending", []) + by_state.get("not recorded", []):
        return Finding("migrations", "fail", f"{len(lacking)} to apply: {', '.join(lacking)}", f"To apply them: {command_line}")
    if edited := by_state.get("edited"):
        return Finding(
            "migrations", "warn", f"edited after they were applied: {', '.join(edited)}", "Reinstall airflow-provider-dagconfig"
        )
    if unknown := by_state.get("unknown"):
        return Finding(
            "migrations", "warn", f"a later version applied {', '.join(unknown)}", "Upgrade airflow-provider-dagconfig here"
        )
    return Finding("migrations", "ok", f"all {len(states)} are applied")


def _check_privileges(store: Store, look: Look) -> Finding:
    user, schema, roles = look.user_name.replace('"', '""'), quoted_schema(store.schema), look.roles
    if not look.has_tables:
        return Finding("privileges", "warn", f"{user}: there are no tables yet")
    if not look.may_read:
        if look.is_reader:
            reason = f"{user} has {roles.reader}, which may not read the tables"
            return Finding("privileges", "fail", reason, f"Their owner may run: SELECT {schema}.grant_roles();")
        granter = WHO_MAY_GRANT.format(role=roles.reader)
        return Finding(
            "privileges", "fail", f"{user} may not read the tables", f'{granter} may run: GRANT {roles.reader} TO "{user}";'
        )
    if look.superuser or look.owns:
        what = "is a superuser" if look.superuser else "owns the tables"
        return Finding(
            "privileges",
            "warn",
            f"{user} {what}, and could change the audit",
            f"Migrate as this user; let Airflow connect as one with {roles.reader}, and people as ones with {roles.editor}",
        )
    if look.may_forge:
        audit = f"{schema}.dag_configuration_audit"
        remedy = f"Its owner may run: REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {audit} FROM {', '.join(look.forgers)} CASCADE;"
        if not look.forgers:
            remedy = f'An administrator of the server may run: REVOKE pg_write_all_data FROM "{user}";'
        return Finding("privileges", "fail", f"{user} may change the audit", remedy)
    may = "read and change" if look.may_change else "read, which is all that Airflow needs"
    return Finding("privileges", "ok", f"{user} may {may}")


def _check_changes(store: Store) -> Finding:
    try:
        try_changes(store)
    except DagConfigBusyError as error:
        return Finding("changes", "warn", str(error))
    except DagConfigError as error:
        return Finding("changes", "fail", str(error))
    return Finding("changes", "ok", "each kind of change works: tried, and rolled back")


_MAX_PLACES = 3
"""How many of the other places where the roles have rights are named."""


def _check_roles(store: Store, look: Look) -> Finding:
    schema, roles = quoted_schema(store.schema), look.roles
    grants = f"SELECT {schema}.grant_roles();"
    if look.missing_roles:
        statements = [f"CREATE ROLE {role};" for role in look.missing_roles] + [f"GRANT {roles.reader} TO {roles.editor};"]
        return Finding(
            "roles",
            "warn",
            f"there is no role {' and no role '.join(look.missing_roles)}: its rights cannot be granted to anybody",
            f"An administrator of the server may run: {' '.join(statements)} Then the tables' owner: {grants}",
        )
    if look.roles_without_rights:
        return Finding(
            "roles", "warn", f"{' and '.join(look.roles_without_rights)} may not read the tables", f"Their owner may run: {grants}"
        )
    if look.reader_lacks:
        return Finding(
            "roles", "warn", f"{roles.reader} may not read {', '.join(look.reader_lacks)}", f"Their owner may run: {grants}"
        )
    found = f"{roles.reader} and {roles.editor} are there"
    if not look.also_serve:
        return Finding("roles", "ok", found)
    more = f" and {len(look.also_serve) - _MAX_PLACES} more" if len(look.also_serve) > _MAX_PLACES else ""
    where = f"{', '.join(look.also_serve[:_MAX_PLACES])}{more}"
    return Finding(
        "roles",
        "ok",
        f"{found}; their members have the same rights in {where}"
        " (`migrate --reader-role --editor-role` gives a store its own roles)",
    )


def _check_installation(store: Store) -> Finding:
    try:
        installation = store.get_installation()
        option = configured_installation()
        in_force = installation.in_force(option)
    except (DagConfigError, InstallationError) as error:
        return Finding("identity", "fail", str(error))
    if option is None:
        return Finding("identity", "ok", f"installation {in_force}, the store's id")
    by = f"by [dagconfig] installation; the store's id is {installation.installation_id or 'missing'}"
    return Finding("identity", "ok", f"installation {in_force}, {by}")


def _check_rows(store: Store) -> Iterator[Finding]:
    try:
        jobs, groups, violations = store.get_dag_configs(), store.get_all_exchange_groups(), store.get_rule_violations()
    except DagConfigError as error:
        yield Finding("rows", "fail", str(error))
        return
    problems = {("dag_configuration", f"{job.dag_name}/{job.job_name}"): job.problem for job in jobs if job.problem}
    problems |= {("exchange_groups", group.group_name): group.problem for group in groups if group.problem}
    remedies = Remedies(store.location, jobs, groups, violations)
    # A row's name comes last: the commands that correct its values use the old name.
    for each in sorted(violations, key=breaks_name_rule):
        # A row from before the rules may still be usable.
        result: Literal["fail", "warn"] = "fail" if problems.get(_row_key(each)) else "warn"
        found = f"{each.column_name} {shortened(repr(each.value))} of {each.row_key} breaks a rule: {each.rule}"
        yield Finding("rows", result, found, f"To mend it: {remedies.of(each)}")
    broken = {_row_key(each) for each in violations}
    for key, problem in problems.items():
        if key not in broken:
            yield Finding("rows", "fail", str(problem))
    disabled = [f"{job.dag_name}/{job.job_name}" for job in jobs if job.values.get("enabled") is False]
    disabled += [f"exchange group {group.group_name}" for group in groups if group.row.get("enabled") is False]
    overrides = [f"{o.dag_name}/{o.job_name} until {when(o.ends_at)}" for job in jobs for o in job.overrides]
    facts = f"{len(jobs)} jobs, {len(groups)} exchange groups"
    facts += f"; disabled: {', '.join(disabled)}" if disabled else ""
    facts += f"; overridden: {', '.join(overrides)}" if overrides else ""
    if not violations:
        yield Finding("rows", "ok", f"{facts}; all keep the rules")
    else:
        yield Finding("rows", "warn", facts, "The rules bind new writes already; the old values stay until they are mended")


def _check_ceilings(store: Store) -> Iterator[Finding]:
    try:
        ceilings, found = store.get_ceilings(), store.get_ceiling_violations()
    except DagConfigError as error:
        yield Finding("ceilings", "fail", str(error))
        return
    most: dict[tuple[str, str, int | None], dict[str, str]] = {}
    # Where a value is above two ceilings, the lower one comes last and wins: the value must come down to it.
    for each in sorted(found, key=lambda each: Quantity.parse(each.ceiling.value), reverse=True):
        most.setdefault((each.dag_name, each.job_name, each.override_id), {})[each.column_name] = each.ceiling.value
    for each in found:
        row = each.dag_name, each.job_name, each.override_id
        above = f"{each.column_name} {each.value} of {each.subject} is above the ceiling {each.ceiling}"
        yield Finding("ceilings", "warn", above, f"To lower it: {command_that_lowers(store.location, *row, most[row])}")
    if ceilings and not found:
        yield Finding("ceilings", "ok", f"{', '.join(each.short for each in ceilings)}; nothing is above one")


def _row_key(violation: RuleViolation) -> tuple[str, str]:
    """Return the job or the group that a value affects; for an override, its job."""
    if violation.table_name == "dag_configuration_overrides":
        return "dag_configuration", violation.row_key.partition(" of ")[2]
    return violation.table_name, violation.row_key


def _check_cluster(args: Namespace) -> Iterator[Finding]:
    settings = configured_kubectl()
    questions = Questions({}, "default", settings)
    try:
        yield Finding("kubectl", "ok", questions.client_version())
    except KubectlError as error:
        yield Finding("kubectl", "fail", error.message, "Install kubectl where the tasks run, and where the triggerer does")
        return
    try:
        access = cluster_of(args)
    except ClusterAccessError as error:
        yield Finding("cluster", "fail", str(error), "Give the connection or KUBECONFIG; to leave the cluster out: --no-cluster")
        return
    namespace = namespace_of(args, access)
    with access.environment() as environment:
        questions = Questions(environment, namespace, settings)
        try:
            yield Finding("cluster", "ok", f"Kubernetes {questions.server_version()}, credentials from {access.source}")
        except KubectlError as error:
            yield Finding("cluster", "fail", f"{error.message} (credentials from {access.source})", _remedy(error))
            return
        yield from _check_permissions(questions, namespace)


def _remedy(error: KubectlError) -> str:
    if error.fault is Fault.UNREACHABLE:
        return "Look at the address in the kubeconfig, the network and the API server"
    if error.fault is Fault.SERVER_ERROR:
        return "The API server answers with an internal error: look at it, and try again later"
    return "Look at the credentials: kubectl says what is wrong with them"


def _check_permissions(questions: Questions, namespace: str) -> Iterator[Finding]:
    lacking: list[str] = []
    for needs, result in ((_NEEDED_PERMISSIONS, "fail"), (_USEFUL_PERMISSIONS, "warn")):
        for verb, resource, subresource, purpose in needs:
            try:
                allowed, _ = questions.may(verb, resource, subresource)
            except KubectlError as error:
                yield Finding(
                    "permissions",
                    "warn",
                    f"the API server does not say: {error.message}",
                    "Only a task will show it",
                )
                return
            if not allowed:
                name = f"{resource}/{subresource}" if subresource else resource
                lacking.append(name)
                yield Finding(
                    "permissions",
                    "fail" if result == "fail" else "warn",
                    f"may not {verb} {name} in namespace {namespace}, to {purpose}",
                    f"Add it to the Role of this user: apiGroups [''], resources [{name}], verbs [{verb}]",
                )
    if not lacking:
        yield Finding("permissions", "ok", f"may do all that a task does, in namespace {namespace}")
