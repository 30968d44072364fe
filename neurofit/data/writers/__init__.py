"""One module per on-disk format of others, each written from a checked assembly."""
