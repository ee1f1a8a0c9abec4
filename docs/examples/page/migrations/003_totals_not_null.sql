-- description: No order without a total

ALTER TABLE orders ALTER COLUMN total_cents SET NOT NULL;
