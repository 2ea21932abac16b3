"""What runs where, and who makes it so."""
