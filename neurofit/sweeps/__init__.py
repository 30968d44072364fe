"""Many scores at once: models x benchmarks x layers x variations, here or on a cluster."""
