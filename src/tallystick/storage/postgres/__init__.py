"""The store on PostgreSQL: the same rows as SQLite's, for any number of processes."""
