-- BEGIN and COMMIT here are in comments, texts, names and bodies; none ends the engine's transaction.
CREATE TABLE "COMMIT" (id integer, note text DEFAULT 'BEGIN; COMMIT;');
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEW;
END;
$$;
SAVEPOINT here;
ROLLBACK TO here;
