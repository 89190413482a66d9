-- Numbers the calls by which an edge says what it holds, so that one that is late does not undo a newer one.

ALTER TABLE edge_places
    -- Number of the last call that was taken.
    ADD COLUMN sequence bigint NOT NULL DEFAULT 0,
    -- When it was taken.
    ADD COLUMN told_at timestamptz NOT NULL DEFAULT now(),
    -- A row without places remembers the number for as long as an older call may still be on its way.
    DROP CONSTRAINT edge_places_held_positive,
    ADD CONSTRAINT edge_places_held_not_negative CHECK (held >= 0);
