-- The price book: what lanes and readers load of it, its list, and its two kinds of change.

-- name: book_state
SELECT (SELECT max(number) FROM prices), (SELECT max(number) FROM price_ends)

-- name: load_prices
SELECT
    p.price_id, p.meter, p.dimensions, p.credits, p.per, p.rounding, p.effective_at, p.created_at,
    (SELECT min(e.ends_at) FROM price_ends AS e WHERE e.price_id = p.price_id)
FROM prices AS p
WHERE p.meter = ?1

-- name: known_meters
-- The first ?1 names, each found from the one before: a meter may have thousands of prices.
WITH RECURSIVE known (meter, number) AS (
    SELECT min(meter), 1 FROM prices
    UNION ALL
    SELECT (SELECT min(p.meter) FROM prices AS p WHERE p.meter > known.meter), known.number + 1
    FROM known
    WHERE known.meter IS NOT NULL AND known.number < ?1
)
SELECT meter FROM known WHERE meter IS NOT NULL

-- name: load_price
SELECT
    p.price_id, p.meter, p.dimensions, p.credits, p.per, p.rounding, p.effective_at, p.created_at,
    (SELECT min(e.ends_at) FROM price_ends AS e WHERE e.price_id = p.price_id)
FROM prices AS p
WHERE p.price_id = ?1

-- name: position_of_price
SELECT created_at FROM prices WHERE ?1 = '' AND price_id = ?2

-- name: prices_older
SELECT
    p.price_id, p.meter, p.dimensions, p.credits, p.per, p.rounding, p.effective_at, p.created_at,
    (SELECT min(e.ends_at) FROM price_ends AS e WHERE e.price_id = p.price_id)
FROM prices AS p
WHERE ?1 = '' AND (p.created_at, p.price_id) < (?2, ?3)
ORDER BY p.created_at DESC, p.price_id DESC
LIMIT ?4

-- name: prices_newer
SELECT
    p.price_id, p.meter, p.dimensions, p.credits, p.per, p.rounding, p.effective_at, p.created_at,
    (SELECT min(e.ends_at) FROM price_ends AS e WHERE e.price_id = p.price_id)
FROM prices AS p
WHERE ?1 = '' AND (p.created_at, p.price_id) > (?2, ?3)
ORDER BY p.created_at, p.price_id
LIMIT ?4

-- name: add_price
INSERT INTO prices (
    price_id, meter, dimensions, credits, per, rounding, effective_at, created_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)

-- name: add_price_end
INSERT INTO price_ends (price_id, ends_at, created_at) VALUES (?1, ?2, ?3)
