-- transactional: false
CREATE INDEX CONCURRENTLY ix_orders_customer ON orders (customer);
CREATE INDEX CONCURRENTLY ix_orders_total ON orders (total);
