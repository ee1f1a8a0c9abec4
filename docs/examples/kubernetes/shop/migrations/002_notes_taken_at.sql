-- description: When they told us
ALTER TABLE notes ADD COLUMN taken_at timestamptz NOT NULL DEFAULT now();
