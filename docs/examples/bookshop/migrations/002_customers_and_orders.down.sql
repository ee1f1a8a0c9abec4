DROP TABLE order_lines, orders, customers;
DROP TYPE order_status;
