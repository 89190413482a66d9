-- What agents prove who they are by: keys of one agent, and the tokens by which agents come to them. Only adds.

ALTER TABLE api_keys
    -- The one agent that the key is good for; NULL where it is good for more, or no agent's.
    ADD COLUMN agent_id    text COLLATE "C",
    -- Labels that the agent has whatever it says, from the token that enrolled it.
    ADD COLUMN labels      jsonb NOT NULL DEFAULT '{}',
    -- When it ends because another replaces it, used or not; NULL where none does.
    ADD COLUMN replaced_at timestamptz,
    -- The key that this one replaces, which ends when this one is first used; NULL once it was, or where there is none.
    ADD COLUMN replaces    text COLLATE "C",
    -- SHA-256 of what the agent that enrolled said to be recognised by, in case that the answer is lost.
    ADD COLUMN enrolled_by bytea;

CREATE INDEX api_keys_by_agent ON api_keys (tenant_id, agent_id) WHERE agent_id IS NOT NULL;

CREATE TABLE enrolment_tokens (
    tenant_id        text COLLATE "C" NOT NULL,
    token_id         text COLLATE "C" NOT NULL,
    name             text        NOT NULL,
    secret_hash      bytea       NOT NULL,
    uses_max         bigint      NOT NULL,
    uses             bigint      NOT NULL,
    labels           jsonb       NOT NULL,
    -- As an id, where `*` stands for any characters; empty for any id.
    agent_id_pattern text        NOT NULL,
    key_ttl_s        bigint      NOT NULL,
    allows_again     boolean     NOT NULL,
    created_at       timestamptz NOT NULL,
    created_by       text        NOT NULL,
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz,
    last_used_at     timestamptz,
    PRIMARY KEY (tenant_id, token_id),
    CONSTRAINT enrolment_tokens_uses CHECK (uses BETWEEN 0 AND uses_max)
);

-- A token is presented without its tenant, as API keys are.
CREATE UNIQUE INDEX enrolment_tokens_by_id ON enrolment_tokens (token_id);
