"""What the commands do around the Pulumi program: preview, up, destroy, verify."""
