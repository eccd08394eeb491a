-- The ledger's tables in PostgreSQL: those of SQLite's schema, column by column. Amounts are
-- micro-credits, instants microseconds since 1970 (UTC), facts canonical JSON. Operators' keys belong
-- to no organization: theirs is ''.
--
-- The organization leads every primary and unique key, so that each table can be cut by it: here by
-- hash partitions, elsewhere by shards. The exceptions say above them why they are.
--
-- JSON is text, as it was written: hashes are made of it, and jsonb would write it anew. All text is
-- compared by its bytes (COLLATE "C"), as SQLite and Python do; no key depends on a locale, whose
-- rules change with the operating system. Numbers are counted by whoever holds the lock: there are
-- no sequences.

-- Cuts a table, new and empty, into hash partitions by organization: as many as the setting
-- tallystick.partitions says, which whoever migrates sets; none where it is 0. Keys that the table
-- has by now, checks and storage parameters stay; indexes, foreign keys and triggers are made
-- afterwards.
CREATE FUNCTION tallystick_partition(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    partitions integer := current_setting('tallystick.partitions');
    key text;
    options text;
BEGIN
    IF partitions = 0 THEN
        RETURN;
    END IF;
    SELECT pg_get_constraintdef(oid) INTO STRICT key
    FROM pg_constraint WHERE conrelid = name::regclass AND contype = 'p';
    SELECT coalesce('WITH (' || array_to_string(reloptions, ', ') || ')', '') INTO STRICT options
    FROM pg_class WHERE oid = name::regclass;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_whole');
    EXECUTE format(
        'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)'
        ' PARTITION BY HASH (organization_id)',
        name, name || '_whole'
    );
    EXECUTE format('DROP TABLE %I', name || '_whole');
    EXECUTE format('ALTER TABLE %I ADD %s', name, key);
    FOR remainder IN 0 .. partitions - 1 LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s) %s',
            name || '_' || remainder, name, partitions, remainder, options
        );
    END LOOP;
END
$$;

-- For triggers: what they are on stays as it is. The message is their argument.
CREATE FUNCTION tallystick_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$;

-- Gives a table that only grows its triggers: changing or deleting a row is refused, and so is
-- emptying the table or one of its partitions.
CREATE FUNCTION tallystick_keep(name text, message text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
BEGIN
    EXECUTE format(
        'CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON %I'
        ' FOR EACH ROW EXECUTE FUNCTION tallystick_refuse(%L)',
        name || '_refuse_change', name, message
    );
    FOR part IN
        SELECT name::regclass
        UNION ALL
        SELECT inhrelid FROM pg_inherits WHERE inhparent = name::regclass
    LOOP
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE TRUNCATE ON %s EXECUTE FUNCTION tallystick_refuse(%L)',
            name || '_refuse_truncate', part, message
        );
    END LOOP;
END
$$;

CREATE TABLE organizations (
    organization_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C",
    default_teamspace_id TEXT COLLATE "C" NOT NULL,
    rate_limits TEXT COLLATE "C" NOT NULL,
    content BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    usage_dimensions TEXT COLLATE "C" NOT NULL DEFAULT '[]'
);

-- Begins with the caller's name for the organization: it is how the organization is found, and what
-- keeps two organizations from having one name. Written in the organization's own transaction.
CREATE TABLE external_ids (
    external_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    organization_id TEXT COLLATE "C" NOT NULL
);

CREATE TABLE teamspaces (
    organization_id TEXT COLLATE "C" NOT NULL,
    teamspace_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    access TEXT COLLATE "C" NOT NULL CHECK (access IN ('open', 'closed')),
    cloud_provider TEXT COLLATE "C" NOT NULL CHECK (cloud_provider IN ('aws', 'gcp')),
    rate_limits TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, teamspace_id)
);

CREATE TABLE api_keys (
    organization_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    teamspace_id TEXT COLLATE "C",
    name TEXT COLLATE "C" NOT NULL,
    level TEXT COLLATE "C" NOT NULL CHECK (level IN ('organization', 'account')),
    scopes TEXT COLLATE "C" NOT NULL,
    imported BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT,
    PRIMARY KEY (organization_id, key_id),
    CONSTRAINT api_keys_are_operators_or_of_a_teamspace
        CHECK ((organization_id = '') = (teamspace_id IS NULL))
);

-- Begins with the hash of a secret: it is how the organization is found. It may lie on another shard
-- than the key, so no foreign key leads there; both are written in one transaction.
CREATE TABLE key_directory (
    hash BYTEA NOT NULL PRIMARY KEY,
    organization_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT
);

