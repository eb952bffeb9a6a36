-- The tables of a register on PostgreSQL (15 or newer), and the roles that may use them. Run it in the office's
-- database, as the account that shall own the tables and that may create roles. Running it again changes nothing.
--
-- Give each account of the office one of the roles:
--
--   blocklist_publisher  reads acts, and nothing else
--   blocklist_auditor    reads acts and dossiers
--   blocklist_agent      reads and appends acts and dossiers; for agents and the qualified person
--   blocklist_head       the same, and destroys dossiers
--
-- None of them can change or delete an act. The owner can; the chain and the published head are the proof.

BEGIN;

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['blocklist_publisher', 'blocklist_auditor', 'blocklist_agent', 'blocklist_head'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
END
$$;

CREATE TABLE IF NOT EXISTS public.acts (
    list varchar(32) NOT NULL,
    seq bigint NOT NULL,
    id varchar(64) NOT NULL UNIQUE,
    prev varchar(64) NOT NULL,
    envelope bytea NOT NULL,
    PRIMARY KEY (list, seq),
    UNIQUE (list, prev)
);

CREATE TABLE IF NOT EXISTS public.dossiers (
    act varchar(64) NOT NULL,
    salt varchar(64) NOT NULL,
    content bytea NOT NULL,
    CONSTRAINT dossiers_pkey PRIMARY KEY (act)
);

-- Keeps the owner, too, from a mistake.
CREATE OR REPLACE FUNCTION public.append_only() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'append only' USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE OR REPLACE TRIGGER acts_change BEFORE UPDATE OR DELETE OR TRUNCATE ON public.acts
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only();

-- What is deleted stays in the file of a table until the table is written anew, and only its owner can do that. This
-- way of doing so leaves out every deleted row, even one that an older transaction might still look at.
CREATE OR REPLACE FUNCTION public.tidy_dossiers() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    ALTER TABLE public.dossiers ALTER COLUMN content TYPE bytea USING content || ''::bytea;
END
$$;

REVOKE ALL ON public.acts, public.dossiers FROM PUBLIC;
REVOKE ALL ON FUNCTION public.tidy_dossiers(), public.append_only() FROM PUBLIC;

GRANT SELECT ON public.acts TO blocklist_publisher;
GRANT SELECT ON public.acts, public.dossiers TO blocklist_auditor;
GRANT SELECT, INSERT ON public.acts, public.dossiers TO blocklist_agent;
GRANT blocklist_agent TO blocklist_head;
GRANT DELETE ON public.dossiers TO blocklist_head;
GRANT EXECUTE ON FUNCTION public.tidy_dossiers() TO blocklist_head;

COMMIT;
