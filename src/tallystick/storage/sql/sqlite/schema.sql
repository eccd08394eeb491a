CREATE TABLE accounts (
    organization_id TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'closed')),
    plan TEXT NOT NULL,
    next_plan TEXT,
    period_index INTEGER NOT NULL CHECK (period_index >= 0),
    period_start INTEGER NOT NULL,
    period_end INTEGER NOT NULL CHECK (period_start < period_end),
    allowance_grant_id TEXT,
    remaining INTEGER NOT NULL,
    consumed INTEGER NOT NULL CHECK (consumed <= 8000000000000000),
    overage INTEGER NOT NULL CHECK (overage BETWEEN 0 AND consumed),
    held INTEGER NOT NULL CHECK (held BETWEEN 0 AND remaining),
    pending INTEGER NOT NULL CHECK (pending >= 0),
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    head BLOB NOT NULL CHECK (length(head) = 32),
    advanced_to INTEGER NOT NULL,
    next_due_at INTEGER NOT NULL,
    CHECK (remaining + consumed - overage + pending <= 8000000000000000)
) STRICT;

CREATE TABLE api_keys (
    organization_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    teamspace_id TEXT,
    name TEXT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('organization', 'account')),
    scopes TEXT NOT NULL,
    imported INTEGER NOT NULL CHECK (imported IN (0, 1)),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER,
    PRIMARY KEY (organization_id, key_id),
    CHECK ((organization_id = '') = (teamspace_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE budgets (
    organization_id TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    budget INTEGER NOT NULL CHECK (budget >= 0),
    used INTEGER NOT NULL,
    PRIMARY KEY (organization_id, subject_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    organization_id TEXT NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence > 0),
    kind TEXT NOT NULL,
    credits INTEGER NOT NULL CHECK (credits >= 0),
    drawn TEXT NOT NULL,
    grant_id TEXT,
    event_id TEXT,
    hold_id TEXT,
    teamspace_id TEXT,
    api_key_id TEXT,
    meter TEXT,
    occurred_at INTEGER,
    booked_at INTEGER NOT NULL,
    remaining_after INTEGER NOT NULL,
    consumed_after INTEGER NOT NULL,
    overage_after INTEGER NOT NULL,
    held_after INTEGER NOT NULL,
    detail TEXT,
    content BLOB,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (organization_id, sequence)
) STRICT;

CREATE TABLE event_dimensions (
    organization_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    dimensions TEXT,
    salt BLOB,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    counted TEXT NOT NULL,
    erased_at INTEGER,
    PRIMARY KEY (organization_id, sequence),
    CHECK ((dimensions IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((salt IS NULL) = (erased_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    organization_id TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    kind TEXT NOT NULL
        CHECK (kind IN ('rollover', 'allowance', 'promotional', 'adjustment', 'top_up')),
    amount INTEGER NOT NULL,
    remaining INTEGER NOT NULL CHECK (remaining BETWEEN 0 AND amount),
    held INTEGER NOT NULL CHECK (held BETWEEN 0 AND remaining),
    priority INTEGER NOT NULL,
    effective_at INTEGER NOT NULL,
    expires_at INTEGER,
    status TEXT NOT NULL
        CHECK (status IN ('pending', 'active', 'exhausted', 'expired', 'voided')),
    issued INTEGER NOT NULL,
    reference TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, grant_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE holds (
    organization_id TEXT NOT NULL,
    hold_id TEXT NOT NULL,
    credits INTEGER NOT NULL CHECK (credits > 0),
    parts TEXT NOT NULL,
    captured INTEGER NOT NULL CHECK (captured >= 0),
    status TEXT NOT NULL CHECK (status IN ('open', 'captured', 'released', 'expired')),
    expires_at INTEGER NOT NULL,
    placed INTEGER NOT NULL,
    reference TEXT,
    teamspace_id TEXT NOT NULL,
    api_key_id TEXT,
    meter TEXT,
    dimensions TEXT,
    salt BLOB,
    digest BLOB,
    created_at INTEGER NOT NULL CHECK (created_at < expires_at),
    PRIMARY KEY (organization_id, hold_id),
    CHECK ((status = 'open') = (parts <> '[]')),
    CHECK ((dimensions IS NULL) = (salt IS NULL) AND (salt IS NULL OR digest IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE key_directory (
    hash BLOB NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    expires_at INTEGER,
    FOREIGN KEY (organization_id, key_id) REFERENCES api_keys
) STRICT, WITHOUT ROWID;

CREATE TABLE milestones (
    organization_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (organization_id, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE organizations (
    organization_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    external_id TEXT UNIQUE,
    default_teamspace_id TEXT NOT NULL,
    rate_limits TEXT NOT NULL,
    content BLOB NOT NULL,
    created_at INTEGER NOT NULL
, usage_dimensions TEXT NOT NULL DEFAULT '[]') STRICT;

CREATE TABLE period_usage (
    organization_id TEXT NOT NULL,
    period_index INTEGER NOT NULL,
    teamspace_id TEXT NOT NULL,
    meter TEXT NOT NULL,
    api_key_id TEXT NOT NULL,
    credits INTEGER NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (organization_id, period_index, teamspace_id, meter, api_key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE periods (
    organization_id TEXT NOT NULL,
    period_index INTEGER NOT NULL CHECK (period_index >= 0),
    period_start INTEGER NOT NULL,
    period_end INTEGER NOT NULL CHECK (period_start < period_end),
    timezone TEXT NOT NULL,
    allowance INTEGER NOT NULL CHECK (allowance >= 0),
    sequence INTEGER NOT NULL,
    PRIMARY KEY (organization_id, period_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE price_ends (
    number INTEGER PRIMARY KEY,
    price_id TEXT NOT NULL REFERENCES prices (price_id),
    ends_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (price_id, ends_at)
) STRICT;

CREATE TABLE prices (
    number INTEGER PRIMARY KEY,
    price_id TEXT NOT NULL UNIQUE,
    meter TEXT NOT NULL,
    dimensions TEXT NOT NULL,
    credits INTEGER NOT NULL CHECK (credits >= 0),
    per TEXT NOT NULL,
    rounding TEXT NOT NULL CHECK (rounding IN ('up', 'down', 'half_up', 'half_even')),
    effective_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

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

CREATE TABLE replays (
    api_key_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    request_digest BLOB NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (api_key_id, operation, idempotency_key)
) STRICT;

CREATE TABLE schema_migrations (
    version INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

CREATE TABLE teamspaces (
    organization_id TEXT NOT NULL REFERENCES organizations,
    teamspace_id TEXT NOT NULL,
    name TEXT NOT NULL,
    access TEXT NOT NULL CHECK (access IN ('open', 'closed')),
    cloud_provider TEXT NOT NULL CHECK (cloud_provider IN ('aws', 'gcp')),
    rate_limits TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (organization_id, teamspace_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_days (
    organization_id TEXT NOT NULL,
    dimension TEXT NOT NULL,
    day INTEGER NOT NULL CHECK (day % 86400000000 = 0),
    value TEXT NOT NULL,
    teamspace_id TEXT NOT NULL,
    meter TEXT NOT NULL,
    api_key_id TEXT NOT NULL,
    credits_01 INTEGER NOT NULL, events_01 INTEGER NOT NULL,
    credits_02 INTEGER NOT NULL, events_02 INTEGER NOT NULL,
    credits_03 INTEGER NOT NULL, events_03 INTEGER NOT NULL,
    credits_04 INTEGER NOT NULL, events_04 INTEGER NOT NULL,
    credits_05 INTEGER NOT NULL, events_05 INTEGER NOT NULL,
    credits_06 INTEGER NOT NULL, events_06 INTEGER NOT NULL,
    credits_07 INTEGER NOT NULL, events_07 INTEGER NOT NULL,
    credits_08 INTEGER NOT NULL, events_08 INTEGER NOT NULL,
    credits_09 INTEGER NOT NULL, events_09 INTEGER NOT NULL,
    credits_10 INTEGER NOT NULL, events_10 INTEGER NOT NULL,
    credits_11 INTEGER NOT NULL, events_11 INTEGER NOT NULL,
    credits_12 INTEGER NOT NULL, events_12 INTEGER NOT NULL,
    credits_13 INTEGER NOT NULL, events_13 INTEGER NOT NULL,
    credits_14 INTEGER NOT NULL, events_14 INTEGER NOT NULL,
    credits_15 INTEGER NOT NULL, events_15 INTEGER NOT NULL,
    credits_16 INTEGER NOT NULL, events_16 INTEGER NOT NULL,
    credits_17 INTEGER NOT NULL, events_17 INTEGER NOT NULL,
    credits_18 INTEGER NOT NULL, events_18 INTEGER NOT NULL,
    credits_19 INTEGER NOT NULL, events_19 INTEGER NOT NULL,
    credits_20 INTEGER NOT NULL, events_20 INTEGER NOT NULL,
    credits_21 INTEGER NOT NULL, events_21 INTEGER NOT NULL,
    credits_22 INTEGER NOT NULL, events_22 INTEGER NOT NULL,
    credits_23 INTEGER NOT NULL, events_23 INTEGER NOT NULL,
    credits_24 INTEGER NOT NULL, events_24 INTEGER NOT NULL,
    PRIMARY KEY (organization_id, dimension, day, value, teamspace_id, meter, api_key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_events (
    event_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    overdraw INTEGER NOT NULL CHECK (overdraw IN (0, 1)),
    PRIMARY KEY (event_id, organization_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE "usage_rollups" (
    organization_id TEXT NOT NULL,
    dimension TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    value TEXT NOT NULL,
    teamspace_id TEXT NOT NULL,
    meter TEXT NOT NULL,
    api_key_id TEXT NOT NULL,
    credits INTEGER NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (organization_id, dimension, bucket, value, teamspace_id, meter, api_key_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX accounts_by_due ON accounts (next_due_at);

CREATE INDEX api_keys_by_age ON api_keys (organization_id, created_at, key_id);

CREATE INDEX entries_by_grant ON entries (organization_id, grant_id, sequence)
    WHERE grant_id IS NOT NULL;

CREATE INDEX entries_by_hold ON entries (organization_id, hold_id, sequence)
    WHERE hold_id IS NOT NULL;

CREATE INDEX entries_by_kind ON entries (organization_id, kind, sequence)
    WHERE kind <> 'usage.booked';

CREATE INDEX entries_by_reversal ON entries (organization_id, event_id, sequence)
    WHERE kind = 'usage.reversed';

CREATE TRIGGER entries_refuse_delete BEFORE DELETE ON entries
BEGIN
    SELECT raise(ABORT, 'entries are never deleted');
END;

CREATE TRIGGER entries_refuse_update BEFORE UPDATE ON entries
BEGIN
    SELECT raise(ABORT, 'entries are never changed');
END;

CREATE TRIGGER event_dimensions_are_only_erased BEFORE UPDATE ON event_dimensions
WHEN old.erased_at IS NOT NULL OR new.erased_at IS NULL
    OR new.organization_id <> old.organization_id OR new.sequence <> old.sequence
    OR new.digest <> old.digest OR new.counted <> old.counted
BEGIN
    SELECT raise(ABORT, 'the dimensions of usage events are never changed, only erased');
END;

CREATE TRIGGER event_dimensions_refuse_delete BEFORE DELETE ON event_dimensions
BEGIN
    SELECT raise(ABORT, 'the dimensions of usage events are erased, not deleted');
END;

CREATE UNIQUE INDEX grants_by_issue ON grants (organization_id, issued);

CREATE UNIQUE INDEX grants_by_reference ON grants (organization_id, reference)
    WHERE reference IS NOT NULL;

CREATE INDEX grants_live ON grants (organization_id)
    WHERE status IN ('pending', 'active') OR held > 0;

CREATE UNIQUE INDEX holds_by_placing ON holds (organization_id, placed);

CREATE UNIQUE INDEX holds_by_reference ON holds (organization_id, reference)
    WHERE reference IS NOT NULL;

CREATE INDEX holds_by_status ON holds (organization_id, status, placed);

CREATE INDEX key_directory_by_key ON key_directory (organization_id, key_id);

CREATE TRIGGER key_directory_keeps_its_key
BEFORE UPDATE OF organization_id, key_id ON key_directory
WHEN old.organization_id <> new.organization_id OR old.key_id <> new.key_id
BEGIN
    SELECT raise(ABORT, 'a secret stays with its key');
END;

CREATE INDEX organizations_by_age ON organizations (created_at, organization_id);

CREATE TRIGGER price_ends_refuse_delete BEFORE DELETE ON price_ends
BEGIN
    SELECT raise(ABORT, 'ends of prices are never deleted');
END;

CREATE TRIGGER price_ends_refuse_update BEFORE UPDATE ON price_ends
BEGIN
    SELECT raise(ABORT, 'ends of prices are never changed');
END;

CREATE INDEX prices_by_age ON prices (created_at, price_id);

CREATE INDEX prices_by_meter ON prices (meter);

CREATE TRIGGER prices_refuse_delete BEFORE DELETE ON prices
BEGIN
    SELECT raise(ABORT, 'prices are never deleted');
END;

CREATE TRIGGER prices_refuse_update BEFORE UPDATE ON prices
BEGIN
    SELECT raise(ABORT, 'prices are never changed');
END;

CREATE INDEX refused_requests_by_age ON refused_requests (at);

CREATE INDEX replays_by_age ON replays (created_at);

CREATE INDEX teamspaces_by_age ON teamspaces (organization_id, created_at, teamspace_id);

CREATE TRIGGER usage_events_refuse_delete BEFORE DELETE ON usage_events
BEGIN
    SELECT raise(ABORT, 'usage events are never deleted');
END;

CREATE TRIGGER usage_events_refuse_update BEFORE UPDATE ON usage_events
BEGIN
    SELECT raise(ABORT, 'usage events are never changed');
END;
