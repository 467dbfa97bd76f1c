"""Matrix products from register tiles, and their special shapes."""
