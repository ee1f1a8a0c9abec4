-- description: List the open orders without reading the closed ones
-- transactional: false
CREATE INDEX CONCURRENTLY ix_orders_open ON orders (placed_at) WHERE status IN ('placed', 'paid');
