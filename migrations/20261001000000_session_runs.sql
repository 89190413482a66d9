-- Which run of an agent holds its session, or held the last one: a run that began earlier does not take the session
-- from it while it is there.
ALTER TABLE agents ADD COLUMN session_instance_uid uuid;
