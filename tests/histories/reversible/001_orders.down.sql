DROP TABLE orders;
INSERT INTO audit VALUES ('001_orders');
