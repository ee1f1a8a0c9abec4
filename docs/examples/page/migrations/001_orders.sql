-- description: Orders, two hundred thousand of them

CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quantity integer NOT NULL,
    price_cents integer NOT NULL,
    total_cents bigint
);

INSERT INTO orders (quantity, price_cents)
SELECT 1 + n % 7, 100 * (1 + n % 50) FROM generate_series(1, 200000) AS n;
