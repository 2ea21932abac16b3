"""Which node runs on which host: exact, stable against the lock, and survivable by construction."""
