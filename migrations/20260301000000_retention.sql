-- What retention, the system's status and the bounds of commands need. Only adds: replicas of the version before
-- go on working beside those of this one.

-- How long a tenant's log is kept, where that is not what the service is configured with; 0 keeps it for ever.
ALTER TABLE tenants
    ADD COLUMN retention_age_s bigint CONSTRAINT tenants_retention_age_not_negative CHECK (retention_age_s >= 0),
    ADD COLUMN retention_bytes bigint CONSTRAINT tenants_retention_bytes_not_negative CHECK (retention_bytes >= 0);

-- How much of each log lies where: what retention counts, so that it never has to read the log itself. A segment
-- is a stretch of 1024 revisions within one day; a change belongs whole to the segment of its last event.
CREATE TABLE log_segments (
    tenant_id      text COLLATE "C" NOT NULL,
    -- change_end / 1024
    segment        bigint NOT NULL,
    -- The day of the commit in UTC, which is the partition that its events are in.
    day            date   NOT NULL,
    first_revision bigint NOT NULL,
    last_revision  bigint NOT NULL,
    events         bigint NOT NULL,
    -- About as many bytes as the events take on disk.
    bytes          bigint NOT NULL,
    PRIMARY KEY (tenant_id, segment, day)
) WITH (fillfactor = 50);

INSERT INTO log_segments
SELECT tenant_id, change_end / 1024, (committed_at AT TIME ZONE 'UTC')::date, min(revision), max(revision), count(*),
       sum(128 + octet_length(subject) + octet_length(source) + octet_length(data::text) + octet_length(attributes::text))
FROM events
GROUP BY 1, 2, 3;

-- The health of each tenant's system as its log last told it; healthy where there is no row.
CREATE TABLE system_status (
    tenant_id  text COLLATE "C" PRIMARY KEY,
    -- `healthy`, `degraded` or `down`.
    health     text        NOT NULL,
    -- The components that are not healthy, each with its word.
    components json        NOT NULL,
    changed_at timestamptz NOT NULL
);

-- Finds the tenants that are worth another look, and no others.
CREATE INDEX agents_unwell ON agents (tenant_id) WHERE status = 'failed' OR connectivity = 'lost';

-- Whether the replica hears the hints of the others.
ALTER TABLE replicas ADD COLUMN is_listening boolean NOT NULL DEFAULT true;

-- Why somebody asked to take the command back after it was sent; sent again until the agent has answered.
ALTER TABLE command_executions ADD COLUMN cancel_reason text;

-- What still waits at an agent, however long its history is.
CREATE INDEX command_executions_open_by_agent ON command_executions (tenant_id, agent_id, issued_revision)
    WHERE state IN ('QUEUED', 'DELIVERED', 'ACKNOWLEDGED', 'IN_PROGRESS');
