-- transactional: false
CREATE INDEX CONCURRENTLY ix_orders_customer ON orders (customer);