-- Room in each page of what changes often: a change then stays in its page and writes no index.
CREATE TABLE accounts (
    organization_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'suspended', 'closed')),
    plan TEXT COLLATE "C" NOT NULL,
    next_plan TEXT COLLATE "C",
    period_index BIGINT NOT NULL CHECK (period_index >= 0),
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL
        CONSTRAINT accounts_period_has_a_length CHECK (period_start < period_end),
    allowance_grant_id TEXT COLLATE "C",
    remaining BIGINT NOT NULL,
    consumed BIGINT NOT NULL CHECK (consumed <= 8000000000000000),
    overage BIGINT NOT NULL
        CONSTRAINT accounts_overage_was_consumed CHECK (overage BETWEEN 0 AND consumed),
    held BIGINT NOT NULL CONSTRAINT accounts_held_is_there CHECK (held BETWEEN 0 AND remaining),
    pending BIGINT NOT NULL CHECK (pending >= 0),
    sequence BIGINT NOT NULL CHECK (sequence > 0),
    head BYTEA NOT NULL CHECK (octet_length(head) = 32),
    advanced_to BIGINT NOT NULL,
    next_due_at BIGINT NOT NULL,
    CONSTRAINT accounts_sums_are_exact
        CHECK (remaining + consumed - overage + pending <= 8000000000000000)
) WITH (fillfactor = 50);

CREATE TABLE grants (
    organization_id TEXT COLLATE "C" NOT NULL,
    grant_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL
        CHECK (kind IN ('rollover', 'allowance', 'promotional', 'adjustment', 'top_up')),
    amount BIGINT NOT NULL,
    remaining BIGINT NOT NULL
        CONSTRAINT grants_remaining_was_granted CHECK (remaining BETWEEN 0 AND amount),
    held BIGINT NOT NULL CONSTRAINT grants_held_is_there CHECK (held BETWEEN 0 AND remaining),
    priority BIGINT NOT NULL,
    effective_at BIGINT NOT NULL,
    expires_at BIGINT,
    status TEXT COLLATE "C" NOT NULL
        CHECK (status IN ('pending', 'active', 'exhausted', 'expired', 'voided')),
    issued BIGINT NOT NULL,
    reference TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, grant_id)
) WITH (fillfactor = 70);

-- `parts` is what is still held of which grant, in the order drawn: canonical JSON.
CREATE TABLE holds (
    organization_id TEXT COLLATE "C" NOT NULL,
    hold_id TEXT COLLATE "C" NOT NULL,
    credits BIGINT NOT NULL CHECK (credits > 0),
    parts TEXT COLLATE "C" NOT NULL,
    captured BIGINT NOT NULL CHECK (captured >= 0),
    status TEXT COLLATE "C" NOT NULL
        CHECK (status IN ('open', 'captured', 'released', 'expired')),
    expires_at BIGINT NOT NULL,
    placed BIGINT NOT NULL,
    reference TEXT COLLATE "C",
    teamspace_id TEXT COLLATE "C" NOT NULL,
    api_key_id TEXT COLLATE "C",
    meter TEXT COLLATE "C",
    dimensions TEXT COLLATE "C",
    salt BYTEA,
    digest BYTEA,
    created_at BIGINT NOT NULL
        CONSTRAINT holds_have_a_length CHECK (created_at < expires_at),
    PRIMARY KEY (organization_id, hold_id),
    CONSTRAINT holds_have_parts_while_open CHECK ((status = 'open') = (parts <> '[]')),
    CONSTRAINT holds_dimensions_are_salted
        CHECK ((dimensions IS NULL) = (salt IS NULL) AND (salt IS NULL OR digest IS NOT NULL))
);

-- What open holds set aside is added up from them.
CREATE TABLE budgets (
    organization_id TEXT COLLATE "C" NOT NULL,
    subject_id TEXT COLLATE "C" NOT NULL,
    budget BIGINT NOT NULL CHECK (budget >= 0),
    used BIGINT NOT NULL,
    PRIMARY KEY (organization_id, subject_id)
) WITH (fillfactor = 70);

