-- Resources of any kind, the kinds that tenants add, and what a change did to a resource, beside the event that
-- tells of it. Only adds: replicas of the version before go on working beside those of this one.

ALTER TABLE resources
    -- Where it is in its life; empty for a kind that has no lifecycle.
    ADD COLUMN state      text NOT NULL DEFAULT '',
    -- The agent that works on it; empty when none.
    ADD COLUMN agent_id   text COLLATE "C" NOT NULL DEFAULT '',
    -- Whether that agent is at work on it: such a run ends with its agent.
    ADD COLUMN is_active  boolean NOT NULL DEFAULT false,
    -- What it can be listed by, own and inherited: `{"severity": ["HIGH"]}`.
    ADD COLUMN attributes jsonb NOT NULL DEFAULT '{}';

-- The runs that end when an agent does. Lists go by the primary key, in the order of the ids.
CREATE INDEX resources_active ON resources (tenant_id, agent_id) WHERE is_active;

-- The first event of a change carries it: kind, id, version, the fields that changed, and whether it is gone.
ALTER TABLE events ADD COLUMN delta json;

-- The numbers for people, such as INC-2026-007: the last one of each kind and year.
CREATE TABLE resource_numbers (
    tenant_id text COLLATE "C" NOT NULL,
    kind      text COLLATE "C" NOT NULL,
    year      integer NOT NULL,
    last      bigint  NOT NULL,
    PRIMARY KEY (tenant_id, kind, year)
);

-- The kinds that tenants have added.
CREATE TABLE kinds (
    tenant_id  text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    version    bigint      NOT NULL,
    -- Description, schema, lifecycle, attributes, references.
    definition json        NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text        NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
