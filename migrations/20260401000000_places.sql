-- Places that edges hold for their users, such as connections. Not worth a log: after a crash of Postgres they
-- are gone, and the edges say them again.

-- The edges that are known, each until its lease runs out.
CREATE UNLOGGED TABLE edges (
    edge_id    uuid        PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

-- How many places each edge holds of what.
CREATE UNLOGGED TABLE edge_places (
    tenant_id text COLLATE "C" NOT NULL,
    -- What is counted, such as the connections of one dialect.
    scope     text COLLATE "C" NOT NULL,
    -- The user.
    subject   text COLLATE "C" NOT NULL,
    edge_id   uuid        NOT NULL REFERENCES edges ON DELETE CASCADE,
    held      integer     NOT NULL CONSTRAINT edge_places_held_positive CHECK (held > 0),
    PRIMARY KEY (tenant_id, scope, subject, edge_id)
);

CREATE INDEX edge_places_by_edge ON edge_places (edge_id);