-- What matters here is what a usage event costs: a row of entries with its primary key, and a row
-- of usage_events with its own. The hash of the entry before is not stored: it is that of the row
-- before.
CREATE TABLE entries (
    organization_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL CHECK (sequence > 0),
    kind TEXT COLLATE "C" NOT NULL,
    credits BIGINT NOT NULL CHECK (credits >= 0),
    drawn TEXT COLLATE "C" NOT NULL,
    grant_id TEXT COLLATE "C",
    event_id TEXT COLLATE "C",
    hold_id TEXT COLLATE "C",
    teamspace_id TEXT COLLATE "C",
    api_key_id TEXT COLLATE "C",
    meter TEXT COLLATE "C",
    occurred_at BIGINT,
    booked_at BIGINT NOT NULL,
    remaining_after BIGINT NOT NULL,
    consumed_after BIGINT NOT NULL,
    overage_after BIGINT NOT NULL
        CONSTRAINT entries_overage_was_consumed CHECK (overage_after BETWEEN 0 AND consumed_after),
    held_after BIGINT NOT NULL
        CONSTRAINT entries_held_is_there CHECK (held_after BETWEEN 0 AND remaining_after),
    detail TEXT COLLATE "C",
    content BYTEA,
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (organization_id, sequence)
);

CREATE TABLE usage_events (
    organization_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    overdraw BOOLEAN NOT NULL,
    PRIMARY KEY (organization_id, event_id)
);

-- What an event says beyond its entry. Erasing takes names, values and salt; the digest stays, since
-- the entry's content is made of it.
CREATE TABLE event_dimensions (
    organization_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    dimensions TEXT COLLATE "C",
    salt BYTEA,
    digest BYTEA NOT NULL CHECK (octet_length(digest) = 32),
    counted TEXT COLLATE "C" NOT NULL,
    erased_at BIGINT,
    PRIMARY KEY (organization_id, sequence),
    CONSTRAINT event_dimensions_are_erased_whole CHECK (
        (dimensions IS NULL) = (erased_at IS NOT NULL) AND (salt IS NULL) = (erased_at IS NOT NULL)
    )
);

-- Places from which a balance at an earlier instant is replayed: what the entries up to `sequence`
-- led to, as JSON. Nothing else depends on them, and what they say follows from the entries.
CREATE TABLE milestones (
    organization_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (organization_id, sequence)
);

CREATE TABLE periods (
    organization_id TEXT COLLATE "C" NOT NULL,
    period_index BIGINT NOT NULL CHECK (period_index >= 0),
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL
        CONSTRAINT periods_have_a_length CHECK (period_start < period_end),
    timezone TEXT COLLATE "C" NOT NULL,
    allowance BIGINT NOT NULL CHECK (allowance >= 0),
    sequence BIGINT NOT NULL,
    PRIMARY KEY (organization_id, period_index)
);

CREATE TABLE period_usage (
    organization_id TEXT COLLATE "C" NOT NULL,
    period_index BIGINT NOT NULL,
    teamspace_id TEXT COLLATE "C" NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    api_key_id TEXT COLLATE "C" NOT NULL,
    credits BIGINT NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (organization_id, period_index, teamspace_id, meter, api_key_id)
) WITH (fillfactor = 70);

-- Usage by quarters of an hour; absent teamspaces, meters and keys are ''. With dimension '' all usage
-- is there; with a dimension's name once more what has it, by its value.
CREATE TABLE usage_rollups (
    organization_id TEXT COLLATE "C" NOT NULL,
    dimension TEXT COLLATE "C" NOT NULL,
    bucket BIGINT NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    teamspace_id TEXT COLLATE "C" NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    api_key_id TEXT COLLATE "C" NOT NULL,
    credits BIGINT NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (organization_id, dimension, bucket, value, teamspace_id, meter, api_key_id)
) WITH (fillfactor = 70);

