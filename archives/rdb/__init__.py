"""RDB files, as Redis and Valkey write them: read, checked, summarised, compared and cut without an engine."""
