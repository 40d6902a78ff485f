-- The way back of 019: the former names and comments. No row is changed.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -f 019_plain_names.down.sql
--
-- or `airflow dagconfig migrate --to 018`.

DO $$
BEGIN
    IF pg_catalog.to_regclass('financial_screener.dagconfig_migrations') IS NOT NULL THEN
        IF EXISTS (SELECT FROM financial_screener.dagconfig_migrations WHERE version > 19) THEN
            RAISE EXCEPTION 'later migrations than 019 are applied; they go back first'
            USING HINT = 'See: airflow dagconfig migrate --status';
        END IF;
        -- So that the record stays true when psql goes back.
        DELETE FROM financial_screener.dagconfig_migrations WHERE version = 19;
    END IF;
END
$$;

DO $$
DECLARE
    owner oid := (
        SELECT p.proowner FROM pg_catalog.pg_proc AS p
        WHERE p.oid = 'financial_screener.dagconfig_validate()'::pg_catalog.regprocedure
    );
    renamed record;
    other record;
    caller record;
    is_there boolean;
BEGIN
    FOR renamed IN
        SELECT
            n.former, n.present, 'financial_screener.' || n.former || n.arguments AS former_signature,
            'financial_screener.' || n.present || n.arguments AS signature
        FROM (VALUES
        ('dagconfig_set_author', 'dagconfig_book_on', '(text, text)'),
        ('dagconfig_author', 'dagconfig_booked_on', '()'),
        ('dagconfig_write_audit', 'dagconfig_book', '(text, text, jsonb, jsonb)')
        ) AS n (former, present, arguments)
    LOOP
        SELECT p.oid::pg_catalog.regprocedure AS signature, p.proname, p.proowner::pg_catalog.regrole AS owner INTO other
        FROM pg_catalog.pg_proc AS p
        WHERE
            p.oid IN (
                pg_catalog.to_regprocedure(renamed.former_signature), pg_catalog.to_regprocedure(renamed.signature)
            )
            AND p.proowner <> owner;
        IF FOUND THEN
            RAISE EXCEPTION USING
                ERRCODE = 'duplicate_function',
                MESSAGE = pg_catalog.format(
                    'there is a function %s of %s already, and the one of this name is to be %s''s', other.signature, other.owner,
                    owner::pg_catalog.regrole
                ),
                HINT = pg_catalog.format(
                    'ALTER FUNCTION %s RENAME TO former_%s; then migrate again.', other.signature, other.proname
                );
        END IF;
        is_there := pg_catalog.to_regprocedure(renamed.signature) IS NOT NULL;
        IF NOT is_there THEN
            EXECUTE pg_catalog.format('ALTER FUNCTION %s RENAME TO %I', renamed.former_signature, renamed.present);
        ELSIF pg_catalog.to_regprocedure(renamed.former_signature) IS NOT NULL THEN
            EXECUTE pg_catalog.regexp_replace(
                pg_catalog.pg_get_functiondef(renamed.former_signature::pg_catalog.regprocedure),
                '[[:<:]]' || renamed.former || '(?=[(])', renamed.present
            );
            EXECUTE pg_catalog.format('DROP FUNCTION %s', renamed.former_signature);
        END IF;
        FOR caller IN
            SELECT
                pg_catalog.regexp_replace(
                    pg_catalog.pg_get_functiondef(p.oid), '[[:<:]]' || renamed.former || '(?=[(]|'', '')', renamed.present, 'g'
                ) AS definition,
                p.oid IN (SELECT f.signature FROM financial_screener.dagconfig_functions() AS f) AS is_ours
            FROM pg_catalog.pg_proc AS p
            JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
            WHERE
                p.pronamespace = 'financial_screener'::pg_catalog.regnamespace AND p.proowner = owner
                AND p.prokind IN ('f', 'p') AND l.lanname IN ('sql', 'plpgsql')
                AND p.prosrc ~ ('[[:<:]]' || renamed.former || '(?=[(]|'', '')')
        LOOP
            EXECUTE CASE
                WHEN caller.is_ours THEN pg_catalog.regexp_replace(
                    caller.definition, '[[:<:]]former_settings(?=[[]| text[[]] :=)', 'booked', 'g'
                )
                ELSE caller.definition
            END;
        END LOOP;
    END LOOP;
END
$$;

