-- A second wall between tenants. Of every table with rows of tenants a connection sees and writes those of the tenants
-- that its setting `signalbox.tenants` names: an array such as `{acme,globex}`, or `*` for all of them. Where it is not
-- set there is nothing to be seen. The service sets it for each use of a connection; who else looks into the database
-- as its owner says `SET signalbox.tenants = '*'` first. Superusers and roles with BYPASSRLS see everything.
--
-- Replicas of the version before do not set it: where they log in as the owner of the tables and not as a superuser,
-- stop them before this is run.

-- Puts a table behind the wall; nothing where it is already. Each new table with a `tenant_id` needs it.
CREATE FUNCTION signalbox_wall(walled regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = walled) THEN
        RETURN;
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', walled);
    -- The sub-selects are computed once for each statement, and not for each row.
    EXECUTE format($policy$
        CREATE POLICY tenant_rows ON %s USING (
            (SELECT current_setting('signalbox.tenants', true) = '*')
            OR tenant_id = ANY ((SELECT CASE WHEN current_setting('signalbox.tenants', true) LIKE '{%%'
                                             THEN current_setting('signalbox.tenants', true)::text[] END)::text[]))
        $policy$, walled);
END $$;

-- Whoever writes takes the heads first, and waits there.
LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE;

DO $$
BEGIN
    PERFORM signalbox_wall(c.oid)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attname = 'tenant_id' AND NOT a.attisdropped
      AND c.relkind IN ('r', 'p') AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'tenants'::regclass)
    ORDER BY c.oid;
END $$;
