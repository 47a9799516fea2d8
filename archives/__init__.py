"""Where snapshots are kept, and what is in their files. Shared by all three programs; knows none of them."""