DO $$
DECLARE
    said record;
    definition text := pg_catalog.pg_get_functiondef('financial_screener.dagconfig_comments()'::pg_catalog.regprocedure);
    changed text := definition;
BEGIN
    FOR said IN SELECT * FROM (VALUES
        ('The configuration of each job of a DAG: one row per job.', 'What each job of a DAG runs with: one row a job.'),
        (
            'The job of the DAG, mostly named after an exchange group; all if the DAG has only one job.',
            'A job of the DAG: mostly an exchange group''s name; all, where the DAG has one job.'
        ),
        ('The number of assets that the job processes at a time.', 'Assets that the job works on at a time.'),
        ('Seconds after which the pod is stopped.', 'Seconds after which the pod is ended.'),
        ('How often Airflow retries a failed task.', 'How often Airflow tries a failed task again.'),
        (
            'Whether the job runs. The task of a disabled job is skipped.',
            'Whether the job runs. The task of one that does not is skipped.'
        ),
        ('What people should know about the job.', 'What people should know of the job.'),
        ('When the row was created.', 'When the row was made.'),
        ('When the row was last changed. A trigger sets it.', 'When the row was changed last; the store keeps it.'),
        ('Who created the row.', 'Who made the row.'),
        (
            'The row''s version. Each change adds 1; a deleted row that is created again continues the count.',
            'The number of the row''s state; each change counts on, also after the row was deleted.'
        ),
        (
            'The factor by which the memory limit and request of the next try grow after a try that was OOMKilled; NULL: no'
            ' growth.',
            'The factor by which the next try''s memory limit, and its request, grow after a try that was OOMKilled; NULL: they'
            ' stay.'
        ),
        (
            'The value up to which the memory limit grows: a Kubernetes quantity, in bytes; NULL: up to the ceiling, if there is'
            ' one.',
            'Up to which the memory limit grows: a Kubernetes quantity, in bytes; NULL: to the ceiling, where there is one.'
        ),
        (
            'Returns the default of each column: for a job without a row, and for a new row where no value is given.',
            'What a job runs with that has no row, and a new row where a value is not given: column to value.'
        ),
        (
            'Change a job''s row, or create it, with the column''s default for each value that is NULL. An empty p_description'
            ' removes the description.',
            'Change a job''s row, or make it, with the columns'' defaults where a value is NULL. An empty p_description removes'
            ' it.'
        ),
        ('Exchanges that are collected together: one row per group.', 'Exchanges that are collected together: one row a group.'),
        ('The group''s name, which is also the name of a job.', 'The group''s name, which is also a job''s.'),
        (
            'The time zone of its markets: a name of pg_timezone_names.',
            'The time zone of its markets, as pg_timezone_names has it.'
        ),
        ('What people should know about the group.', 'What people should know of the group.'),
        (
            'Returns the enabled exchange groups, by priority, the highest first, then by name.',
            'The enabled exchange groups, by priority, the highest first, then by name.'
        ),
        (
            'Change a group''s row, or create it; a new row needs p_exchanges. An empty p_description removes the description.',
            'Change a group''s row, or make it; a new one needs p_exchanges. An empty p_description removes it.'
        ),
        ('The DAG of the overridden job.', 'The DAG of the job whose values it takes the place of.'),
        ('The overridden job.', 'The job whose values it takes the place of.'),
        ('As in dag_configuration; NULL if the override leaves it unchanged.', 'As in dag_configuration; NULL where it stays.'),
        ('Why it was created.', 'Why it was made.'),
        ('Who created it.', 'Who made it.'),
        ('When it was created.', 'When it was made.'),
        ('When somebody ended it before its time; otherwise NULL.', 'When somebody ended it before its time; else NULL.'),
        (
            'The period in which it is in force, the end not included; empty if it never was in force.',
            'From when, and until when (not included), it is in force; empty, where it never was.'
        ),
        (
            'Returns the values that a job runs with at a moment: those of its row, or the defaults if there is no row, with the'
            ' overrides in force. sources: for each column row, default, or override and its number.',
            'What a job runs with at a moment: its row then (without one the defaults), and the overrides that are in force then.'
            ' sources: for each column row, default, or the override with its number.'
        ),
        (
            'Returns the values that a job runs with now, also if it is disabled: those of its row, or the defaults if there is'
            ' no row, with the overrides in force.',
            'What a job runs with now: its row, also when it is disabled, without a row the defaults; and the overrides in force.'
        ),
        (
            'Trigger: refuses a change if the row and its overrides, each valid alone, would break a rule together, now or when'
            ' an override begins or ends.',
            'Trigger: refuses a change after which the row and its overrides, each right by itself, break a rule together: now,'
            ' or when an override begins or ends.'
        ),
        (
            'Lock a job''s row and write it unchanged. Returns whether the row exists.',
            'Lock a job''s row and write it as it is; gives whether there is one.'
        ),
        (
            'Set some values of a job until p_ends_at. Returns the override''s number.',
            'Set some values of a job until p_ends_at; gives the override''s number.'
        ),
        (
            'End an override before its time. Moments and a reason that break a rule are replaced by valid ones; the audit keeps'
            ' the former ones.',
            'End an override before its time. Moments and a reason that break a rule become such that keep it; the audit has them'
            ' as they were.'
        ),
        (
            'The highest values that rows, overrides and a run''s conf may set. Only the owner writes it, with set_ceiling and'
            ' remove_ceiling.',
            'What rows, overrides and a run''s conf may set at most. Its owner writes it; set_ceiling and remove_ceiling do.'
        ),
        (
            'The DAG''s id; NULL for all DAGs. If there are both, the lower ceiling applies.',
            'The DAG''s id; NULL for all DAGs. Where both are set, the lower one holds.'
        ),
        (
            'The bounded value: cpu or memory (request and limit), timeout_seconds or max_retries.',
            'What it bounds: cpu and memory (request and limit), timeout_seconds, max_retries.'
        ),
        (
            'The maximum: a Kubernetes quantity, or a whole number.',
            'The most that is allowed: a Kubernetes quantity, or a whole number.'
        ),
        (
            'Whether earlier values may stay above it until they are changed, as with a constraint that is NOT VALID.',
            'Whether values that were there before may be above it until they are changed, as with a constraint that is NOT'
            ' VALID.'
        ),
        ('Why it was set, if a reason was given.', 'Why, where somebody said so.'),
        (
            'One row, which is locked so that no bounded value is written while a ceiling is set.',
            'One row, which keeps the setting of a ceiling and the writing of a bounded value apart.'
        ),
        ('Always true, so that there is only one row.', 'True: there is one row.'),
        (
            'How often a ceiling was set. The number has no use but to change.',
            'How often a ceiling was set. It only has to change.'
        ),
        (
            'Trigger: refuses an invalid ceiling, and writes who set it, when and why.',
            'Trigger: sees that a ceiling is one, and writes down who set it, when and why.'
        ),
        (
            'Trigger: refuses a ceiling that is below a value in force.',
            'Trigger: refuses a ceiling that is below what is in force.'
        ),
        (
            'Returns the values above a ceiling, of rows and of overrides in force or to come, with the ceiling. They are older'
            ' than the ceiling (not_valid).',
            'What is above a ceiling: rows, and overrides in force or to come, with the ceiling. They were there before it'
            ' (not_valid).'
        ),
        ('The row before the change; NULL if there was no row.', 'The row before the change; NULL where there was none.'),
        ('The row after the change; NULL if there is no row.', 'The row after the change; NULL where there is none.'),
        (
            'The author that the application named; otherwise the database user.',
            'Whom the application named; else the database''s user.'
        ),
        ('The override that was created or ended; otherwise NULL.', 'The override that was made or ended; else NULL.'),
        (
            'The database user, whoever is named as the author; NULL in entries from before this column existed.',
            'The database''s user, whoever was named; NULL in entries from before this column.'
        ),
        ('Why it was changed, if a reason was given.', 'Why it was changed, where somebody said so.'),
        (
            'The columns that changed, without those that triggers set.',
            'The columns that the change is about, without those that the store keeps.'
        ),
        (
            'The row''s version after the change; for a deleted row, one more than its last version.',
            'The row''s version after the change; for a row that went, one more than its last.'
        ),
        (
            'Returns the columns that differ between two states of a row (NULL: no row), without those that triggers set.',
            'The columns that differ between two states of a row (NULL: no row), without those that the store keeps itself.'
        ),
        (
            'Returns the author of a change: the one that the application named, otherwise the session''s user.',
            'Whom a change is booked on: whom the application has named, else the session''s user.'
        ),
        (
            'Write one entry of the audit. Only the tables'' owner may call it; the triggers run as the owner.',
            'Write one entry of the audit. Nobody but the tables'' owner may call it, which is whom the triggers run as.'
        ),
        (
            'Trigger: sets the version and updated_at of a row, and keeps created_at and created_by, whatever the writer sets.',
            'Trigger: counts the versions of a row, and keeps what is not the writer''s: updated_at, and when and by whom the row'
            ' was made.'
        ),
        (
            'Set the author and the reason of the following changes of this transaction. Returns the former author and reason, so'
            ' that the caller can restore them.',
            'Say on whom, and why, the changes that follow are booked; gives what was said before, to be put back.'
        ),
        (
            'Raises DC409 if a change is based on another version than the row''s. Version 0: there is no row.',
            'Refuse (DC409) a change that is based on another version than the row''s; 0: there is no row.'
        ),
        (
            'Returns the state of a row at a moment, from the audit''s entries of its name: the new values of the last entry'
            ' until then, or else the old values of the first entry after it; NULL if there was no row. p_now: the present row,'
            ' which is returned if there are no entries.',
            'The state of a row at a moment, by the audit''s entries of its name: what the last entry until then left, or what'
            ' the first one after it found; NULL where there was no row. p_now: the row as it is, for one without entries.'
        ),
        (
            'Returns the row of a job at a moment, without overrides; NULL if there was no row.',
            'The row of a job as it was at a moment, without overrides; NULL where there was none.'
        ),
        (
            'Returns the row of an exchange group at a moment; NULL if there was no row.',
            'The row of an exchange group as it was at a moment; NULL where there was none.'
        ),
        (
            'Restore these columns of a row to a former state, or the whole row if it was deleted, with columns that somebody'
            ' added to the table. Runs with the caller''s privileges.',
            'Bring a row of a table to a state, in these columns (the whole row, where it has gone), with those that somebody'
            ' added to the table. Runs with its caller''s privileges.'
        ),
        (
            'Undo one entry of the audit: restore the values before an UPDATE, or the row before a DELETE or TRUNCATE; delete the'
            ' row of an INSERT; end an override that was created. Raises DC409 if a later entry changed the same columns.',
            'Take one entry of the audit back: the values before an UPDATE, the row before a DELETE or TRUNCATE, no row before an'
            ' INSERT; an override that was made is ended. Refused (DC409) when a later entry changed the same columns.'
        ),
        (
            'Restore a job''s row as it was at a moment, whatever was changed since; overrides stay. Raises DC404 if there was no'
            ' row at that moment; the row is not deleted.',
            'Bring a job''s row back to what it was at a moment, whatever happened since; overrides stay. Refused (DC404) where'
            ' there was no row then, rather than to delete it.'
        ),
        (
            'Returns the exact amount of a Kubernetes quantity, in cores or bytes; NULL if the text is not a quantity.',
            'The exact amount of a Kubernetes quantity, in cores or bytes; NULL where the text is none.'
        ),
        (
            'Returns whether a text is a valid name: not empty, no control characters, no blanks or invisible characters at the'
            ' start or the end.',
            'Whether it is a name: not empty, no control characters, and no blanks or invisible characters around it.'
        ),
        (
            'Returns whether a list has 1 to 500 different exchange codes: ASCII letters and digits, and after the first'
            ' character also ., - and _.',
            'Whether a list has 1 to 500 exchange codes, each once: letters and digits of ASCII, and after the first also ., -'
            ' and _.'
        ),
        (
            'Returns the rules of the values in a row. condition: SQL over the table''s columns; a row for which it is false'
            ' breaks the rule. columns: messages name the first; a change of any of them is checked. is_constraint: false if the'
            ' result depends on the server, because a dump may be restored on another server.',
            'The rules of what a row may hold. condition: SQL over the table''s columns; false breaks the rule. columns: the'
            ' first is the one that is named, a change of any of them is held to the rule. is_constraint: not where the answer'
            ' depends on the server, which a dump may be restored without.'
        ),
        (
            'Returns the rules that a row breaks: of those about one of p_columns, or of all rules if p_columns is NULL. message:'
            ' the error, to be written after COLUMN VALUE of ROW.',
            'The rules that a row breaks, of those that concern one of the columns (all, where they are NULL). message: what is'
            ' wrong, following COLUMN VALUE of ROW.'
        ),
        (
            'Trigger: refuses a row that breaks a rule. For an UPDATE, it checks the rules whose columns change.',
            'Trigger: holds a write to the rules, an INSERT to all, an UPDATE to those whose columns it changes.'
        ),
        (
            'Replace dagconfig_keeps_rules() of each table whose rules changed. For the tables'' owner; enforce_rules() calls it.',
            'Make dagconfig_keeps_rules() of each table anew where the rules are others. For the tables'' owner; enforce_rules()'
            ' calls it.'
        ),
        (
            'Returns the values that break a rule now. They are older than the rules.',
            'What breaks the rules now: values from before there were rules.'
        ),
        (
            'Add each rule that no row breaks to its table as a constraint. Returns how many rules are still broken. For the'
            ' tables'' owner; airflow dagconfig migrate calls it each time, so that rules become constraints once the rows are'
            ' corrected.',
            'Make each rule that no row breaks a constraint of its table; gives how many rules are still broken. For the tables'''
            ' owner; airflow dagconfig migrate calls it each time, so that rules become constraints once rows are mended.'
        ),
        (
            'Returns the store''s functions, and for each the least role that may call it: reader, editor or owner.',
            'Our functions and who may call them: owner, editor, reader. An editor may call a reader''s, too.'
        ),
        (
            'Returns the sequences that number jobs and groups: those that the column owns, and those of its default.',
            'The sequences that number jobs and groups, whether the column owns its own or only takes its default from it.'
        ),
        (
            'Returns the tables and views that a reader may read. dagconfig_migrations is one of them if airflow dagconfig'
            ' migrate created it.',
            'The tables and views that a reader may look at. dagconfig_migrations is there where airflow dagconfig migrate made'
            ' it.'
        ),
        (
            'Let a role (its name as SQL writes it) call the functions of a reader or of an editor. For the functions'' owner.',
            'Let a role (its name as SQL writes it) call what a reader or an editor may. For the functions'' owner.'
        ),
        (
            'Store the names of the reader''s and the editor''s role. For the tables'' owner; grant_roles() calls it.',
            'Keep the names of the reader''s and the editor''s role. For the tables'' owner, by grant_roles().'
        ),
        (
            'Revoke all privileges that a role has in this schema. For the tables'' owner.',
            'Take from a role all that it may do in this schema. For the tables'' owner.'
        ),
        (
            'Create the roles that are missing, and grant them their privileges in this schema. Returns whether both roles exist.'
            ' With other names, the new roles replace the former ones, whose privileges in this schema are revoked. For the'
            ' tables'' owner; call it again once an administrator has created the roles.',
            'Make the roles where they are missing, and give them what they may do in this schema; gives whether both are there.'
            ' With other names, those take the place of the former ones, which may do nothing here any more. For the tables'''
            ' owner; to be called again once an administrator has made the roles.'
        ),
        (
            'One row, which identifies the installation. The owner changes it at least in a copied database.',
            'One row: which installation this store is. Its owner changes it, in a copied database at least.'
        ),
        (
            'When the id was created. A pod with the former name, without an id, is taken over only if the pod is older.',
            'When the id was made. A pod under its name from before, without an id, is taken over only if it is older.'
        ),
        (
            'Returns the store''s comments on its tables, their columns and the functions of 008: the object as COMMENT ON names'
            ' it, the store''s comment, and the present comment.',
            'What the store says of its tables and their columns, and of the functions of 008: the thing, as COMMENT ON names it,'
            ' the store''s comment, and the present one.'
        )
    ) AS c (former, present)
    LOOP
        changed := pg_catalog.replace(changed, pg_catalog.quote_literal(said.former), pg_catalog.quote_literal(said.present));
        EXECUTE coalesce((
            SELECT
                pg_catalog.string_agg(
                    pg_catalog.format(
                        'COMMENT ON %s %s IS %L', CASE WHEN d.objsubid <> 0 THEN 'column' ELSE o.type END, o.identity, said.present
                    ), '; '
                )
            FROM pg_catalog.pg_description AS d
            CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) AS o
            WHERE
                d.description = said.former AND o.schema = 'financial_screener'
                AND d.classoid IN ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass)
        ), '');
    END LOOP;
    IF changed <> definition THEN
        EXECUTE changed;
    END IF;
END
$$;
