"""Who may see whom: the scope grammar and the decision are PURE; lookup gathers the facts."""
