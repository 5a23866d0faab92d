"""Updates of a frozen backbone's projections: where they sit (sites), what they are (updates), their store (bank)."""
