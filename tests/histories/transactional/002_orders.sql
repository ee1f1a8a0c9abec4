CREATE TABLE orders (id integer PRIMARY KEY, customer text, total integer NOT NULL DEFAULT 0);
INSERT INTO orders SELECT n, 'customer' || n % 7 FROM generate_series(1, 50) AS n;
INSERT INTO audit VALUES ('002_orders');
