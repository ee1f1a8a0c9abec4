-- transactional: false
DROP INDEX CONCURRENTLY IF EXISTS ix_orders_total;
INSERT INTO audit VALUES ('004_more');
