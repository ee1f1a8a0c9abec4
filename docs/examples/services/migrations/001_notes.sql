-- description: Create the notes
CREATE TABLE notes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text NOT NULL
);
INSERT INTO notes (text) VALUES ('The schema was there before the first request.');
