CREATE TABLE orders (id integer PRIMARY KEY, customer integer, total integer);
INSERT INTO orders SELECT n, n % 7, n FROM generate_series(1, 50) AS n;
