"""How pages write times; Django looks here before its own."""
