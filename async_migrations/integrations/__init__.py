"""The engine at home in frameworks and servers: a module each, so that none is needed for another."""