-- The same by days of UTC. Each pair of columns says how much there was before that hour of the day,
-- so that a day of any zone is the difference of three figures, wherever it begins: see
-- docs/adr/0019.
CREATE TABLE usage_days (
    organization_id TEXT COLLATE "C" NOT NULL,
    dimension TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL CHECK (day % 86400000000 = 0),
    value TEXT COLLATE "C" NOT NULL,
    teamspace_id TEXT COLLATE "C" NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    api_key_id TEXT COLLATE "C" NOT NULL,
    credits_01 BIGINT NOT NULL, events_01 BIGINT NOT NULL,
    credits_02 BIGINT NOT NULL, events_02 BIGINT NOT NULL,
    credits_03 BIGINT NOT NULL, events_03 BIGINT NOT NULL,
    credits_04 BIGINT NOT NULL, events_04 BIGINT NOT NULL,
    credits_05 BIGINT NOT NULL, events_05 BIGINT NOT NULL,
    credits_06 BIGINT NOT NULL, events_06 BIGINT NOT NULL,
    credits_07 BIGINT NOT NULL, events_07 BIGINT NOT NULL,
    credits_08 BIGINT NOT NULL, events_08 BIGINT NOT NULL,
    credits_09 BIGINT NOT NULL, events_09 BIGINT NOT NULL,
    credits_10 BIGINT NOT NULL, events_10 BIGINT NOT NULL,
    credits_11 BIGINT NOT NULL, events_11 BIGINT NOT NULL,
    credits_12 BIGINT NOT NULL, events_12 BIGINT NOT NULL,
    credits_13 BIGINT NOT NULL, events_13 BIGINT NOT NULL,
    credits_14 BIGINT NOT NULL, events_14 BIGINT NOT NULL,
    credits_15 BIGINT NOT NULL, events_15 BIGINT NOT NULL,
    credits_16 BIGINT NOT NULL, events_16 BIGINT NOT NULL,
    credits_17 BIGINT NOT NULL, events_17 BIGINT NOT NULL,
    credits_18 BIGINT NOT NULL, events_18 BIGINT NOT NULL,
    credits_19 BIGINT NOT NULL, events_19 BIGINT NOT NULL,
    credits_20 BIGINT NOT NULL, events_20 BIGINT NOT NULL,
    credits_21 BIGINT NOT NULL, events_21 BIGINT NOT NULL,
    credits_22 BIGINT NOT NULL, events_22 BIGINT NOT NULL,
    credits_23 BIGINT NOT NULL, events_23 BIGINT NOT NULL,
    credits_24 BIGINT NOT NULL, events_24 BIGINT NOT NULL,
    PRIMARY KEY (organization_id, dimension, day, value, teamspace_id, meter, api_key_id)
) WITH (fillfactor = 70);

-- The organization is that of the API key.
CREATE TABLE replays (
    organization_id TEXT COLLATE "C" NOT NULL,
    api_key_id TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    request_digest BYTEA NOT NULL,
    status BIGINT NOT NULL,
    body BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organization_id, api_key_id, operation, idempotency_key)
);

-- Requests that were refused or failed, for a while: no part of the ledger. `number` counts within
-- the organization, so that the latest so many are found without counting. `details` is a JSON
-- object, `event_ids` a JSON array.
CREATE TABLE refused_requests (
    organization_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    status BIGINT NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    details TEXT COLLATE "C" NOT NULL,
    teamspace_id TEXT COLLATE "C" NOT NULL,
    api_key_id TEXT COLLATE "C",
    event_ids TEXT COLLATE "C" NOT NULL,
    rejected BIGINT NOT NULL CHECK (rejected >= 0),
    PRIMARY KEY (organization_id, number)
);

SELECT tallystick_partition(name)
FROM unnest(ARRAY[
    'accounts', 'api_keys', 'budgets', 'entries', 'event_dimensions', 'grants', 'holds',
    'milestones', 'organizations', 'period_usage', 'periods', 'refused_requests', 'replays',
    'teamspaces', 'usage_days', 'usage_events', 'usage_rollups'
]) AS name;

-- Foreign keys are declared where rows are few and people make them. On the hot path every row is
-- written under the lock of the account that it names, and a check per event would buy nothing.
ALTER TABLE teamspaces ADD FOREIGN KEY (organization_id) REFERENCES organizations;

CREATE INDEX organizations_by_age ON organizations (created_at, organization_id);
CREATE INDEX teamspaces_by_age ON teamspaces (organization_id, created_at, teamspace_id);
CREATE INDEX api_keys_by_age ON api_keys (organization_id, created_at, key_id);
CREATE INDEX key_directory_by_key ON key_directory (organization_id, key_id);
CREATE INDEX accounts_by_due ON accounts (next_due_at);

CREATE UNIQUE INDEX grants_by_issue ON grants (organization_id, issued);
CREATE UNIQUE INDEX grants_by_reference ON grants (organization_id, reference)
    WHERE reference IS NOT NULL;
-- What is held of a grant outlives its end.
CREATE INDEX grants_live ON grants (organization_id)
    WHERE status IN ('pending', 'active') OR held > 0;

CREATE UNIQUE INDEX holds_by_placing ON holds (organization_id, placed);
CREATE UNIQUE INDEX holds_by_reference ON holds (organization_id, reference)
    WHERE reference IS NOT NULL;
CREATE INDEX holds_by_status ON holds (organization_id, status, placed);

-- None of these holds an entry of usage that is no capture, so usage does not pay for them.
CREATE INDEX entries_by_kind ON entries (organization_id, kind, sequence)
    WHERE kind <> 'usage.booked';
