-- description: Find settings by theme
-- transactional: false
CREATE INDEX CONCURRENTLY ix_settings_theme ON settings (theme);
