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

CREATE FUNCTION tallystick_load_1(names text[], left_behind text[], patience text, external_ids text[], book boolean, priced boolean, event_owners text[], event_ids text[], reference_owners text[], reference_names text[], grant_owners text[], grant_ids text[], hold_owners text[], hold_ids text[], hold_reference_owners text[], hold_reference_names text[], reversal_owners text[], reversal_ids text[], spent_owners text[], spent_subjects text[], teamspace_owners text[], teamspace_ids text[], key_owners text[], key_ids text[], secrets_of_owners text[], secrets_of_keys text[], secrets bytea[], replay_owners text[], replay_keys text[], replay_operations text[], replay_names text[]) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    named text;
    owners text[];
    taken text[];
    elsewhere text[] := '{}';
    waits boolean := true;
    usual_patience text := current_setting('lock_timeout');
BEGIN
    -- Locks that are waited for come first, in one order for everybody: the book, operators' keys,
    -- accounts by name. Accounts that are taken only where they are free come after all of these,
    -- so nobody waits while holding one, and nobody waits in a circle.
    IF book THEN
        PERFORM FROM price_book FOR UPDATE;
    END IF;
    IF cardinality(key_ids) > 0 THEN
        -- An organization's keys are guarded by its account; operators' have none.
        FOR named IN
            SELECT w.id FROM unnest(key_owners, key_ids) AS w (owner, id)
            WHERE w.owner = '' ORDER BY w.id COLLATE "C"
        LOOP
            PERFORM FROM api_keys WHERE organization_id = '' AND key_id = named FOR UPDATE;
        END LOOP;
    END IF;
    IF cardinality(external_ids) > 0 THEN
        -- In this order: whatever is answered here is among the names.
        RETURN QUERY
        SELECT 'external_id', ROW(x.external_id, x.organization_id)
        FROM (SELECT * FROM unnest(external_ids) LIMIT cardinality(external_ids)) AS w (external_id)
        JOIN external_ids AS x ON x.external_id = w.external_id;
        SELECT array_agg(x.organization_id) INTO owners
        FROM (SELECT * FROM unnest(external_ids) LIMIT cardinality(external_ids)) AS w (external_id)
        JOIN external_ids AS x ON x.external_id = w.external_id;
        SELECT coalesce(array_agg(DISTINCT n.name COLLATE "C"), '{}') INTO names
        FROM unnest(names || owners) AS n (name);
    END IF;
    IF cardinality(names) = 1 THEN
        left_behind := names;
    END IF;
    IF cardinality(left_behind) > 0 THEN
        FOREACH named IN ARRAY names LOOP
            CONTINUE WHEN named <> ALL (left_behind);
            PERFORM FROM accounts WHERE organization_id = named FOR UPDATE SKIP LOCKED;
            CONTINUE WHEN FOUND OR NOT waits;
            BEGIN
                PERFORM set_config('lock_timeout', patience, true);
                PERFORM FROM accounts WHERE organization_id = named FOR UPDATE;
                PERFORM set_config('lock_timeout', usual_patience, true);
            EXCEPTION WHEN lock_not_available THEN
                waits := false;
            END;
        END LOOP;
    END IF;
    -- What is locked by now is locked once more, which changes nothing.
    SELECT coalesce(array_agg(a.organization_id), '{}') INTO taken
    FROM unnest(names) AS n (name)
    CROSS JOIN LATERAL (
        SELECT organization_id FROM accounts WHERE organization_id = n.name FOR UPDATE SKIP LOCKED
    ) AS a;
    IF cardinality(taken) < cardinality(names) THEN
        SELECT coalesce(array_agg(a.organization_id), '{}') INTO elsewhere
        FROM (SELECT * FROM unnest(names) LIMIT cardinality(names)) AS n (name)
        JOIN accounts AS a ON a.organization_id = n.name
        WHERE n.name <> ALL (taken);
        RETURN QUERY SELECT 'elsewhere', ROW(n.name) FROM unnest(elsewhere) AS n (name);
    END IF;

    -- The locks are held: time, and what is there.
    RETURN QUERY SELECT 'now', ROW((extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    IF priced THEN
        RETURN QUERY SELECT 'book', ROW(b.last_price, b.last_end) FROM price_book AS b;
    END IF;
    IF cardinality(taken) > 0 THEN
        RETURN QUERY
        SELECT 'account', ROW(
            a.organization_id, a.status, a.plan, a.next_plan, a.period_index,
            a.period_start, a.period_end, a.allowance_grant_id, a.remaining,
            a.consumed, a.overage, a.held, a.pending, a.sequence, a.head,
            a.advanced_to, a.next_due_at
        )
        FROM (SELECT * FROM unnest(taken) LIMIT cardinality(taken)) AS t (name)
        JOIN accounts AS a ON a.organization_id = t.name;
        -- Those that may still be drawn from, those of which something is held, and that of the
        -- allowance, which a change of plan looks at.
        RETURN QUERY
        SELECT 'live_grant', ROW(
            g.organization_id, g.grant_id, g.kind, g.amount, g.remaining, g.held,
            g.priority, g.effective_at, g.expires_at, g.status, g.issued,
            g.reference, g.created_at
        )
        FROM (SELECT * FROM unnest(taken) LIMIT cardinality(taken)) AS t (name)
        JOIN grants AS g ON g.organization_id = t.name
        WHERE g.status IN ('pending', 'active') OR g.held > 0;
        RETURN QUERY
        SELECT 'live_grant', ROW(
            g.organization_id, g.grant_id, g.kind, g.amount, g.remaining, g.held,
            g.priority, g.effective_at, g.expires_at, g.status, g.issued,
            g.reference, g.created_at
        )
        FROM (SELECT * FROM unnest(taken) LIMIT cardinality(taken)) AS t (name)
        JOIN accounts AS a ON a.organization_id = t.name
        JOIN grants AS g ON g.organization_id = t.name AND g.grant_id = a.allowance_grant_id
        WHERE g.status NOT IN ('pending', 'active') AND g.held = 0;
        RETURN QUERY
        SELECT 'budget', ROW(
            b.organization_id, b.subject_id, b.budget, b.used
        )
        FROM (SELECT * FROM unnest(taken) LIMIT cardinality(taken)) AS t (name)
        JOIN budgets AS b ON b.organization_id = t.name;
        RETURN QUERY
        SELECT 'open_hold', ROW(
            h.organization_id, h.hold_id, h.credits, h.parts, h.captured, h.status,
            h.expires_at, h.placed, h.reference, h.teamspace_id, h.api_key_id,
            h.meter, h.dimensions, h.salt, h.digest, h.created_at
        )
        FROM (SELECT * FROM unnest(taken) LIMIT cardinality(taken)) AS t (name)
        JOIN holds AS h ON h.organization_id = t.name AND h.status = 'open';
        RETURN QUERY
        SELECT 'organization', ROW(
            o.organization_id, o.name, o.external_id, o.default_teamspace_id,
            o.rate_limits, o.content, o.created_at, o.usage_dimensions
        )
        FROM (SELECT * FROM unnest(taken) LIMIT cardinality(taken)) AS t (name)
        JOIN organizations AS o ON o.organization_id = t.name;
    END IF;
    IF cardinality(event_ids) > 0 THEN
        RETURN QUERY
        SELECT 'event', ROW(
            e.organization_id, e.sequence, e.kind, e.credits, e.drawn, e.grant_id,
            e.event_id, e.hold_id, e.teamspace_id, e.api_key_id, e.meter,
            e.occurred_at, e.booked_at, e.remaining_after, e.consumed_after,
            e.overage_after, e.held_after, e.detail, e.content, d.dimensions,
            d.salt, d.digest, d.counted, d.erased_at
        )
        FROM (SELECT * FROM unnest(event_owners, event_ids) LIMIT cardinality(event_ids))
            AS w (owner, id)
        JOIN usage_events AS u ON u.organization_id = w.owner AND u.event_id = w.id
        JOIN entries AS e ON e.organization_id = w.owner AND e.sequence = u.sequence
        LEFT JOIN LATERAL (
            SELECT * FROM event_dimensions AS x
            WHERE x.organization_id = w.owner AND x.sequence = u.sequence
            LIMIT 1
        ) AS d ON true
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(reference_names) > 0 THEN
        RETURN QUERY
        SELECT 'reference', ROW(
            g.organization_id, g.grant_id, g.kind, g.amount, g.remaining, g.held,
            g.priority, g.effective_at, g.expires_at, g.status, g.issued,
            g.reference, g.created_at, e.organization_id, e.sequence, e.kind,
            e.credits, e.drawn, e.grant_id, e.event_id, e.hold_id, e.teamspace_id,
            e.api_key_id, e.meter, e.occurred_at, e.booked_at, e.remaining_after,
            e.consumed_after, e.overage_after, e.held_after, e.detail, e.content
        )
        FROM (
            SELECT * FROM unnest(reference_owners, reference_names)
            LIMIT cardinality(reference_owners)
        ) AS w (owner, reference)
        JOIN grants AS g ON g.organization_id = w.owner AND g.reference = w.reference
        LEFT JOIN LATERAL (
            SELECT * FROM entries AS x
            WHERE x.organization_id = w.owner AND x.sequence = g.issued
            LIMIT 1
        ) AS e ON true
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(grant_ids) > 0 THEN
        RETURN QUERY
        SELECT 'grant', ROW(
            g.organization_id, g.grant_id, g.kind, g.amount, g.remaining, g.held,
            g.priority, g.effective_at, g.expires_at, g.status, g.issued,
            g.reference, g.created_at
        )
        FROM (SELECT * FROM unnest(grant_owners, grant_ids) LIMIT cardinality(grant_ids))
            AS w (owner, id)
        JOIN grants AS g ON g.organization_id = w.owner AND g.grant_id = w.id
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(hold_ids) > 0 THEN
        RETURN QUERY
        SELECT 'hold', ROW(
            h.organization_id, h.hold_id, h.credits, h.parts, h.captured, h.status,
            h.expires_at, h.placed, h.reference, h.teamspace_id, h.api_key_id,
            h.meter, h.dimensions, h.salt, h.digest, h.created_at
        )
        FROM (SELECT * FROM unnest(hold_owners, hold_ids) LIMIT cardinality(hold_ids))
            AS w (owner, id)
        JOIN holds AS h ON h.organization_id = w.owner AND h.hold_id = w.id
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(hold_reference_names) > 0 THEN
        RETURN QUERY
        SELECT 'hold_reference', ROW(
            h.organization_id, h.hold_id, h.credits, h.parts, h.captured, h.status,
            h.expires_at, h.placed, h.reference, h.teamspace_id, h.api_key_id,
            h.meter, h.dimensions, h.salt, h.digest, h.created_at,
            e.organization_id, e.sequence, e.kind, e.credits, e.drawn, e.grant_id,
            e.event_id, e.hold_id, e.teamspace_id, e.api_key_id, e.meter,
            e.occurred_at, e.booked_at, e.remaining_after, e.consumed_after,
            e.overage_after, e.held_after, e.detail, e.content
        )
        FROM (
            SELECT * FROM unnest(hold_reference_owners, hold_reference_names)
            LIMIT cardinality(hold_reference_owners)
        ) AS w (owner, reference)
        JOIN holds AS h ON h.organization_id = w.owner AND h.reference = w.reference
        LEFT JOIN LATERAL (
            SELECT * FROM entries AS x
            WHERE x.organization_id = w.owner AND x.sequence = h.placed
            LIMIT 1
        ) AS e ON true
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(reversal_ids) > 0 THEN
        RETURN QUERY
        SELECT 'reversal', ROW(
            e.organization_id, e.sequence, e.kind, e.credits, e.drawn, e.grant_id,
            e.event_id, e.hold_id, e.teamspace_id, e.api_key_id, e.meter,
            e.occurred_at, e.booked_at, e.remaining_after, e.consumed_after,
            e.overage_after, e.held_after, e.detail, e.content
        )
        FROM (
            SELECT * FROM unnest(reversal_owners, reversal_ids)
            LIMIT cardinality(reversal_owners)
        ) AS w (owner, id)
        CROSS JOIN LATERAL (
            SELECT * FROM entries AS x
            WHERE x.organization_id = w.owner AND x.event_id = w.id AND x.kind = 'usage.reversed'
            ORDER BY x.sequence
        ) AS e
        WHERE w.owner <> ALL (elsewhere);
        -- What was drawn from goes back there.
        RETURN QUERY
        SELECT 'grant', ROW(
            g.organization_id, g.grant_id, g.kind, g.amount, g.remaining, g.held,
            g.priority, g.effective_at, g.expires_at, g.status, g.issued,
            g.reference, g.created_at
        )
        FROM (
            SELECT * FROM unnest(reversal_owners, reversal_ids)
            LIMIT cardinality(reversal_owners)
        ) AS w (owner, id)
        JOIN usage_events AS u ON u.organization_id = w.owner AND u.event_id = w.id
        JOIN entries AS e ON e.organization_id = w.owner AND e.sequence = u.sequence
        CROSS JOIN json_array_elements(e.drawn::json) AS part
        JOIN grants AS g ON g.organization_id = w.owner AND g.grant_id = part ->> 0
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(spent_subjects) > 0 THEN
        RETURN QUERY
        SELECT 'spent_by', ROW(
            a.organization_id, w.subject, a.period_index, coalesce(s.credits, 0)
        )
        FROM (SELECT * FROM unnest(spent_owners, spent_subjects) LIMIT cardinality(spent_owners))
            AS w (owner, subject)
        JOIN accounts AS a ON a.organization_id = w.owner
        CROSS JOIN LATERAL (
            SELECT sum(u.credits)::bigint AS credits
            FROM period_usage AS u
            WHERE
                u.organization_id = w.owner AND u.period_index = a.period_index
                AND (u.teamspace_id = w.subject OR u.api_key_id = w.subject)
        ) AS s
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(teamspace_ids) > 0 THEN
        RETURN QUERY
        SELECT 'teamspace', ROW(
            x.organization_id, x.teamspace_id, x.name, x.access, x.cloud_provider,
            x.rate_limits, x.created_at
        )
        FROM (
            SELECT * FROM unnest(teamspace_owners, teamspace_ids)
            LIMIT cardinality(teamspace_owners)
        ) AS w (owner, id)
        JOIN teamspaces AS x ON x.organization_id = w.owner AND x.teamspace_id = w.id
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(key_ids) > 0 THEN
        RETURN QUERY
        SELECT 'key', ROW(
            k.key_id, k.organization_id, k.teamspace_id, k.name, k.level, k.scopes,
            k.imported, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
        )
        FROM (SELECT * FROM unnest(key_owners, key_ids) LIMIT cardinality(key_ids)) AS w (owner, id)
        JOIN api_keys AS k ON k.organization_id = w.owner AND k.key_id = w.id
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(secrets_of_keys) > 0 THEN
        RETURN QUERY
        SELECT 'secret_of', ROW(
            s.hash, s.organization_id, s.key_id, s.expires_at
        )
        FROM (
            SELECT * FROM unnest(secrets_of_owners, secrets_of_keys)
            LIMIT cardinality(secrets_of_owners)
        ) AS w (owner, id)
        JOIN key_directory AS s ON s.organization_id = w.owner AND s.key_id = w.id
        WHERE w.owner <> ALL (elsewhere);
    END IF;
    IF cardinality(secrets) > 0 THEN
        RETURN QUERY
        SELECT 'secret', ROW(
            s.hash, s.organization_id, s.key_id, s.expires_at
        )
        FROM (SELECT * FROM unnest(secrets) LIMIT cardinality(secrets)) AS w (hash)
        JOIN key_directory AS s ON s.hash = w.hash;
    END IF;
    IF cardinality(replay_names) > 0 THEN
        RETURN QUERY
        SELECT 'replay', ROW(
            r.organization_id, r.api_key_id, r.operation, r.idempotency_key,
            r.request_digest, r.status, r.body, r.created_at
        )
        FROM (
            SELECT * FROM unnest(replay_owners, replay_keys, replay_operations, replay_names)
            LIMIT cardinality(replay_names)
        ) AS w (owner, key_id, operation, name)
        JOIN replays AS r
            ON r.organization_id = w.owner AND r.api_key_id = w.key_id
            AND r.operation = w.operation AND r.idempotency_key = w.name
        WHERE w.owner <> ALL (elsewhere);
    END IF;
END
$$;

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

CREATE FUNCTION tallystick_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TABLE accounts (
    organization_id text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    plan text COLLATE "C" NOT NULL,
    next_plan text COLLATE "C",
    period_index bigint NOT NULL,
    period_start bigint NOT NULL,
    period_end bigint NOT NULL,
    allowance_grant_id text COLLATE "C",
    remaining bigint NOT NULL,
    consumed bigint NOT NULL,
    overage bigint NOT NULL,
    held bigint NOT NULL,
    pending bigint NOT NULL,
    sequence bigint NOT NULL,
    head bytea NOT NULL,
    advanced_to bigint NOT NULL,
    next_due_at bigint NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (organization_id),
    CONSTRAINT accounts_consumed_check CHECK (consumed <= '8000000000000000'::bigint),
    CONSTRAINT accounts_head_check CHECK (octet_length(head) = 32),
    CONSTRAINT accounts_held_is_there CHECK (held >= 0 AND held <= remaining),
    CONSTRAINT accounts_overage_was_consumed CHECK (overage >= 0 AND overage <= consumed),
    CONSTRAINT accounts_pending_check CHECK (pending >= 0),
    CONSTRAINT accounts_period_has_a_length CHECK (period_start < period_end),
    CONSTRAINT accounts_period_index_check CHECK (period_index >= 0),
    CONSTRAINT accounts_sequence_check CHECK (sequence > 0),
    CONSTRAINT accounts_status_check CHECK (status = ANY (ARRAY['active'::text, 'suspended'::text, 'closed'::text])),
    CONSTRAINT accounts_sums_are_exact CHECK ((remaining + consumed - overage + pending) <= '8000000000000000'::bigint)
) WITH (fillfactor=50);

CREATE TABLE api_keys (
    organization_id text COLLATE "C" NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    teamspace_id text COLLATE "C",
    name text COLLATE "C" NOT NULL,
    level text COLLATE "C" NOT NULL,
    scopes text COLLATE "C" NOT NULL,
    imported boolean NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    last_used_at bigint,
    CONSTRAINT api_keys_pkey PRIMARY KEY (organization_id, key_id),
    CONSTRAINT api_keys_are_operators_or_of_a_teamspace CHECK ((organization_id = ''::text) = (teamspace_id IS NULL)),
    CONSTRAINT api_keys_level_check CHECK (level = ANY (ARRAY['organization'::text, 'account'::text]))
);

CREATE TABLE budgets (
    organization_id text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    budget bigint NOT NULL,
    used bigint NOT NULL,
    CONSTRAINT budgets_pkey PRIMARY KEY (organization_id, subject_id),
    CONSTRAINT budgets_budget_check CHECK (budget >= 0)
) WITH (fillfactor=70);

CREATE TABLE entries (
    organization_id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    credits bigint NOT NULL,
    drawn text COLLATE "C" NOT NULL,
    grant_id text COLLATE "C",
    event_id text COLLATE "C",
    hold_id text COLLATE "C",
    teamspace_id text COLLATE "C",
    api_key_id text COLLATE "C",
    meter text COLLATE "C",
    occurred_at bigint,
    booked_at bigint NOT NULL,
    remaining_after bigint NOT NULL,
    consumed_after bigint NOT NULL,
    overage_after bigint NOT NULL,
    held_after bigint NOT NULL,
    detail text COLLATE "C",
    content bytea,
    hash bytea NOT NULL,
    CONSTRAINT entries_pkey PRIMARY KEY (organization_id, sequence),
    CONSTRAINT entries_credits_check CHECK (credits >= 0),
    CONSTRAINT entries_hash_check CHECK (octet_length(hash) = 32),
    CONSTRAINT entries_held_is_there CHECK (held_after >= 0 AND held_after <= remaining_after),
    CONSTRAINT entries_overage_was_consumed CHECK (overage_after >= 0 AND overage_after <= consumed_after),
    CONSTRAINT entries_sequence_check CHECK (sequence > 0)
);

CREATE TABLE event_dimensions (
    organization_id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    dimensions text COLLATE "C",
    salt bytea,
    digest bytea NOT NULL,
    counted text COLLATE "C" NOT NULL,
    erased_at bigint,
    CONSTRAINT event_dimensions_pkey PRIMARY KEY (organization_id, sequence),
    CONSTRAINT event_dimensions_are_erased_whole CHECK ((dimensions IS NULL) = (erased_at IS NOT NULL) AND (salt IS NULL) = (erased_at IS NOT NULL)),
    CONSTRAINT event_dimensions_digest_check CHECK (octet_length(digest) = 32)
);

CREATE TABLE external_ids (
    external_id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    CONSTRAINT external_ids_pkey PRIMARY KEY (external_id)
);

CREATE TABLE grants (
    organization_id text COLLATE "C" NOT NULL,
    grant_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    remaining bigint NOT NULL,
    held bigint NOT NULL,
    priority bigint NOT NULL,
    effective_at bigint NOT NULL,
    expires_at bigint,
    status text COLLATE "C" NOT NULL,
    issued bigint NOT NULL,
    reference text COLLATE "C",
    created_at bigint NOT NULL,
    CONSTRAINT grants_pkey PRIMARY KEY (organization_id, grant_id),
    CONSTRAINT grants_held_is_there CHECK (held >= 0 AND held <= remaining),
    CONSTRAINT grants_kind_check CHECK (kind = ANY (ARRAY['rollover'::text, 'allowance'::text, 'promotional'::text, 'adjustment'::text, 'top_up'::text])),
    CONSTRAINT grants_remaining_was_granted CHECK (remaining >= 0 AND remaining <= amount),
    CONSTRAINT grants_status_check CHECK (status = ANY (ARRAY['pending'::text, 'active'::text, 'exhausted'::text, 'expired'::text, 'voided'::text]))
) WITH (fillfactor=70);

CREATE TABLE holds (
    organization_id text COLLATE "C" NOT NULL,
    hold_id text COLLATE "C" NOT NULL,
    credits bigint NOT NULL,
    parts text COLLATE "C" NOT NULL,
    captured bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL,
    placed bigint NOT NULL,
    reference text COLLATE "C",
    teamspace_id text COLLATE "C" NOT NULL,
    api_key_id text COLLATE "C",
    meter text COLLATE "C",
    dimensions text COLLATE "C",
    salt bytea,
    digest bytea,
    created_at bigint NOT NULL,
    CONSTRAINT holds_pkey PRIMARY KEY (organization_id, hold_id),
    CONSTRAINT holds_captured_check CHECK (captured >= 0),
    CONSTRAINT holds_credits_check CHECK (credits > 0),
    CONSTRAINT holds_dimensions_are_salted CHECK ((dimensions IS NULL) = (salt IS NULL) AND (salt IS NULL OR digest IS NOT NULL)),
    CONSTRAINT holds_have_a_length CHECK (created_at < expires_at),
    CONSTRAINT holds_have_parts_while_open CHECK ((status = 'open'::text) = (parts <> '[]'::text)),
    CONSTRAINT holds_status_check CHECK (status = ANY (ARRAY['open'::text, 'captured'::text, 'released'::text, 'expired'::text]))
);

CREATE TABLE key_directory (
    hash bytea NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    expires_at bigint,
    CONSTRAINT key_directory_pkey PRIMARY KEY (hash)
);

CREATE TABLE milestones (
    organization_id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    CONSTRAINT milestones_pkey PRIMARY KEY (organization_id, sequence)
);

CREATE TABLE organizations (
    organization_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    external_id text COLLATE "C",
    default_teamspace_id text COLLATE "C" NOT NULL,
    rate_limits text COLLATE "C" NOT NULL,
    content bytea NOT NULL,
    created_at bigint NOT NULL,
    usage_dimensions text COLLATE "C" NOT NULL DEFAULT '[]'::text,
    CONSTRAINT organizations_pkey PRIMARY KEY (organization_id)
);

CREATE TABLE period_usage (
    organization_id text COLLATE "C" NOT NULL,
    period_index bigint NOT NULL,
    teamspace_id text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    api_key_id text COLLATE "C" NOT NULL,
    credits bigint NOT NULL,
    events bigint NOT NULL,
    CONSTRAINT period_usage_pkey PRIMARY KEY (organization_id, period_index, teamspace_id, meter, api_key_id)
) WITH (fillfactor=70);

CREATE TABLE periods (
    organization_id text COLLATE "C" NOT NULL,
    period_index bigint NOT NULL,
    period_start bigint NOT NULL,
    period_end bigint NOT NULL,
    timezone text COLLATE "C" NOT NULL,
    allowance bigint NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT periods_pkey PRIMARY KEY (organization_id, period_index),
    CONSTRAINT periods_allowance_check CHECK (allowance >= 0),
    CONSTRAINT periods_have_a_length CHECK (period_start < period_end),
    CONSTRAINT periods_period_index_check CHECK (period_index >= 0)
);

CREATE TABLE price_book (
    is_the_row boolean NOT NULL,
    last_price bigint NOT NULL,
    last_end bigint NOT NULL,
    CONSTRAINT price_book_pkey PRIMARY KEY (is_the_row),
    CONSTRAINT price_book_is_the_row_check CHECK (is_the_row)
);

CREATE TABLE price_ends (
    number bigint NOT NULL,
    price_id text COLLATE "C" NOT NULL,
    ends_at bigint NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT price_ends_pkey PRIMARY KEY (number),
    CONSTRAINT price_ends_price_id_ends_at_key UNIQUE (price_id, ends_at)
);

CREATE TABLE prices (
    number bigint NOT NULL,
    price_id text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    dimensions text COLLATE "C" NOT NULL,
    credits bigint NOT NULL,
    per text COLLATE "C" NOT NULL,
    rounding text COLLATE "C" NOT NULL,
    effective_at bigint NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT prices_pkey PRIMARY KEY (number),
    CONSTRAINT prices_credits_check CHECK (credits >= 0),
    CONSTRAINT prices_price_id_key UNIQUE (price_id),
    CONSTRAINT prices_rounding_check CHECK (rounding = ANY (ARRAY['up'::text, 'down'::text, 'half_up'::text, 'half_even'::text]))
);

CREATE TABLE refused_requests (
    organization_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    operation text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    status bigint NOT NULL,
    code text COLLATE "C" NOT NULL,
    details text COLLATE "C" NOT NULL,
    teamspace_id text COLLATE "C" NOT NULL,
    api_key_id text COLLATE "C",
    event_ids text COLLATE "C" NOT NULL,
    rejected bigint NOT NULL,
    CONSTRAINT refused_requests_pkey PRIMARY KEY (organization_id, number),
    CONSTRAINT refused_requests_rejected_check CHECK (rejected >= 0)
);

CREATE TABLE replays (
    organization_id text COLLATE "C" NOT NULL,
    api_key_id text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    request_digest bytea NOT NULL,
    status bigint NOT NULL,
    body bytea NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT replays_pkey PRIMARY KEY (organization_id, api_key_id, operation, idempotency_key)
);

CREATE TABLE schema_migrations (
    version bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    checksum text COLLATE "C" NOT NULL,
    applied_at bigint NOT NULL,
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version)
);

CREATE TABLE teamspaces (
    organization_id text COLLATE "C" NOT NULL,
    teamspace_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    access text COLLATE "C" NOT NULL,
    cloud_provider text COLLATE "C" NOT NULL,
    rate_limits text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT teamspaces_pkey PRIMARY KEY (organization_id, teamspace_id),
    CONSTRAINT teamspaces_access_check CHECK (access = ANY (ARRAY['open'::text, 'closed'::text])),
    CONSTRAINT teamspaces_cloud_provider_check CHECK (cloud_provider = ANY (ARRAY['aws'::text, 'gcp'::text]))
);

CREATE TABLE usage_days (
    organization_id text COLLATE "C" NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    day bigint NOT NULL,
    value text COLLATE "C" NOT NULL,
    teamspace_id text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    api_key_id text COLLATE "C" NOT NULL,
    credits_01 bigint NOT NULL,
    events_01 bigint NOT NULL,
    credits_02 bigint NOT NULL,
    events_02 bigint NOT NULL,
    credits_03 bigint NOT NULL,
    events_03 bigint NOT NULL,
    credits_04 bigint NOT NULL,
    events_04 bigint NOT NULL,
    credits_05 bigint NOT NULL,
    events_05 bigint NOT NULL,
    credits_06 bigint NOT NULL,
    events_06 bigint NOT NULL,
    credits_07 bigint NOT NULL,
    events_07 bigint NOT NULL,
    credits_08 bigint NOT NULL,
    events_08 bigint NOT NULL,
    credits_09 bigint NOT NULL,
    events_09 bigint NOT NULL,
    credits_10 bigint NOT NULL,
    events_10 bigint NOT NULL,
    credits_11 bigint NOT NULL,
    events_11 bigint NOT NULL,
    credits_12 bigint NOT NULL,
    events_12 bigint NOT NULL,
    credits_13 bigint NOT NULL,
    events_13 bigint NOT NULL,
    credits_14 bigint NOT NULL,
    events_14 bigint NOT NULL,
    credits_15 bigint NOT NULL,
    events_15 bigint NOT NULL,
    credits_16 bigint NOT NULL,
    events_16 bigint NOT NULL,
    credits_17 bigint NOT NULL,
    events_17 bigint NOT NULL,
    credits_18 bigint NOT NULL,
    events_18 bigint NOT NULL,
    credits_19 bigint NOT NULL,
    events_19 bigint NOT NULL,
    credits_20 bigint NOT NULL,
    events_20 bigint NOT NULL,
    credits_21 bigint NOT NULL,
    events_21 bigint NOT NULL,
    credits_22 bigint NOT NULL,
    events_22 bigint NOT NULL,
    credits_23 bigint NOT NULL,
    events_23 bigint NOT NULL,
    credits_24 bigint NOT NULL,
    events_24 bigint NOT NULL,
    CONSTRAINT usage_days_pkey PRIMARY KEY (organization_id, dimension, day, value, teamspace_id, meter, api_key_id),
    CONSTRAINT usage_days_day_check CHECK ((day % '86400000000'::bigint) = 0)
) WITH (fillfactor=70);

CREATE TABLE usage_events (
    organization_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    overdraw boolean NOT NULL,
    CONSTRAINT usage_events_pkey PRIMARY KEY (organization_id, event_id)
);

CREATE TABLE usage_rollups (
    organization_id text COLLATE "C" NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    bucket bigint NOT NULL,
    value text COLLATE "C" NOT NULL,
    teamspace_id text COLLATE "C" NOT NULL,
    meter text COLLATE "C" NOT NULL,
    api_key_id text COLLATE "C" NOT NULL,
    credits bigint NOT NULL,
    events bigint NOT NULL,
    CONSTRAINT usage_rollups_pkey PRIMARY KEY (organization_id, dimension, bucket, value, teamspace_id, meter, api_key_id)
) WITH (fillfactor=70);

CREATE INDEX accounts_by_due ON accounts USING btree (next_due_at);

CREATE INDEX api_keys_by_age ON api_keys USING btree (organization_id, created_at, key_id);

CREATE INDEX entries_by_grant ON entries USING btree (organization_id, grant_id, sequence) WHERE (grant_id IS NOT NULL);

CREATE INDEX entries_by_hold ON entries USING btree (organization_id, hold_id, sequence) WHERE (hold_id IS NOT NULL);

CREATE INDEX entries_by_kind ON entries USING btree (organization_id, kind, sequence) WHERE (kind <> 'usage.booked'::text);

CREATE INDEX entries_by_reversal ON entries USING btree (organization_id, event_id, sequence) WHERE (kind = 'usage.reversed'::text);

CREATE UNIQUE INDEX grants_by_issue ON grants USING btree (organization_id, issued);

CREATE UNIQUE INDEX grants_by_reference ON grants USING btree (organization_id, reference) WHERE (reference IS NOT NULL);

CREATE INDEX grants_live ON grants USING btree (organization_id) WHERE ((status = ANY (ARRAY['pending'::text, 'active'::text])) OR (held > 0));

CREATE UNIQUE INDEX holds_by_placing ON holds USING btree (organization_id, placed);

CREATE UNIQUE INDEX holds_by_reference ON holds USING btree (organization_id, reference) WHERE (reference IS NOT NULL);

CREATE INDEX holds_by_status ON holds USING btree (organization_id, status, placed);

CREATE INDEX key_directory_by_key ON key_directory USING btree (organization_id, key_id);

CREATE INDEX organizations_by_age ON organizations USING btree (created_at, organization_id);

CREATE INDEX prices_by_age ON prices USING btree (created_at, price_id);

CREATE INDEX prices_by_meter ON prices USING btree (meter);

CREATE INDEX refused_requests_by_age ON refused_requests USING btree (at);

CREATE UNIQUE INDEX refused_requests_by_request ON refused_requests USING btree (organization_id, request_id);

CREATE INDEX replays_by_age ON replays USING btree (created_at);

CREATE INDEX teamspaces_by_age ON teamspaces USING btree (organization_id, created_at, teamspace_id);

ALTER TABLE price_ends ADD CONSTRAINT price_ends_price_id_fkey FOREIGN KEY (price_id) REFERENCES prices(price_id);

ALTER TABLE teamspaces ADD CONSTRAINT teamspaces_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(organization_id);

CREATE TRIGGER entries_refuse_change BEFORE DELETE OR UPDATE ON entries FOR EACH ROW EXECUTE FUNCTION tallystick_refuse('entries are never changed or deleted');

CREATE TRIGGER entries_refuse_truncate BEFORE TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION tallystick_refuse('entries are never changed or deleted');

CREATE TRIGGER event_dimensions_are_only_erased BEFORE UPDATE ON event_dimensions FOR EACH ROW WHEN (old.erased_at IS NOT NULL OR new.erased_at IS NULL OR new.organization_id <> old.organization_id OR new.sequence <> old.sequence OR new.digest <> old.digest OR new.counted <> old.counted) EXECUTE FUNCTION tallystick_refuse('the dimensions of usage events are never changed, only erased');

CREATE TRIGGER event_dimensions_refuse_delete BEFORE DELETE ON event_dimensions FOR EACH ROW EXECUTE FUNCTION tallystick_refuse('the dimensions of usage events are erased, not deleted');

CREATE TRIGGER external_ids_keep_their_organization BEFORE UPDATE ON external_ids FOR EACH ROW WHEN (old.* IS DISTINCT FROM new.*) EXECUTE FUNCTION tallystick_refuse('an external id stays with its organization');

CREATE TRIGGER key_directory_keeps_its_key BEFORE UPDATE OF organization_id, key_id ON key_directory FOR EACH ROW WHEN (old.organization_id <> new.organization_id OR old.key_id <> new.key_id) EXECUTE FUNCTION tallystick_refuse('a secret stays with its key');

CREATE TRIGGER price_ends_number BEFORE INSERT ON price_ends FOR EACH ROW EXECUTE FUNCTION tallystick_number_price_end();

CREATE TRIGGER price_ends_refuse_change BEFORE DELETE OR UPDATE ON price_ends FOR EACH ROW EXECUTE FUNCTION tallystick_refuse('ends of prices are never changed or deleted');

CREATE TRIGGER price_ends_refuse_truncate BEFORE TRUNCATE ON price_ends FOR EACH STATEMENT EXECUTE FUNCTION tallystick_refuse('ends of prices are never changed or deleted');

CREATE TRIGGER prices_number BEFORE INSERT ON prices FOR EACH ROW EXECUTE FUNCTION tallystick_number_price();

CREATE TRIGGER prices_refuse_change BEFORE DELETE OR UPDATE ON prices FOR EACH ROW EXECUTE FUNCTION tallystick_refuse('prices are never changed or deleted');

CREATE TRIGGER prices_refuse_truncate BEFORE TRUNCATE ON prices FOR EACH STATEMENT EXECUTE FUNCTION tallystick_refuse('prices are never changed or deleted');

CREATE TRIGGER usage_events_refuse_change BEFORE DELETE OR UPDATE ON usage_events FOR EACH ROW EXECUTE FUNCTION tallystick_refuse('usage events are never changed or deleted');

CREATE TRIGGER usage_events_refuse_truncate BEFORE TRUNCATE ON usage_events FOR EACH STATEMENT EXECUTE FUNCTION tallystick_refuse('usage events are never changed or deleted');
