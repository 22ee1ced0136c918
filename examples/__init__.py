"""Programs that use Wardkey from outside. Nothing here imports Wardkey, and Wardkey's floors import nothing from here."""
