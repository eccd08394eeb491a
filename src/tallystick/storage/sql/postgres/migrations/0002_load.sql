-- What a lane loads, in one round trip. A later version of the program that wants another answer
-- brings a function of another name, so that both work on one database while nodes are replaced;
-- this one goes when no supported version calls it.
--
-- It is volatile, so each of its queries sees what was committed before that query began: those
-- below the locks see all that was written under these locks by whoever had them before.
--
-- LIMIT with the length of an array leaves nothing out. The planner takes it for one row, so what
-- is joined is looked up by its key, name by name, however few rows there were when it planned.
--
-- Answers rows (part, item); the columns of `item` are in the order of storage/rows.py.
CREATE FUNCTION tallystick_load_1(
    -- Accounts to lock, in order, and those among them that the last batch left behind: these are
    -- waited for until `patience` has passed, the others are taken where nobody else has them.
    names text[], left_behind text[], patience text,
    -- External ids, whose organizations are added to the names.
    external_ids text[],
    -- Whether the price book is to be changed, and whether its state is wanted.
    book boolean, priced boolean,
    -- What is wanted beside accounts: whose, and which.
    event_owners text[], event_ids text[],
    reference_owners text[], reference_names text[],
    grant_owners text[], grant_ids text[],
    hold_owners text[], hold_ids text[],
    hold_reference_owners text[], hold_reference_names text[],
    reversal_owners text[], reversal_ids text[],
    spent_owners text[], spent_subjects text[],
    teamspace_owners text[], teamspace_ids text[],
    key_owners text[], key_ids text[],
    secrets_of_owners text[], secrets_of_keys text[],
    secrets bytea[],
    replay_owners text[], replay_keys text[], replay_operations text[], replay_names text[]
) RETURNS SETOF record LANGUAGE plpgsql VOLATILE AS $load$
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
$load$;
