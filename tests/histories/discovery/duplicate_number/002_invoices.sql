CREATE TABLE invoices ();
