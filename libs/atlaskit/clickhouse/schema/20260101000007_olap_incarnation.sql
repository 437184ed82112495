-- migrate:up
-- A random id that is gone once the server has stopped: what was proven for it may be gone too.
CREATE TABLE IF NOT EXISTS olap_incarnation (incarnation UUID, since DateTime64(6, 'UTC')) ENGINE = Memory

-- migrate:down
DROP TABLE IF EXISTS olap_incarnation
