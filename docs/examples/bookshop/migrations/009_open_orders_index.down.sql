-- transactional: false
DROP INDEX CONCURRENTLY IF EXISTS ix_orders_open;
