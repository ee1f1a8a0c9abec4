-- description: Note when a book was last changed

ALTER TABLE books ADD COLUMN updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now();

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    -- A semicolon in here ends a statement of the function; it does not end the statement of the file.
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END;
$body$;

CREATE TRIGGER books_touch_updated_at
    BEFORE UPDATE ON books
    FOR EACH ROW
    WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION touch_updated_at();