CREATE INDEX entries_by_grant ON entries (organization_id, grant_id, sequence)
    WHERE grant_id IS NOT NULL;
CREATE INDEX entries_by_reversal ON entries (organization_id, event_id, sequence)
    WHERE kind = 'usage.reversed';
CREATE INDEX entries_by_hold ON entries (organization_id, hold_id, sequence)
    WHERE hold_id IS NOT NULL;

CREATE INDEX replays_by_age ON replays (created_at);
CREATE UNIQUE INDEX refused_requests_by_request ON refused_requests (organization_id, request_id);
CREATE INDEX refused_requests_by_age ON refused_requests (at);

-- The price book, which belongs to no organization: every shard has it whole. `per` is a quantity as
-- decimal text, since a billionth of a unit of what is counted in bytes outgrows 64 bits;
-- `dimensions` is canonical JSON.
--
-- Its one row is what a change of the book locks. The last numbers of the two tables say which state
-- of the book this is.
CREATE TABLE price_book (
    is_the_row BOOLEAN NOT NULL PRIMARY KEY CHECK (is_the_row),
    last_price BIGINT NOT NULL,
    last_end BIGINT NOT NULL
);
INSERT INTO price_book (is_the_row, last_price, last_end) VALUES (true, 0, 0);

CREATE TABLE prices (
    number BIGINT NOT NULL PRIMARY KEY,
    price_id TEXT COLLATE "C" NOT NULL UNIQUE,
    meter TEXT COLLATE "C" NOT NULL,
    dimensions TEXT COLLATE "C" NOT NULL,
    credits BIGINT NOT NULL CHECK (credits >= 0),
    per TEXT COLLATE "C" NOT NULL,
    rounding TEXT COLLATE "C" NOT NULL
        CHECK (rounding IN ('up', 'down', 'half_up', 'half_even')),
    effective_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX prices_by_meter ON prices (meter);
CREATE INDEX prices_by_age ON prices (created_at, price_id);

-- An end can be brought forward: the earliest of a price's ends counts.
CREATE TABLE price_ends (
    number BIGINT NOT NULL PRIMARY KEY,
    price_id TEXT COLLATE "C" NOT NULL REFERENCES prices (price_id),
    ends_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (price_id, ends_at)
);

-- New rows take the next number of the book, and with it the book's lock until the commit.
CREATE FUNCTION tallystick_number_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE price_book SET last_price = last_price + 1 RETURNING last_price INTO STRICT NEW.number;
    RETURN NEW;
END
$$;
CREATE FUNCTION tallystick_number_price_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE price_book SET last_end = last_end + 1 RETURNING last_end INTO STRICT NEW.number;
    RETURN NEW;
END
$$;
CREATE TRIGGER prices_number BEFORE INSERT ON prices
FOR EACH ROW EXECUTE FUNCTION tallystick_number_price();
CREATE TRIGGER price_ends_number BEFORE INSERT ON price_ends
FOR EACH ROW EXECUTE FUNCTION tallystick_number_price_end();

SELECT tallystick_keep('entries', 'entries are never changed or deleted');
SELECT tallystick_keep('usage_events', 'usage events are never changed or deleted');
SELECT tallystick_keep('prices', 'prices are never changed or deleted');
SELECT tallystick_keep('price_ends', 'ends of prices are never changed or deleted');

CREATE TRIGGER event_dimensions_refuse_delete BEFORE DELETE ON event_dimensions
FOR EACH ROW
EXECUTE FUNCTION tallystick_refuse('the dimensions of usage events are erased, not deleted');

CREATE TRIGGER event_dimensions_are_only_erased BEFORE UPDATE ON event_dimensions
FOR EACH ROW WHEN (
    old.erased_at IS NOT NULL OR new.erased_at IS NULL
    OR new.organization_id <> old.organization_id OR new.sequence <> old.sequence
    OR new.digest <> old.digest OR new.counted <> old.counted
)
EXECUTE FUNCTION tallystick_refuse(
    'the dimensions of usage events are never changed, only erased'
);

CREATE TRIGGER external_ids_keep_their_organization BEFORE UPDATE ON external_ids
FOR EACH ROW WHEN (old.* IS DISTINCT FROM new.*)
EXECUTE FUNCTION tallystick_refuse('an external id stays with its organization');

CREATE TRIGGER key_directory_keeps_its_key
BEFORE UPDATE OF organization_id, key_id ON key_directory
FOR EACH ROW WHEN (old.organization_id <> new.organization_id OR old.key_id <> new.key_id)
EXECUTE FUNCTION tallystick_refuse('a secret stays with its key');
