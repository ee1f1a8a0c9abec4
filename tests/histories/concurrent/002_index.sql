-- transactional: false
CREATE INDEX CONCURRENTLY ix_orders_customer ON orders (customer);
COMMENT ON INDEX ix_orders_customer IS 'By whom';
