CREATE TABLE tokens ();
