"""Where acts, dossiers and evidence lie: SQLite files or PostgreSQL, and the heads that a machine remembers."""
