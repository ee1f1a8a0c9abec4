INSERT INTO audit VALUES ('006_last');
