CREATE TABLE logins ();
