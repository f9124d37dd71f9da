"""The command `pybuf` and what it measures; the allocator itself is the package poolcore."""
