-- The price book: what readers load of it, and its list.

-- name: book_state
SELECT last_price, last_end FROM price_book

-- name: load_prices
-- Of the meters $1.
SELECT
    p.price_id, p.meter, p.dimensions, p.credits, p.per, p.rounding, p.effective_at, p.created_at,
    (SELECT min(e.ends_at) FROM price_ends AS e WHERE e.price_id = p.price_id)
FROM prices AS p
WHERE p.meter = ANY($1::text[])
ORDER BY p.number

-- name: known_meters
-- The first $1 names, each found from the one before: a meter may have thousands of prices.
WITH RECURSIVE known (meter, number) AS (
    SELECT min(meter), 1 FROM prices
    UNION ALL
    SELECT (SELECT min(p.meter) FROM prices AS p WHERE p.meter > known.meter), known.number + 1
    FROM known
    WHERE known.meter IS NOT NULL AND known.number < $1
)
SELECT meter FROM known WHERE meter IS NOT NULL

-- name: read_price
SELECT
    p.price_id, p.meter, p.dimensions, p.credits, p.per, p.rounding, p.effective_at, p.created_at,
    (SELECT min(e.ends_at) FROM price_ends AS e WHERE e.price_id = p.price_id)
FROM prices AS p
WHERE p.price_id = $1

-- name: position_of_price
SELECT created_at FROM prices WHERE $1::text = '' AND price_id = $2

-- name: prices_older
SELECT
    p.price_id, p.meter, p.dimensions, p.credits, p.per, p.rounding, p.effective_at, p.created_at,
    (SELECT min(e.ends_at) FROM price_ends AS e WHERE e.price_id = p.price_id)
FROM prices AS p
WHERE $1::text = '' AND (p.created_at, p.price_id) < ($2, $3)
ORDER BY p.created_at DESC, p.price_id DESC
LIMIT $4

-- name: prices_newer
SELECT
    p.price_id, p.meter, p.dimensions, p.credits, p.per, p.rounding, p.effective_at, p.created_at,
    (SELECT min(e.ends_at) FROM price_ends AS e WHERE e.price_id = p.price_id)
FROM prices AS p
WHERE $1::text = '' AND (p.created_at, p.price_id) > ($2, $3)
ORDER BY p.created_at, p.price_id
LIMIT $4
