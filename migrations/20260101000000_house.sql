-- The house: tenants with their logs, agents with their sessions, commands with their executions.
-- Every key begins with the tenant, so that a distributed Postgres can shard by it; `replicas` is the
-- one exception, since a replica belongs to no tenant. Ids compare by bytes (`COLLATE "C"`), as programs do.

-- A tenant's log: which incarnation it is, how far it goes, and where it begins.
CREATE TABLE tenants (
    tenant_id  text COLLATE "C" PRIMARY KEY,
    -- Names the log's incarnation; a cursor of another one is refused.
    epoch      uuid        NOT NULL DEFAULT gen_random_uuid(),
    -- The newest revision; 0 before the first. Updated by the transaction that appends, which holds the row.
    head       bigint      NOT NULL DEFAULT 0,
    -- The oldest revision that can still be read.
    oldest     bigint      NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_head_not_negative CHECK (head >= 0),
    CONSTRAINT tenants_oldest_within CHECK (oldest BETWEEN 1 AND head + 1)
);

-- The logs. Partitioned by the day of the commit, so that retention drops whole partitions.
CREATE TABLE events (
    tenant_id    text COLLATE "C" NOT NULL,
    revision     bigint      NOT NULL,
    committed_at timestamptz NOT NULL,
    occurred_at  timestamptz NOT NULL,
    type         text        NOT NULL,
    subject      text        NOT NULL,
    -- Empty where the event concerns no agent.
    agent_id     text COLLATE "C" NOT NULL,
    source       text        NOT NULL,
    actor        text        NOT NULL,
    -- W3C Trace Context; empty where the work has none.
    traceparent  text        NOT NULL,
    -- `json`, not `jsonb`: what was reported is shown again byte for byte.
    data         json        NOT NULL,
    attributes   json        NOT NULL,
    -- Revision of the last event of the same change.
    change_end   bigint      NOT NULL,
    PRIMARY KEY (tenant_id, revision, committed_at)
) PARTITION BY RANGE (committed_at);

-- Catches what no daily partition takes, for example after a long pause with a wrong clock.
CREATE TABLE events_default PARTITION OF events DEFAULT;

CREATE TABLE agents (
    tenant_id         text COLLATE "C" NOT NULL,
    agent_id          text COLLATE "C" NOT NULL,
    name              text        NOT NULL,
    template          text        NOT NULL,
    labels            jsonb       NOT NULL,
    capabilities      jsonb       NOT NULL,
    software_version  text        NOT NULL,
    status            text        NOT NULL,
    status_reason     text        NOT NULL,
    exit_code         integer,
    connectivity      text        NOT NULL,
    -- Raised by every session; what arrives under an older one is refused.
    session_epoch     bigint      NOT NULL,
    -- The replica that holds the session; meaningful while CONNECTED.
    replica_id        uuid,
    version           bigint      NOT NULL,
    config            json,
    config_generation bigint      NOT NULL,
    config_hash       text        NOT NULL,
    config_status     text        NOT NULL,
    config_reason     text        NOT NULL,
    created_at        timestamptz NOT NULL,
    created_by        text        NOT NULL,
    updated_at        timestamptz NOT NULL,
    connected_at      timestamptz,
    disconnected_at   timestamptz,
    PRIMARY KEY (tenant_id, agent_id)
);

-- Finds the agents whose session ended, and those of a replica that died.
CREATE INDEX agents_away ON agents (disconnected_at) WHERE connectivity = 'disconnected';
CREATE INDEX agents_by_replica ON agents (replica_id) WHERE connectivity = 'connected';

-- The last report of each run of an agent that is in the log, so that a report enters it once.
CREATE TABLE agent_instances (
    tenant_id    text COLLATE "C" NOT NULL,
    agent_id     text COLLATE "C" NOT NULL,
    instance_uid uuid        NOT NULL,
    last_report  bigint      NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, instance_uid)
);

CREATE TABLE commands (
    tenant_id   text COLLATE "C" NOT NULL,
    command_id  uuid        NOT NULL,
    name        text        NOT NULL,
    parameters  json        NOT NULL,
    issued_by   text        NOT NULL,
    issued_at   timestamptz NOT NULL,
    deadline    timestamptz NOT NULL,
    traceparent text        NOT NULL,
    PRIMARY KEY (tenant_id, command_id)
);

CREATE TABLE command_executions (
    tenant_id       text COLLATE "C" NOT NULL,
    command_id      uuid        NOT NULL,
    agent_id        text COLLATE "C" NOT NULL,
    state           text        NOT NULL,
    result          json,
    error           text        NOT NULL,
    -- Per agent, commands run in the order of this revision.
    issued_revision bigint      NOT NULL,
    deadline        timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deliveries      integer     NOT NULL,
    -- The run of the agent that it was sent to: another run knows of it only by a durable ledger.
    instance_uid    uuid,
    PRIMARY KEY (tenant_id, command_id, agent_id)
);

CREATE INDEX command_executions_by_agent ON command_executions (tenant_id, agent_id, issued_revision);
-- What still has a deadline to meet.
CREATE INDEX command_executions_open ON command_executions (deadline)
    WHERE state IN ('QUEUED', 'DELIVERED', 'ACKNOWLEDGED', 'IN_PROGRESS');

CREATE TABLE resources (
    tenant_id  text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    version    bigint      NOT NULL,
    data       json        NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text        NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text        NOT NULL,
    PRIMARY KEY (tenant_id, kind, id)
);

CREATE TABLE api_keys (
    tenant_id    text COLLATE "C" NOT NULL,
    key_id       text COLLATE "C" NOT NULL,
    name         text        NOT NULL,
    role         text        NOT NULL,
    secret_hash  bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    created_by   text        NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, key_id)
);

-- What a mutating call answered, so that its repetition has no further effect.
CREATE TABLE idempotency_keys (
    tenant_id   text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    -- Hash of the request; another request under the same key is refused.
    fingerprint bytea       NOT NULL,
    response    json        NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- One lease for each replica of the state service; agents themselves have none in the database.
CREATE TABLE replicas (
    replica_id  uuid        PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);

-- The latest measurements, for replicas that do not hold the agent's session. Not worth a log: after a
-- crash of Postgres they are gone, and the next sample brings them back.
CREATE UNLOGGED TABLE agent_metrics (
    tenant_id  text COLLATE "C" NOT NULL,
    agent_id   text COLLATE "C" NOT NULL,
    replica_id uuid        NOT NULL,
    sample     json        NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, agent_id)
);
CREATE INDEX agent_metrics_by_time ON agent_metrics (updated_at);
