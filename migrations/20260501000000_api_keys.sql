-- What authentication by API key needs. Only adds.

-- A key is presented without its tenant, so that its id must be one of a kind among all tenants. Where tenants are
-- spread over several databases, this belongs into a table of its own that each of them has.
CREATE UNIQUE INDEX api_keys_by_id ON api_keys (key_id);
