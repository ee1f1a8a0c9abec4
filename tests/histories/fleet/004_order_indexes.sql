-- description: Two indexes beside running writes
-- transactional: false
CREATE INDEX CONCURRENTLY ix_orders_customer ON orders (customer_id);
CREATE INDEX CONCURRENTLY ix_orders_total ON orders (total) WHERE total > 10;
