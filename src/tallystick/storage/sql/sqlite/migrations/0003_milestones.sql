-- Places from which a balance at an earlier instant is replayed: what the entries up to `sequence`
-- led to, as JSON. Nothing else depends on them, and what they say follows from the entries.
CREATE TABLE milestones (
    organization_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (organization_id, sequence)
) STRICT, WITHOUT ROWID;
