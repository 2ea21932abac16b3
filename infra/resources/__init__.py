"""Pulumi components: a host, a segment and a node, exactly as planned."""
