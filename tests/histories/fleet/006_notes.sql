-- description: What comes after a concurrent index
ALTER TABLE orders ADD COLUMN note text;
INSERT INTO audit VALUES ('006_notes');
