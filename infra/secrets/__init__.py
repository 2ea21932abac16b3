"""Keys, certificates and passwords of a stack: made once, kept encrypted in the stack's Pulumi configuration."""
