-- description: Keep what each user prefers
CREATE TABLE settings (user_id integer REFERENCES users, theme text);
