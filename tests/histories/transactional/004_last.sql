ALTER TABLE orders ADD COLUMN note text;
INSERT INTO audit VALUES ('004_last');
