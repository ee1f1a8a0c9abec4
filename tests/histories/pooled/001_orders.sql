CREATE TABLE audit (migration text);
CREATE TABLE orders (id integer PRIMARY KEY, customer text, total integer);
INSERT INTO orders SELECT n, 'customer' || n % 7, n FROM generate_series(1, 50) AS n;
