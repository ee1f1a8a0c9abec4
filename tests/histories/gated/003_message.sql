INSERT INTO audit VALUES ('003_message');
SELECT pg_sleep(seconds) FROM gate;
ALTER TABLE orders ADD COLUMN note text;
