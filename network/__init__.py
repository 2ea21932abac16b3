"""Who may talk to whom, and at which address: types and pure functions, the lowest floor of the house."""
