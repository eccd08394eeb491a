-- Holds, reversals, budgets, and usage by the billing period in which it was booked.

-- `parts` is what is still held of which grant, in the order drawn: canonical JSON.
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

CREATE UNIQUE INDEX holds_by_placing ON holds (organization_id, placed);
CREATE UNIQUE INDEX holds_by_reference ON holds (organization_id, reference)
    WHERE reference IS NOT NULL;
CREATE INDEX holds_by_status ON holds (organization_id, status, placed);

-- What is held of a grant outlives its end.
DROP INDEX grants_live;
CREATE INDEX grants_live ON grants (organization_id)
    WHERE status IN ('pending', 'active') OR held > 0;

-- No usage entry is in either, so usage does not pay for them.
CREATE INDEX entries_by_reversal ON entries (organization_id, event_id, sequence)
    WHERE kind = 'usage.reversed';
CREATE INDEX entries_by_hold ON entries (organization_id, hold_id, sequence)
    WHERE hold_id IS NOT NULL;

-- What open holds set aside is added up from them.
CREATE TABLE budgets (
    organization_id TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    budget INTEGER NOT NULL CHECK (budget >= 0),
    used INTEGER NOT NULL,
    PRIMARY KEY (organization_id, subject_id)
) STRICT, WITHOUT ROWID;

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

INSERT INTO period_usage
SELECT
    e.organization_id,
    (
        SELECT max(p.period_index)
        FROM periods AS p
        WHERE p.organization_id = e.organization_id AND p.sequence < e.sequence
    ) AS period_index,
    coalesce(e.teamspace_id, ''), coalesce(e.meter, ''), coalesce(e.api_key_id, ''),
    sum(e.credits), count(*)
FROM entries AS e
WHERE e.kind = 'usage.booked'
GROUP BY 1, 2, 3, 4, 5;
