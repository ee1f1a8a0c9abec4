CREATE TABLE settings ();
