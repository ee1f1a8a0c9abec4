-- A customer with an order and a book of her own, as they were after migration 005.
INSERT INTO customers (email, name) VALUES ('ada@example.org', 'Ada');
INSERT INTO books (isbn, title, price_cents, stock) VALUES ('9782070411207', 'Bel-Ami', 700, 3);
INSERT INTO orders (customer_id, status) SELECT id, 'shipped' FROM customers;
INSERT INTO order_lines (order_id, book_id, quantity, price_cents)
SELECT orders.id, books.id, 1, 700 FROM orders, books WHERE isbn = '9782070411207';
