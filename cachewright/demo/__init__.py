"""``make demo``: the main job and a failover, done before the reader's eyes."""
