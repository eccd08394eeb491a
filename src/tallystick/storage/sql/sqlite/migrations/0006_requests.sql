-- Requests that were refused or failed, for a while: no part of the ledger. `number` counts within
-- the organization, so that the latest so many are found without counting. `details` is a JSON
-- object, `event_ids` a JSON array.
CREATE TABLE refused_requests (
    organization_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    operation TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INTEGER NOT NULL,
    code TEXT NOT NULL,
    details TEXT NOT NULL,
    teamspace_id TEXT NOT NULL,
    api_key_id TEXT,
    event_ids TEXT NOT NULL,
    rejected INTEGER NOT NULL CHECK (rejected >= 0),
    PRIMARY KEY (organization_id, number),
    UNIQUE (organization_id, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX refused_requests_by_age ON refused_requests (at);
