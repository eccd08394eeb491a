-- How a lane's transaction begins and ends, and what it loads (migrations/0002_load.sql).

-- name: load
SELECT part, item
FROM tallystick_load_1(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26, $27, $28, $29, $30, $31
) AS (part text, item record)

-- name: begin
BEGIN

-- name: commit
COMMIT

-- name: rollback
ROLLBACK
