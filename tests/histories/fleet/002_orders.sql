-- description: Customers and their orders
CREATE TABLE customers (id integer PRIMARY KEY, email text NOT NULL);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer NOT NULL REFERENCES customers, total integer);
INSERT INTO customers SELECT n, 'customer' || n || '@example.org' FROM generate_series(1, 20) AS n;
INSERT INTO orders SELECT n, 1 + n % 20, NULL FROM generate_series(1, 200) AS n;
INSERT INTO audit VALUES ('002_orders');
