"""Wardkey's tests: a folder for each app; spec/, vectors/, journeys/, house/ and boot/ span them."""
