"""Programs that use Wardkey from outside: nothing here imports it; only idp imports this, for the demonstration."""
