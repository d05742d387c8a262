-- PostgreSQL has no INSERT OR REPLACE; its ON CONFLICT DO UPDATE fires the triggers on updates.
SELECT 1;
