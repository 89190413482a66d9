-- The life of tenants, what each may use at most, and how much that is. Only adds: replicas of the version before go
-- on working beside those of this one, though what they write is not counted.

ALTER TABLE tenants
    -- A name for people; may be empty.
    ADD COLUMN display_name      text NOT NULL DEFAULT '',
    ADD COLUMN state             text NOT NULL DEFAULT 'active'
        CONSTRAINT tenants_state_known CHECK (state IN ('active', 'suspended', 'deleting')),
    -- Why it is suspended or being deleted; empty otherwise.
    ADD COLUMN state_reason      text NOT NULL DEFAULT '',
    -- When its name, its bounds or its state last changed.
    ADD COLUMN updated_at        timestamptz,
    -- What it may use at most, where that is not what the service is configured with; 0 is no bound.
    ADD COLUMN agents_max        bigint CONSTRAINT tenants_agents_max_not_negative CHECK (agents_max >= 0),
    ADD COLUMN sockets_max       bigint CONSTRAINT tenants_sockets_max_not_negative CHECK (sockets_max >= 0),
    ADD COLUMN events_per_second bigint CONSTRAINT tenants_events_per_second_not_negative CHECK (events_per_second >= 0),
    ADD COLUMN events_burst      bigint CONSTRAINT tenants_events_burst_not_negative CHECK (events_burst >= 0),
    ADD COLUMN stored_bytes_max  bigint CONSTRAINT tenants_stored_bytes_max_not_negative CHECK (stored_bytes_max >= 0),
    -- What it uses: counted by whoever writes the rows, who holds this row's lock.
    ADD COLUMN agents            bigint NOT NULL DEFAULT 0,
    ADD COLUMN stored_bytes      bigint NOT NULL DEFAULT 0,
    -- When all events that were logged so far are paid for at the tenant's rate.
    ADD COLUMN events_paid_at    timestamptz NOT NULL DEFAULT 'epoch';

UPDATE tenants SET
    agents = (SELECT count(*) FROM agents a WHERE a.tenant_id = tenants.tenant_id),
    stored_bytes = (
        SELECT COALESCE(sum(256 + octet_length(agent_id) + octet_length(name) + octet_length(template)
                            + octet_length(software_version) + COALESCE(octet_length(config::text), 0)
                            + (SELECT COALESCE(sum(octet_length(key) + octet_length(value)), 0) FROM jsonb_each_text(labels))
                            + (SELECT COALESCE(sum(octet_length(word)), 0) FROM jsonb_array_elements_text(capabilities) word)), 0)
        FROM agents a WHERE a.tenant_id = tenants.tenant_id
    ) + (
        SELECT COALESCE(sum(256 + octet_length(kind) + octet_length(id) + octet_length(data::text)), 0)
        FROM resources r WHERE r.tenant_id = tenants.tenant_id
    );

-- Finds what is left to be deleted.
CREATE INDEX tenants_deleting ON tenants (tenant_id) WHERE state = 'deleting';

-- Tenants that were deleted, by the SHA-256 of their id: tokens that are still good must not bring one back. Only its
-- creation by an administrator of the platform does.
CREATE TABLE deleted_tenants (
    digest     bytea       PRIMARY KEY,
    deleted_at timestamptz NOT NULL
);
