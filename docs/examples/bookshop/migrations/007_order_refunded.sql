-- description: Let an order be refunded
-- A new label can be used once it is committed, so that whatever uses it waits for the next migration.
ALTER TYPE order_status ADD VALUE IF NOT EXISTS 'refunded';
